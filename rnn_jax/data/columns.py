"""Tagged sentences from the user's own column files (CoNLL): one word a line, a blank line after each sentence.

    # sent_id = 1                          a comment before a sentence
    EU      NNP  B-NP  B-ORG               columns between tabs, or between runs of spaces
    rejects VBZ  B-VP  O

A line with a tab is split at tabs, so that its words may contain spaces. Every line has the same number of columns.
Lines with "-DOCSTART-", which CoNLL 2003 puts between documents, are left out.

A line that begins with "#" is always a word inside a sentence. Before a sentence it is a comment, unless it has as many
columns as the file's words and its first column is "#hashtag" (no space after the "#") or, between tabs, "#" alone.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from rnn_jax.data.lines import data_lines
from rnn_jax.errors import UserError

_TOKEN_NAMES = ("tokens", "token", "words", "word", "form", "text")
_UNUSED = ("_", "-")
_DOCUMENT = "-DOCSTART-"
_BLANK = " \t\r\v\f"  # and no others: a no-break space may be inside of a word, as in "10 000"
_BREAKS = r"\r\n|[\t\r\n]"


class TaggedSentences(NamedTuple):
    """Words, labels (None where there are none) and line numbers (from 1) of each sentence."""

    tokens: list[list[str]]
    labels: list[list[str]] | None
    lines: list[list[int]]


class _Places(NamedTuple):
    """Where words and labels are, from 0 or backwards from -1; how many columns have names; the flag as given."""

    token: int
    label: int | None
    num_names: int
    flag: str


def read_column_file(
    path: str, *, columns: tuple[str, ...] = (), token_field: str = "", label_field: str = "", need_labels: bool = True
) -> TaggedSentences:
    """Reads a file of columns.

    Args:
      columns: () for words in the first column and labels in the last; or their numbers, from 0 or backwards from -1,
        as ("0", "3") or ("1", "-1"), where one alone is that of the words; or the names of the file's columns in
        order, where "_" is a column that is not used.
      token_field, label_field: which of the names; without them the one named tokens, token, words, word, form or text,
        and the only other one.
      need_labels: False takes files without labels, too; their `labels` are None.

    Raises:
      UserError: the columns contradict themselves or the file; a line with another number of columns, an empty word or
        an empty label (file:line); no labels though needed; no sentences; the file cannot be read or is not UTF-8.
    """
    places = _find_places(columns, token_field, label_field, need_labels)
    lines = data_lines(path)
    first = next((i for i, line in enumerate(lines) if _is_certainly_a_word(line)), None)
    if first is None:
        raise UserError(f"{path}: no sentences. One word with its label a line, a blank line after each sentence.")
    width = len(_split(lines[first]))
    token_at, label_at = _in_file(places, width, need_labels, _Line(path, first + 1, lines[first]))

    result = TaggedSentences([[]], [[]], [[]])
    assert result.labels is not None
    for number, text in enumerate(lines, start=1):
        fields, inside = _split(text), bool(result.tokens[-1])
        if not text.strip() or _DOCUMENT in fields:
            if inside:
                for rows in (result.tokens, result.labels, result.lines):
                    rows.append([])
            continue
        if not inside and _is_comment(text, fields, width):
            continue
        line = _Line(path, number, text)
        if len(fields) != width:
            hint = " Comments may stand before a sentence only." if text.startswith("#") else ""
            raise line.error(f"{_columns(len(fields))} where line {first + 1} has {width}.{hint}")
        for kind, at in (("word", token_at), ("label", label_at)):
            if at is not None and not fields[at]:
                raise line.error(f"the {kind} (column {at}, counted from 0) is empty.")
        result.tokens[-1].append(fields[token_at])
        result.labels[-1].append("" if label_at is None else fields[label_at])
        result.lines[-1].append(number)
    if not result.tokens[-1]:
        for rows in (result.tokens, result.labels, result.lines):
            rows.pop()
    return result if label_at is not None else result._replace(labels=None)


def write_columns(tokens: Sequence[str], tags: Sequence[str]) -> str:
    """One sentence as lines of "token ⇥ tag" with a blank line after them; tabs and line ends within become spaces."""
    rows = zip(tokens, tags, strict=True)
    return "".join(f"{re.sub(_BREAKS, ' ', token)}\t{re.sub(_BREAKS, ' ', tag)}\n" for token, tag in rows) + "\n"


class _Line(NamedTuple):
    path: str
    number: int
    text: str

    def error(self, problem: str) -> UserError:
        shown = self.text if len(self.text) <= 60 else f"{self.text[:59]}…"
        return UserError(f"{self.path}:{self.number}: {problem} The line is {shown!r}.")


def _split(line: str) -> list[str]:
    if "\t" in line:
        return [field.strip(_BLANK) for field in line.split("\t")]
    return re.findall(rf"[^{_BLANK}]+", line)


def _is_certainly_a_word(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("#") and _DOCUMENT not in _split(line)


def _is_comment(line: str, fields: Sequence[str], width: int) -> bool:
    """Of a line before the first word of a sentence; the rule is in the text at the top."""
    if not line.startswith("#") or len(fields) != width:
        return line.startswith("#")
    return fields[0].startswith("# ") or (fields[0] == "#" and "\t" not in line)


def _columns(count: int) -> str:
    return "1 column" if count == 1 else f"{count} columns"


def _find_places(columns: tuple[str, ...], token_field: str, label_field: str, need_labels: bool) -> _Places:
    flag = f"--columns={','.join(columns)}"
    are_numbers = [bool(re.fullmatch(r"-?[0-9]{1,9}", column)) for column in columns]
    if all(are_numbers):  # also of none
        if given := [f"--{n}={v}" for n, v in (("token_field", token_field), ("label_field", label_field)) if v]:
            raise UserError(
                f"{' and '.join(given)}: column files have no header, so name the columns in their order as well,"
                " as in --columns=id,form,lemma,upos."
            )
        numbers = [int(column) for column in columns]
        if not numbers:
            return _Places(0, -1, 0, flag)
        if len(numbers) > 2 or len(set(numbers)) < len(numbers):
            raise UserError(
                f"{flag}: two different numbers are needed, that of the words and that of the labels, as in 0,3."
            )
        if len(numbers) == 1 and need_labels:
            raise UserError(f"{flag} has no labels: add the number of their column, as in --columns={columns[0]},-1.")
        return _Places(numbers[0], numbers[1] if len(numbers) == 2 else None, 0, flag)
    if any(are_numbers):
        raise UserError(f"{flag} mixes names and numbers: give the two numbers alone, or a name for every column.")
    token, label = _pick_names(columns, token_field, label_field, need_labels, flag)
    return _Places(columns.index(token), columns.index(label) if label else None, len(columns), flag)


def _pick_names(
    columns: tuple[str, ...], token_field: str, label_field: str, need_labels: bool, flag: str
) -> tuple[str, str]:
    """The names of the two columns; that of the labels is "" where there is none, or several that nobody needs."""
    names = [name for name in columns if name not in _UNUSED]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{flag} names {twice[0]!r} twice; columns that are not used can all be called '_'.")
    for which, field in (("token_field", token_field), ("label_field", label_field)):
        if field and field not in names:
            raise UserError(f"--{which}={field} is none of the columns: {flag}.")
    if token_field and token_field == label_field:
        raise UserError(f"--token_field and --label_field are both {token_field!r}; they must differ.")
    tokens = [token_field] if token_field else [n for n in names if n.lower() in _TOKEN_NAMES and n != label_field]
    if not tokens:
        raise UserError(f"{flag}: none is called tokens, words, form or text; choose the words with --token_field.")
    if len(tokens) > 1:
        raise UserError(f"{flag}: {', '.join(tokens)} can all be the words; choose one with --token_field.")
    labels = [label_field] if label_field else [name for name in names if name != tokens[0]]
    if need_labels and not labels:
        raise UserError(f"{flag} has no labels: name their column, too.")
    if need_labels and len(labels) > 1:
        raise UserError(f"{flag}: {', '.join(labels)} can all be the labels; choose one with --label_field.")
    return tokens[0], labels[0] if len(labels) == 1 else ""


def _in_file(places: _Places, width: int, need_labels: bool, line: _Line) -> tuple[int, int | None]:
    """The columns of words and labels, from 0, in a file of `width` columns."""

    def resolve(at: int) -> int | None:
        return at % width if -width <= at < width else None

    token_at = resolve(places.token)
    label_at = None if places.label is None else resolve(places.label)
    if label_at == token_at:  # −1 in a file with words alone
        label_at = None
    is_tokens_alone = token_at is not None and label_at is None and not need_labels
    if places.num_names not in (0, width) and not is_tokens_alone:
        raise line.error(
            f"{_columns(width)} where {places.flag} names {places.num_names}; one that is not used is called '_'."
        )
    if token_at is None:
        raise line.error(f"{_columns(width)}, so {places.flag} gives the words none (numbers count from 0).")
    if label_at is None and need_labels:
        if width == 1:
            raise line.error("1 column, so the file has no labels; a word and its label are needed on each line.")
        raise line.error(f"{_columns(width)}, so {places.flag} gives the labels none of their own (counted from 0).")
    return token_at, label_at
