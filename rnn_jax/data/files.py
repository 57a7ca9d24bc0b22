"""Labelled texts from the user's own files: CSV, TSV and JSON lines.

| ending | a row | quoting |
|---|---|---|
| .csv | text,label under a header line | "…", also over several lines; "" is a quote |
| .tsv | text ⇥ label under a header line | none: a quote is a quote |
| .jsonl, .ndjson | {"text": …, "label": …} | JSON |

Any of them may be compressed: .csv.gz.

Labels may be strings, integers or (JSON) true and false; blank lines are skipped; an empty text is a text.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from rnn_jax.data.compressed import ending, open_bytes
from rnn_jax.data.json_lines import JSON_SUFFIXES, is_unicode, read_json_lines
from rnn_jax.data.lines import read_rows
from rnn_jax.data.normal_form import nfc
from rnn_jax.errors import UserError

SUFFIXES = (".csv", ".tsv", *JSON_SUFFIXES)

_LONGEST_FIELD = 2**31 - 1


class LabelledRows(NamedTuple):
    """Texts and the names of their labels, with the line of the file on which each begins."""

    texts: list[str]
    labels: list[str]
    lines: list[int]


def read_labelled_file(path: str, *, text_field: str = "", label_field: str = "") -> LabelledRows:
    """Reads a file of texts and labels; the fields are the columns "text" and "label" unless named.

    Raises:
      UserError: no such file, an unknown ending, no such column (names the columns), a malformed line (file:line),
        text that is not UTF-8, or no rows.
    """
    fields = (nfc(text_field) or "text", nfc(label_field) or "label")
    suffix = ending(path)
    if suffix not in SUFFIXES:
        raise UserError(
            f"{path}: the name of a data file must end in .csv, .tsv, .jsonl or .ndjson, and then perhaps .gz."
        )
    with open_bytes(path, "the data file") as stream:
        if suffix in JSON_SUFFIXES:
            rows = list(_read_jsonl(stream, path, fields))
        else:
            rows = list(_read_delimited(stream, path, fields, "," if suffix == ".csv" else "\t"))
    if not rows:
        raise UserError(f"{path}: no rows. A data file has at least one text with a label.")
    texts, labels, lines = zip(*rows, strict=True)
    return LabelledRows(list(texts), list(labels), list(lines))


def _read_delimited(
    stream: Iterable[bytes], path: str, fields: tuple[str, str], delimiter: str
) -> Iterator[tuple[str, str, int]]:
    lines = (line + "\n" for line in read_rows(stream, path))
    if delimiter == ",":
        rows = csv.reader(lines, strict=True)
    else:
        rows = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE, strict=True)
    columns: list[str] | None = None
    for line, row in _numbered(rows, path):
        if not row:
            continue
        if columns is None:
            columns = [column.strip() for column in row]
            text_at, label_at = (_column(columns, field, path) for field in fields)
            continue
        if len(row) != len(columns):
            quote = " A text with commas must be in double quotes." if delimiter == "," else ""
            raise _malformed(path, line, f"{len(row)} fields where the header has {len(columns)}.{quote}")
        if not (label := row[label_at].strip()):
            raise _malformed(path, line, f"the label (column {fields[1]!r}) is empty.")
        yield row[text_at], label, line


def _numbered(rows: Any, path: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a csv.reader with the line on which each begins."""
    # The limit belongs to the whole process, so it is put back; its default would refuse texts over 128 KiB.
    limit = csv.field_size_limit(_LONGEST_FIELD)
    try:
        begins = 1
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                ends = (
                    f" (read up to line {rows.line_num}: is a closing quote missing?)" if rows.line_num > begins else ""
                )
                raise _malformed(path, begins, f"{error}{ends}.") from error
            yield begins, row
            begins = rows.line_num + 1
    finally:
        csv.field_size_limit(limit)


def _column(columns: Sequence[str], field: str, path: str) -> int:
    if columns.count(field) == 1:
        return columns.index(field)
    if field in columns:
        raise UserError(f"{path}: the header names the column {field!r} twice.")
    raise UserError(
        f"{path}: no column {field!r} in the header, which has {', '.join(map(repr, columns))}. "
        "Name the columns with --text_field and --label_field; the first line of the file must be the header."
    )


def _read_jsonl(stream: Iterable[bytes], path: str, fields: tuple[str, str]) -> Iterator[tuple[str, str, int]]:
    for number, row in read_json_lines(stream, path):
        if not isinstance(row, dict):
            raise _malformed(path, number, f"a JSON object is needed, this is {_shortened(row)}.")
        for field in fields:
            if field not in row:
                keys = ", ".join(map(repr, row)) or "none"
                raise _malformed(
                    path, number, f"no field {field!r}; it has {keys}. See --text_field and --label_field."
                )
        text, label = row[fields[0]], row[fields[1]]
        if not isinstance(text, str) or not is_unicode(text):
            raise _malformed(path, number, f"{fields[0]!r} must be a Unicode string, this is {_shortened(text)}.")
        yield text, _label_name(label, path, number, fields[1]), number


def _label_name(label: Any, path: str, line: int, field: str) -> str:
    if isinstance(label, str) and label.strip() and is_unicode(label):
        return label.strip()
    if isinstance(label, int):  # true and false are spelled as in the file
        return json.dumps(label)
    raise _malformed(
        path, line, f"{field!r} must be a string or an integer that names a class, this is {_shortened(label)}."
    )


def _shortened(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _malformed(path: str, line: int, problem: str) -> UserError:
    return UserError(f"{path}:{line}: {problem}")
