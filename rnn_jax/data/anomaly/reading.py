"""Tables and datasets → series with marks, as `Series`: marks in `past` (T, 1), or (T, 0) without; inputs in `future`.

Rows are steps, whatever their times say.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rnn_jax.data.anomaly_config import AnomalyConfig
from rnn_jax.data.datasets import open_split, read_examples
from rnn_jax.data.fields import field_values, flat_features
from rnn_jax.data.once import once
from rnn_jax.data.series.frequency import Times
from rnn_jax.data.series.from_dataset import read_series_split
from rnn_jax.data.series.from_table import choose_columns
from rnn_jax.data.series.series import Columns, Series, SeriesSet
from rnn_jax.data.series.spacing import Rules, Where, counted, time_order
from rnn_jax.data.series.table import STANDARD_INPUT, Table, read_table
from rnn_jax.data.series.times import read_times
from rnn_jax.errors import UserError

_IN_NAMES = "anomal"  # of what marks anomalies by itself
_MARKS = (0.0, 1.0)


def marks_of(series: Series) -> np.ndarray:
    """(T,) bool, the rows that are marked as anomalous; none where there are no marks."""
    return series.past[:, 0] == 1 if series.past.shape[1] else np.zeros(len(series), bool)


def read_marked(name: str, config: AnomalyConfig, *, needs_marks: bool = False) -> SeriesSet:
    """Reads a file (- is standard input), or a split of the datasets.

    needs_marks: the column that --mark_column names has to be there.

    Raises:
      UserError: as the readers; marks other than 0 and 1; several columns that may be the marks.
    """
    if is_split(name, config):
        return _joined([_read_split(name, dataclasses.replace(config, dataset=one)) for one in _datasets(config)])
    return read_marked_table(name, config, needs_marks=needs_marks)


def is_split(name: str, config: AnomalyConfig) -> bool:
    """Does it name a split, and not a file?"""
    has_splits = bool(config.dataset) and not config.train_file and name != STANDARD_INPUT
    return has_splits and "." not in name.partition("[")[0]


def _datasets(config: AnomalyConfig) -> Sequence[str]:
    return [name.strip() for name in config.dataset.split(",")]


def _joined(parts: Sequence[SeriesSet]) -> SeriesSet:
    """One set of several datasets."""
    first = parts[0]
    for other in parts[1:]:
        if other.columns != first.columns:
            raise UserError(
                f"{other.name} has the columns {', '.join(other.columns.target)}, and {first.name}"
                f" {', '.join(first.columns.target)}: --dataset=A,B takes datasets of the same columns."
            )
    ids = [one.id for part in parts for one in part.series]
    if len(set(ids)) < len(ids):
        raise UserError(f"{', '.join(part.name for part in parts)}: two series have one id. Give them apart.")
    return dataclasses.replace(
        first,
        name=", ".join(part.name for part in parts),
        series=tuple(one for part in parts for one in part.series),
        notes=tuple(note for part in parts for note in part.notes),
    )


@once
def _read_split(split: str, config: AnomalyConfig) -> SeriesSet:
    source = open_split(config.dataset, split, config.data_dir)
    features = flat_features(source.dataset_info.features)
    name, first = f"{config.dataset} {split}", read_examples(source)[0]
    arrays = {field: np.asarray(field_values([first], field)[0]) for field in features}
    numbers = {
        field: array
        for field, array in arrays.items()
        if array.ndim in (1, 2) and array.dtype.kind in "iufb" and len(array) > 1
    }
    flags = {field: array for field, array in numbers.items() if array.ndim == 1 and array.dtype.kind in "iub"}
    marks = _mark_column(config, {field: array.astype(float) for field, array in flags.items()}, name)
    inputs = tuple(column for field in config.input_columns for column in _expanded(field, numbers, name))
    wanted = config.as_series(config.target, marks, inputs)
    return _checked(read_series_split(split, wanted))


def _expanded(field: str, numbers: Mapping[str, np.ndarray], name: str) -> Sequence[str]:
    if field not in numbers:
        raise UserError(
            f"{name}: --input_columns names {field!r}; the sequences of numbers are {', '.join(numbers) or 'none'}."
        )
    array = numbers[field]
    return [field] if array.ndim == 1 else [f"{field}/{i}" for i in range(array.shape[1])]


def _mark_column(config: AnomalyConfig, candidates: Mapping[str, np.ndarray], name: str) -> tuple[str, ...]:
    if config.mark_column:
        if config.mark_column not in candidates:
            raise UserError(
                f"{name}: --mark_column={config.mark_column} is no sequence of zeros and ones; those of integers are"
                f" {', '.join(candidates) or 'none'}."
            )
        return (config.mark_column,)
    found = [
        column for column, values in candidates.items()
        if _IN_NAMES in column.lower() and np.isin(values, _MARKS).all()
    ]  # fmt: skip
    if len(found) > 1:
        raise UserError(f"{name}: {', '.join(found)} can all be the marks; choose one with --mark_column.")
    return tuple(found)


def _checked(data: SeriesSet) -> SeriesSet:
    """UserError where marks are none, or a series has no values."""
    for one in data.series:
        wrong = ~np.isin(one.past, _MARKS)
        if wrong.any():
            row = int(np.argmax(wrong[:, 0]))
            raise UserError(
                f"{data.name}: {data.columns.past[0]!r} is {one.past[row, 0]:g} in row {row + 1} of the series"
                f" {one.id!r}: marks are 1 for an anomaly, and 0."
            )
        if not np.isfinite(one.values).any():
            raise UserError(f"{data.name}: all values of the series {one.id!r} are missing. Leave it out.")
    if data.columns.past:
        return data
    return dataclasses.replace(
        data, notes=(*data.notes, f"{data.name}: nothing marks anomalies (see --mark_column), so none can be scored.")
    )


class MarkedTable(NamedTuple):
    """The series of a table; of each the rows of the table (T,) that its rows are; the column of times, "" without."""

    data: SeriesSet
    rows: tuple[np.ndarray, ...]
    time: str


@once
def read_marked_table(path: str, config: AnomalyConfig, *, needs_marks: bool = False) -> SeriesSet:
    """Reads a CSV, TSV or Parquet file: wide, or long with a column of ids.

    Raises:
      UserError: as `read_table` and `series_in`.
    """
    table = read_table(path, delimiter=config.delimiter, decimal=config.decimal)
    return series_in(table, config, needs_marks=needs_marks).data


def series_in(table: Table, config: AnomalyConfig, *, needs_marks: bool = False) -> MarkedTable:
    """The series of a table.

    Raises:
      UserError: a column that is not there, is used twice or holds no numbers; marks other than 0 and 1; times out of
        order; a series without values.
    """
    marks = _marks_in(table, config, needs_marks)
    _require_columns(table, config)
    given = Columns(config.target, marks, config.input_columns)
    chosen = choose_columns(table, config.time_column, config.id_column, given)
    columns, notes = chosen.columns, list(chosen.notes)
    numbers = {name: table.numbers(name) for name in (*columns.target, *columns.past, *columns.future)}
    times = _times(table, chosen.time, config)
    if columns.past:
        _require_marks(table, columns.past[0], numbers[columns.past[0]])
    series, rows_of = [], []
    for identity, rows in table.rows_by(chosen.id).items():
        if times is not None:
            rows = rows[time_order(times[rows], Rules(sort=config.sort), _where(table, rows))]
        values, past, future = (_stacked(numbers, names, rows) for names in columns[:3])
        series.append(Series(identity, values, None if times is None else times[rows], past, future))
        rows_of.append(rows)
    if missing := sum(int(np.isnan(one.values).sum()) for one in series):
        notes.append(f"{table.path}: missing, and no part of losses and errors: {counted(missing, 'value')}.")
    data = SeriesSet(table.path, tuple(series), columns, has_ids=bool(chosen.id), notes=tuple(notes))
    return MarkedTable(_checked(data), tuple(rows_of), chosen.time)


def _times(table: Table, column: str, config: AnomalyConfig) -> Times | None:
    if not column:
        return None
    read = read_times(table.texts(column), config.date_order)
    if read.problem:
        raise UserError(
            f"{table.where(read.row)}: the column {column!r} holds times, and {read.problem}. Correct it, or give"
            " --time_column=none."
        )
    return read.times


def _stacked(numbers: Mapping[str, np.ndarray], names: Sequence[str], rows: np.ndarray) -> np.ndarray:
    return np.stack([numbers[name][rows] for name in names], axis=1) if names else np.zeros((len(rows), 0))


def _where(table: Table, rows: np.ndarray) -> Where:
    return lambda row: table.where(int(rows[row]))


def _require_columns(table: Table, config: AnomalyConfig) -> None:
    """Under the names that the flags have here."""
    for column in config.input_columns:
        table.require(column, "input_columns")
    used = [*config.target, *config.input_columns, config.mark_column, config.id_column]
    if twice := [column for column in used if column and used.count(column) > 1]:
        raise UserError(f"{table.path}: the column {twice[0]!r} is named by two flags. Name it once.")


def _marks_in(table: Table, config: AnomalyConfig, needs_marks: bool) -> tuple[str, ...]:
    if config.mark_column:
        if needs_marks:
            table.require(config.mark_column, "mark_column")
        return (config.mark_column,) if config.mark_column in table.columns else ()
    used = (*config.target, *config.input_columns, config.time_column, config.id_column)
    named = [name for name in table.columns if _IN_NAMES in name.lower() and name not in used]
    return _mark_column(config, {name: table.numbers(name) for name in named if table.is_numeric(name)}, table.path)


def _require_marks(table: Table, column: str, values: np.ndarray) -> None:
    wrong = ~np.isin(values, _MARKS)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UserError(
            f"{table.where(row)}: the column {column!r} marks anomalies, and holds"
            f" {table.texts(column)[row] or 'nothing'!r}: 1 for an anomaly, and 0, is what it takes."
        )
