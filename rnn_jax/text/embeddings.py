"""Pretrained word vectors from text files: GloVe, word2vec's text format and fastText's .vec, also gzipped.

A row is a word and its numbers, with spaces (or tabs) between them; before the rows there may be a line with the number
of rows and the size of the vectors. Words may contain spaces, as ". . ." in glove.840B does.
"""

import re
from array import array
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32

from rnn_jax.data.compressed import open_bytes
from rnn_jax.data.normal_form import nfc
from rnn_jax.errors import UserError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class PretrainedVectors(NamedTuple):
    """Words in the order of their file, and the vector of each."""

    words: list[str]
    vectors: Float32[np.ndarray, "N D"]


class Coverage(NamedTuple):
    """How many words of a vocabulary have a pretrained vector, and in which spelling."""

    as_written: int
    lower_cased: int
    missing: int

    def describe(self) -> str:
        """One line with the shares."""
        total = sum(self)
        if not total:
            return "There are no words to find vectors for."
        shares = [f"{100 * count / total:.1f} %" for count in self]
        return f"Of {total:,} words {shares[0]} are found as written, {shares[1]} lower-cased, {shares[2]} missing."

    def __str__(self) -> str:
        return self.describe()


def read_vectors(
    path: str, *, size: int, wanted: Collection[str] | None = None, max_words: int = 0
) -> PretrainedVectors:
    """Reads the rows whose word is in `wanted`, and the first `max_words` rows; all rows where neither is given.

    The file is read as a stream: memory is that of the rows that are kept; of the others only the length is checked.
    Words are in NFC. Where one occurs twice, its first row counts. Words that are to be found lower-cased must be
    `wanted` in that spelling, too.

    Raises:
      UserError: vectors of another size (says which); a row with another length than those before it, or with something
        that is no finite number (file:line); a file that is binary, damaged or empty, or cannot be read.
    """
    wanted_bytes = {word.encode("utf-8", "surrogatepass") for word in wanted or ()}
    limit = max_words if max_words or wanted is not None else np.inf
    line_of: dict[bytes, int] = {}  # the words that are kept
    numbers = array("f")
    for index, (line, row) in enumerate(_rows(path, size)):
        if index >= limit and not wanted_bytes:
            break
        word_ends = row.find(b" ") if row.count(b" ") == size else _end_of_word(row, size, path, line, index == 0)
        word = _in_nfc(row[:word_ends])
        if (index < limit or word in wanted_bytes) and word not in line_of:
            line_of[word] = line
            try:
                numbers.extend(map(float, row[word_ends + 1 :].split(b" ")))
            except ValueError as error:
                raise _not_a_row(row, path, line) from error
    lines = list(line_of.values())
    vectors = np.frombuffer(numbers, np.float32).reshape(len(lines), size)
    is_finite = np.isfinite(vectors).all(axis=1)
    if not is_finite.all():
        raise UserError(f"{path}:{lines[int(is_finite.argmin())]}: NaN or infinity; word vectors must be finite.")
    return PretrainedVectors([_decoded(word, path, line) for word, line in line_of.items()], vectors)


def match_vectors(
    words: Sequence[str], vectors: PretrainedVectors
) -> tuple[Float32[np.ndarray, "V D"], Bool[np.ndarray, " V"], Coverage]:
    """A vector for each of V words (zeros where there is none), whether there is one, and how many there are.

    A word is looked up as written first, then lower-cased.
    """
    row_of = {word: row for row, word in enumerate(vectors.words)}
    as_written = np.array([row_of.get(word, -1) for word in words], np.int64)
    rows = np.array([row_of.get(word, row_of.get(word.lower(), -1)) for word in words], np.int64)
    found = rows >= 0
    matched = np.zeros((len(words), vectors.vectors.shape[1]), np.float32)
    matched[found] = vectors.vectors[rows[found]]
    num_found, num_as_written = int(found.sum()), int((as_written >= 0).sum())
    return matched, found, Coverage(num_as_written, num_found - num_as_written, len(words) - num_found)


def _in_nfc(word: bytes) -> bytes:
    if word.isascii():
        return word
    try:
        return nfc(word.decode("utf-8")).encode("utf-8")
    except UnicodeDecodeError:  # an error where the word is kept
        return word


def _rows(path: str, size: int) -> Iterator[tuple[int, bytes]]:
    """The lines with their numbers, without the one that counts the rows and without blank ones."""
    num_rows = 0
    with open_bytes(path, "the word vectors") as stream:
        for number, line in enumerate(stream, start=1):
            row = line.rstrip(b" \t\r\n")
            if b"\t" in row or b"  " in row:
                row = re.sub(rb"[ \t]+", b" ", row)
            if number == 1:
                row = row.removeprefix(_BYTE_ORDER_MARK)
                if (found := _size_in_header(row)) is not None:
                    if found != size:
                        raise _another_size(size, found, path, number)
                    continue
            if row:
                num_rows += 1
                yield number, row
    if not num_rows:
        raise UserError(f"{path}: no word vectors. Each line has a word and its numbers, with spaces between them.")


def _size_in_header(row: bytes) -> int | None:
    fields = row.split(b" ")
    return int(fields[1]) if len(fields) == 2 and all(field.isdigit() for field in fields) else None


def _end_of_word(row: bytes, size: int, path: str, line: int, is_first: bool) -> int:
    """Where the word ends in a row that has not as many spaces as numbers: only a word with spaces may be there."""
    fields = row.split(b" ")
    num_numbers = 0
    while num_numbers < len(fields) - 1 and _is_number(fields[-1 - num_numbers]):
        num_numbers += 1
    if num_numbers == size:
        return len(row) - len(b" ".join(fields[-size:])) - 1
    if num_numbers == 0 or not _is_text(row):
        raise _not_a_row(row, path, line)
    if is_first:
        raise _another_size(size, num_numbers, path, line)
    raise UserError(f"{path}:{line}: {num_numbers} numbers where the rows before have {size}; is the file damaged?")


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _is_text(row: bytes) -> bool:
    try:
        return "\0" not in row.decode("utf-8")
    except UnicodeDecodeError:
        return False


def _decoded(word: bytes, path: str, line: int) -> str:
    try:
        return word.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}:{line}: the word {word!r} is not UTF-8; convert the file to UTF-8 first.") from error


def _another_size(size: int, found: int, path: str, line: int) -> UserError:
    return UserError(
        f"{path}:{line}: --embedding_size={size} but the vectors have {found} numbers; give --embedding_size={found}."
    )


def _not_a_row(row: bytes, path: str, line: int) -> UserError:
    if not _is_text(row):
        return UserError(
            f"{path}:{line}: not text. Binary word vectors cannot be read; save them as text first, as with gensim:"
            " KeyedVectors.load_word2vec_format(path, binary=True).save_word2vec_format('vectors.txt')."
        )
    text = row.decode("utf-8")
    shown = text if len(text) <= 60 else f"{text[:59]}…"
    return UserError(f"{path}:{line}: not a word and its numbers with spaces between them: {shown!r}.")
