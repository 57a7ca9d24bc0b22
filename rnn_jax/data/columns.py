"""Tagged sentences from the user's own column files (CoNLL): one word a line, a blank line after each sentence.

    # sent_id = 1                          a comment before a sentence
    EU      NNP  B-NP  B-ORG               columns between tabs, or between runs of spaces
    rejects VBZ  B-VP  O

A line with a tab is split at tabs, so that its words may contain spaces. Every line has the same number of columns;
where both columns are chosen by numbers from the first one, every line of a sentence (PropBank, CoNLL-2009, OntoNotes).
Lines with "-DOCSTART-", which CoNLL 2003 puts between documents, are left out.

A line that begins with "#" is always a word inside a sentence. Before a sentence it is a comment, unless it has as many
columns as the words and its first column is "#hashtag" (no space after the "#") or, between tabs, "#" alone.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rnn_jax.data.column_choice import CONLL_U, TOKEN_NAMES, ColumnChoice, choose_columns, columns_text
from rnn_jax.data.lines import data_lines
from rnn_jax.errors import UserError

_DOCUMENT = "-DOCSTART-"
_BLANK = " \t\r\v\f"  # and no others: a no-break space may be inside of a word, as in "10 000"
_BREAKS = r"\r\n|[\t\r\n]"
_LABEL_NAMES = {*CONLL_U[3:5], "label", "labels", "tag", "tags", "pos", "ner", "chunk", "entity"}  # in headers
_SAMPLE = 3  # sentences that tell what a file is


class TaggedSentences(NamedTuple):
    """Words, labels (None where there are none) and line numbers (from 1) of each sentence; what to tell the user."""

    tokens: list[list[str]]
    labels: list[list[str]] | None
    lines: list[list[int]]
    note: str = ""


def read_column_file(
    path: str, *, columns: tuple[str, ...] = (), token_field: str = "", label_field: str = "", need_labels: bool = True
) -> TaggedSentences:
    """Reads a file of columns.

    Args:
      columns: () for words in the first column and labels in the last, or form and upos of CoNLL-U (ten columns between
        tabs, the first counts the words); or their numbers, from 0 or backwards from -1, as ("0", "3") or ("1", "-1"),
        where one alone is that of the words; or the names of the file's columns in order, where "_" is a column that is
        not used; or, of CoNLL-U, names alone, as ("form", "xpos").
      token_field, label_field: which of the names; without them the one named tokens, token, words, word, form or text,
        and the only other one.
      need_labels: False takes files without labels, too; their `labels` are None.

    Raises:
      UserError: the columns contradict themselves or the file; nobody says which they are, and the first one counts the
        words; a header; a line with another number of columns, an empty word or an empty label (file:line); no labels
        though needed; no sentences; the file cannot be read or is not UTF-8.
    """
    lines = data_lines(path)
    first = next((line for block in _blocks(path, lines) for line in block if not line.text.startswith("#")), None)
    if first is None:
        raise UserError(f"{path}: no sentences. One word with its label a line, a blank line after each sentence.")
    counts_words = _counts_words(itertools.islice(_blocks(path, lines), _SAMPLE))
    is_conll_u = counts_words and len(first.fields) == len(CONLL_U) and "\t" in first.text
    choice = choose_columns(columns, token_field, label_field, need_labels, is_conll_u=is_conll_u)
    if counts_words and not columns and not is_conll_u:
        raise first.error(
            "the first column counts the words (1, 2, 3), and does not hold them: say where words and labels are,"
            " counted from 0, as in --columns=1,2."
        )
    places = choice.places(len(first.fields), need_labels, first.error)
    if _is_header(first, *places):
        raise first.error("this seems to be a header, which column files have not: delete the line.")
    tokens, labels, numbers = [], [], []
    has_labels = True
    for block in _blocks(path, lines):
        width = _width(block, first) if choice.is_open else len(first.fields)
        begins = next((i for i, line in enumerate(block) if not _is_comment(line, width)), len(block))
        if not (words := block[begins:]):
            continue
        _check_widths(words, width, choice, first)
        token_at, label_at = choice.places(width, need_labels, words[0].error)
        has_labels = label_at is not None
        tokens.append([line.field(token_at, "word") for line in words])
        labels.append([line.field(label_at, "label") for line in words] if label_at is not None else [])
        numbers.append([line.number for line in words])
    return TaggedSentences(tokens, labels if has_labels else None, numbers, choice.note)


def write_columns(tokens: Sequence[str], tags: Sequence[str]) -> str:
    """One sentence as lines of "token ⇥ tag" with a blank line after them; tabs and line ends within become spaces."""
    rows = zip(tokens, tags, strict=True)
    return "".join(f"{re.sub(_BREAKS, ' ', token)}\t{re.sub(_BREAKS, ' ', tag)}\n" for token, tag in rows) + "\n"


class _Line(NamedTuple):
    path: str
    number: int
    text: str
    fields: list[str]

    def error(self, problem: str) -> UserError:
        shown = self.text if len(self.text) <= 60 else f"{self.text[:59]}…"
        return UserError(f"{self.path}:{self.number}: {problem} The line is {shown!r}.")

    def field(self, at: int, kind: str) -> str:
        if not self.fields[at]:
            raise self.error(f"the {kind} (column {at}, counted from 0) is empty.")
        return self.fields[at]


def _blocks(path: str, lines: Sequence[str]) -> Iterator[list[_Line]]:
    """The lines between blank ones."""
    block: list[_Line] = []
    for number, text in enumerate(lines, start=1):
        line = _Line(path, number, text, _split(text))
        if text.strip() and _DOCUMENT not in line.fields:
            block.append(line)
        elif block:
            yield block
            block = []
    if block:
        yield block


def _split(line: str) -> list[str]:
    if "\t" in line:
        return [field.strip(_BLANK) for field in line.split("\t")]
    return re.findall(rf"[^{_BLANK}]+", line)


def _width(block: Sequence[_Line], first: _Line) -> int:
    """Columns of a sentence; of one of hashtags alone, those of the file's first word."""
    return len(next((line for line in block if not line.text.startswith("#")), first).fields)


def _is_comment(line: _Line, width: int) -> bool:
    """Of a line before the first word of a sentence; the rule is in the text at the top."""
    if not line.text.startswith("#") or len(line.fields) != width:
        return line.text.startswith("#")
    return line.fields[0].startswith("# ") or (line.fields[0] == "#" and "\t" not in line.text)


def _is_header(line: _Line, token_at: int, label_at: int | None) -> bool:
    """Whether the first line of a file says "word" for its word and "label" for its label."""
    label = "" if label_at is None else line.fields[label_at].lower()
    return line.fields[token_at].lower() in TOKEN_NAMES and (
        label in _LABEL_NAMES or label.endswith(tuple(f"_{name}" for name in _LABEL_NAMES))
    )


def _counts_words(blocks: Iterator[list[_Line]]) -> bool:
    """Whether the first of several columns has 1, 2, 3 (in CoNLL-U with 1-2 and 1.1 between) in each sentence."""
    sentences = [[line.fields for line in block if not line.text.startswith("#")] for block in blocks]
    if any(len(fields) <= 2 for sentence in sentences for fields in sentence):
        return False
    ids = [[fields[0] for fields in sentence if not re.fullmatch(r"\d+[-.]\d+", fields[0])] for sentence in sentences]
    is_counted = all(of == [str(number) for number in range(1, len(of) + 1)] for of in ids)
    return is_counted and any(len(of) > 1 or (of and len(sentences[0][0]) == len(CONLL_U)) for of in ids)


def _check_widths(words: Sequence[_Line], width: int, choice: ColumnChoice, first: _Line) -> None:
    """UserError where a line has not the columns of its sentence; or of the file, where all must have the same."""
    for line in words:
        if len(line.fields) == width:
            continue
        hint = ""
        if line.text.startswith("#"):
            hint = " Comments may stand before a sentence only."
        elif line is words[0] and all(len(other.fields) == len(line.fields) for other in words[1:]):
            hint = " Sentences may differ in their columns with numbers from 0 for both, as in --columns=0,3."
        like = words[0] if choice.is_open else first
        raise line.error(f"{columns_text(len(line.fields))} where line {like.number} has {width}.{hint}")
