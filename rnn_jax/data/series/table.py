"""Tables of numbers as users have them: CSV, TSV and Parquet files → columns, each as numbers or as texts.

The first line of a CSV or TSV file names the columns. Empty cells and the usual words for them (NA, NaN, null, ?) are
missing. Decimal commas are understood where a file cannot be read otherwise. Either may be compressed: .csv.gz.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from etils import epy

from rnn_jax.data.compressed import ending, open_bytes
from rnn_jax.data.lines import read_rows, standard_input
from rnn_jax.data.normal_form import nfc
from rnn_jax.errors import UserError

with epy.lazy_imports():  # synthetic data and TFDS don't wait for it
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

STANDARD_INPUT = "-"
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "space": " "}
_SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".pq")
_MISSING = ("", "NA", "N/A", "#N/A", "NaN", "nan", "NAN", "null", "NULL", "Null", "None", "none", "-", "?")
_DECIMAL_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)?,\d+([eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")
_POINT = re.compile(r"[+-]?\d*\.\d+|[+-]?\d+\.\d*")
_NO_THOUSANDS = r"\.(\d{0,2}|\d{4,})(\D|$)"  # beside decimal commas, points are between thousands


class Table(NamedTuple):
    """Columns by name as Arrow has them, and the line of the file of each row (None where rows are no lines).

    has_comma: texts of numbers have a decimal comma.
    """

    path: str
    columns: dict[str, Any]
    lines: np.ndarray | None
    has_comma: bool = False

    @property
    def num_rows(self) -> int:
        """Without the header."""
        return len(next(iter(self.columns.values())))

    def where(self, row: int) -> str:
        """The place of a row (from 0), for messages: file and line, or file and number (from 1)."""
        return f"{self.path}:{self.lines[row]}" if self.lines is not None else f"{self.path}: row {row + 1}"

    def require(self, name: str, flag: str) -> None:
        """UserError where the column that a flag names is not there."""
        if name not in self.columns:
            raise UserError(f"{self.path}: --{flag} names {name!r}; the columns are {', '.join(self.columns)}.")

    def texts(self, name: str, first: int | None = None) -> list[str]:
        """A column (its first rows) as texts without spaces around them, "" where a cell is missing."""
        column = self.columns[name] if first is None else self.columns[name].slice(0, first)
        return [nfc(text or "").strip() for text in pc.cast(column, pa.string()).to_pylist()]

    def numbers(self, name: str, flag: str = "target") -> np.ndarray:
        """A column as float64 (n,), NaN where a cell is missing.

        Raises:
          UserError: a cell is no number, or an infinity (file:line); a column of another type.
        """
        values = self._as_numbers(name)
        if values is None:
            row, text = self._first_text(name)
            raise UserError(
                f"{self.where(row)}: the column {name!r} holds {text!r}, which is no number. Leave the cell empty if"
                f" the value is missing, or the column out of --{flag}."
            )
        if np.isinf(values).any():
            row = int(np.argmax(np.isinf(values)))
            raise UserError(
                f"{self.where(row)}: the column {name!r} is infinite. Leave the cell empty if it is missing."
            )
        return values

    def rows_by(self, column: str) -> dict[str, np.ndarray]:
        """The rows of each text of a column, texts and rows in the order of the file; of no column, all under ""."""
        if not column:
            return {"": np.arange(self.num_rows)}
        texts, first, number = np.unique(np.array(self.texts(column)), return_index=True, return_inverse=True)
        order = np.argsort(number, kind="stable")
        rows = np.split(order, np.cumsum(np.bincount(number))[:-1])
        return {str(texts[i]): rows[i] for i in np.argsort(first)}

    def is_numeric(self, name: str) -> bool:
        """Are all cells numbers, or missing?"""
        return self._as_numbers(name) is not None

    def _as_numbers(self, name: str) -> np.ndarray | None:
        column = self.columns[name]
        kind = column.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            column = _without_missing(column)
            if self.has_comma:
                if pc.any(pc.match_substring_regex(column, _NO_THOUSANDS)).as_py():
                    return None
                column = pc.replace_substring(pc.replace_substring(column, ".", ""), ",", ".")
        elif not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
            if not pa.types.is_boolean(kind):
                return None
            column = pc.cast(column, pa.int8())
        try:
            values = pc.cast(column, pa.float64(), safe=False)
        except pa.ArrowInvalid:
            return None
        return np.asarray(pc.fill_null(values, np.nan).to_numpy(), np.float64)

    def _first_text(self, name: str) -> tuple[int, str]:
        """The first cell that is no number."""
        for row, text in enumerate(self.texts(name)):
            if text not in _MISSING and not _is_number(text, self.has_comma):
                return row, text
        return 0, str(self.columns[name].type)


def read_table(path: str, *, delimiter: str = "auto", decimal: str = "auto") -> Table:
    """Reads a table; "-" is standard input. delimiter: a key of DELIMITERS; decimal: "point" or "comma"; or "auto".

    Raises:
      UserError: no such file, an unknown ending, not UTF-8, nothing in it, no rows under the header, a header of
        numbers, a column named twice or not at all, a row with another number of cells (file:line), or numbers that
        may have thousands or decimals after their comma.
    """
    if path == STANDARD_INPUT:
        return _read_text(
            list(read_rows(standard_input("a table"), "standard input")), "standard input", delimiter, decimal
        )
    suffix = ending(path)
    if suffix not in _SUFFIXES:
        raise UserError(f"{path}: the name of a table must end in .csv, .tsv, .txt (and then perhaps .gz) or .parquet.")
    if suffix in (".parquet", ".pq"):
        return _read_parquet(path)
    with open_bytes(path, "the table") as stream:
        return _read_text(list(read_rows(stream, path)), path, delimiter, decimal)


def _read_text(lines: list[str], path: str, delimiter: str, decimal: str) -> Table:
    kept = [number for number, line in enumerate(lines, start=1) if line.strip()]
    if not kept:
        raise UserError(f"{path} is empty. The first line of a table names its columns.")
    between = DELIMITERS.get(delimiter) or guess_delimiter(lines[kept[0] - 1], ending(path))
    columns = _parse([lines[number - 1] for number in kept], between, path, kept)
    if len(kept) == 1:
        raise UserError(f"{path}: no rows under the header, which names {', '.join(columns)}.")
    table = Table(path, columns, np.array(kept[1:]))
    if table.num_rows != len(kept) - 1:  # texts with line ends in them
        table = table._replace(lines=None)
    return table._replace(has_comma=_has_comma(table, decimal))


def guess_delimiter(header: str, suffix: str) -> str:
    """What is between the names in a header."""
    if suffix == ".tsv":
        return "\t"
    unquoted = re.sub(r'"[^"]*"', "", header)
    return max(";", "\t", ",", key=unquoted.count)  # the first of those as often


def _parse(lines: Sequence[str], delimiter: str, path: str, numbers: Sequence[int]) -> dict[str, Any]:
    if delimiter == " ":
        lines = [" ".join(line.split()) for line in lines]
    source = pa.BufferReader(("\n".join(lines) + "\n").encode())
    widest = max(1 << 20, 4 * max(map(len, lines)))
    ragged: list[Any] = []

    def skip(row: Any) -> str:
        ragged.append(row)
        return "skip"

    parsing = pa_csv.ParseOptions(delimiter=delimiter, invalid_row_handler=skip)
    # All are read as texts, the header among them, under the names that Arrow makes up; more of them do no harm.
    types = {f"f{i}": pa.string() for i in range(lines[0].count(delimiter) + 1)}
    converting = pa_csv.ConvertOptions(column_types=types, strings_can_be_null=False)
    # One thread: only then are rows counted.
    serial = pa_csv.ReadOptions(autogenerate_column_names=True, block_size=widest, use_threads=False)
    try:
        whole = pa_csv.read_csv(source, serial, parsing, converting)
    except pa.ArrowInvalid as error:
        raise UserError(f"{path}: not a table that is understood: {error}.") from error
    if ragged:
        _refuse_ragged(ragged[0], path, numbers, delimiter)
    names = [column[0].as_py().strip() for column in whole.columns]
    _check_header(names, path)
    return {name: column.slice(1) for name, column in zip(names, whole.columns, strict=True)}


def _refuse_ragged(row: Any, path: str, numbers: Sequence[int], delimiter: str) -> None:
    place = f"{path}:{numbers[row.number - 1]}" if row.number else path
    comma = " Are commas in numbers decimal ones? Then say --delimiter and --decimal." if delimiter == "," else ""
    raise UserError(f"{place}: {row.actual_columns} cells where the header has {row.expected_columns}.{comma}")


def _check_header(names: Sequence[str], path: str) -> None:
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise UserError(f"{path}: the header names the column {twice[0]!r} twice. Give each a name of its own.")
    if any(_is_number(name, False) for name in names) and all(not name or _is_number(name, False) for name in names):
        raise UserError(f"{path}: the first line holds numbers alone, where the names of the columns are needed.")
    if "" in names[1:]:
        raise UserError(f"{path}: the header gives column {names[1:].index('') + 2} no name.")


def _read_parquet(path: str) -> Table:
    if not Path(path).is_file():
        raise UserError(f"Cannot read the table {path}: No such file or directory.")
    try:
        whole = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} is damaged, or no Parquet file: {error}.") from error
    if not whole.num_rows or not whole.num_columns:
        raise UserError(f"{path}: no rows.")
    _check_header(whole.column_names, path)
    return Table(path, dict(zip(whole.column_names, whole.columns, strict=True)), None)


def is_missing(text: str) -> bool:
    """Does a cell hold nothing, or one of the usual words for it?"""
    return text in _MISSING


def _has_comma(table: Table, decimal: str) -> bool:
    """Do numbers have decimal commas? Only where some cell cannot be read otherwise."""
    if decimal != "auto":
        return decimal == "comma"
    doubtful: tuple[int, str] | None = None
    for name in table.columns:
        texts = [text for text in table.texts(name) if text not in _MISSING]
        if not texts or "," not in "".join(texts) or table.is_numeric(name):
            continue
        if all(_DECIMAL_COMMA.fullmatch(text) or _is_number(text, False) for text in texts):
            commas = [text for text in texts if "," in text]
            if not all(_THOUSANDS.fullmatch(text) for text in commas) and not any(map(_POINT.fullmatch, texts)):
                return True
            doubtful = doubtful or (table.texts(name).index(commas[0]), commas[0])
    if doubtful:
        raise UserError(
            f"{table.where(doubtful[0])}: {doubtful[1]!r} may have thousands or decimals after its comma. Say"
            " --decimal=comma, or write the numbers without separators of thousands."
        )
    return False


def _without_missing(column: Any) -> Any:
    column = pc.utf8_trim_whitespace(column)
    missing = pc.is_in(column, value_set=pa.array(_MISSING, column.type))
    return pc.if_else(missing, pa.scalar(None, column.type), column)


def _is_number(text: str, has_comma: bool) -> bool:
    if has_comma:
        if re.search(_NO_THOUSANDS, text):
            return False
        text = text.replace(".", "").replace(",", ".")
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text
