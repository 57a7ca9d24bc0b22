"""A table → series: wide (one series, a row a time) or long (a column of ids says which series a row belongs to)."""

from typing import NamedTuple

import numpy as np

from rnn_jax.data.once import once
from rnn_jax.data.series.frequency import Frequency, Times
from rnn_jax.data.series.series import Columns, Series, SeriesSet, of_series
from rnn_jax.data.series.spacing import Rules, Where, counted, frequency_of, place, rules_of, time_order
from rnn_jax.data.series.table import Table, read_table
from rnn_jax.data.series.times import looks_like_times, read_times
from rnn_jax.data.series_config import NO_TIMES, SeriesConfig
from rnn_jax.errors import UserError

_LOOKED_AT = 100  # first rows of a column, to see whether it holds times
_MOST_NAMES = 10  # in a note


class Chosen(NamedTuple):
    """Which columns are what; "" for none."""

    time: str
    id: str
    columns: Columns
    notes: tuple[str, ...]


@once
def read_series_table(path: str, config: SeriesConfig) -> SeriesSet:
    """Reads a CSV, TSV or Parquet file.

    The knobs say which columns are what. Without them, the times are the first column that reads as times (without
    one, rows are steps), and the targets are all columns of numbers that nothing else uses. Rows at the end in which
    every target is missing, but not what is known in advance, are times to come.

    Raises:
      UserError: as `read_table`; a column that is not there or used twice, or holds no numbers (times); nothing to
        forecast; rows out of order, doubled or left out; static columns that change within a series.
    """
    table = read_table(path, delimiter=config.delimiter, decimal=config.decimal)
    given = Columns(config.target, config.past_columns, config.known_future, config.static_columns)
    chosen = choose_columns(table, config.time_column, config.id_column, given)
    times, notes = None, list(chosen.notes)
    if table.has_comma:
        notes.append(f"{table.path}: numbers have decimal commas.")
    if chosen.time:
        read = read_times(table.texts(chosen.time), config.date_order)
        if read.problem:
            raise UserError(
                f"{table.where(read.row)}: the column {chosen.time!r} holds times, and {read.problem}. Correct it, or"
                " name another column with --time_column, or none."
            )
        times = read.times
        notes.append(f"{table.path}: the column {chosen.time!r} holds the times ({read.format}).")
    return _assemble(table, chosen, times, config.frequency, rules_of(config), notes)


def _assemble(
    table: Table, chosen: Chosen, times: Times | None, frequency: str, rules: Rules, notes: list[str]
) -> SeriesSet:
    columns = chosen.columns
    kinds = {"target": columns.target, "past_columns": columns.past, "known_future": columns.future}
    numbers = [table.numbers(name, flag) for flag, names in kinds.items() for name in names]
    values = np.stack(numbers, axis=1)
    groups = _groups(table, chosen.id)
    step: Frequency | None = None
    if times is not None:
        for name, rows in groups.items():
            groups[name] = rows[time_order(times[rows], rules, _where(table, rows))]
        step, note = frequency_of([times[rows] for rows in groups.values()], frequency, table.path)
        notes.append(note)
    elif frequency:
        raise UserError(f"--frequency={frequency}: {table.path} has no times; name their column with --time_column.")
    series, doubled, missing = [], 0, 0
    for name, rows in groups.items():
        own, grid = values[rows], None
        if times is not None and step is not None:
            placed = place(times[rows], own, step, rules, _where(table, rows))
            own, grid = placed.values, placed.times
            doubled, missing = doubled + placed.num_duplicates, missing + placed.num_missing
        static = tuple(_constant(table, column, rows, name) for column in columns.static)
        series.append(_cut(name, own, grid, columns, static, table))
    if doubled:
        notes.append(
            f"{table.path}: {counted(doubled, 'row')} of a time that is there twice (--duplicates={rules.duplicates})."
        )
    if missing:
        notes.append(f"{table.path}: left out, and taken as missing: {counted(missing, 'row')}.")
    count = sum(int(np.isnan(one.values).sum()) for one in series)
    if count:
        notes.append(f"{table.path}: missing, and no part of losses and scores: {counted(count, 'value')}.")
    return SeriesSet(
        table.path, tuple(series), columns, step, has_ids=bool(chosen.id), notes=tuple(filter(None, notes))
    )


def _where(table: Table, rows: np.ndarray) -> Where:
    return lambda row: table.where(int(rows[row]))


def _cut(name: str, values: np.ndarray, times: Times | None, columns: Columns, static: tuple, table: Table) -> Series:
    """Rows (n, C + O + K) → a series; what is after the last row with a target is to come, if known in advance."""
    num_target, num_past = len(columns.target), len(columns.past)
    target, past, future = np.split(values, [num_target, num_target + num_past], axis=1)
    observed = ~np.isnan(target).all(axis=1)
    length = len(target)
    if columns.future and not observed.all() and not np.isnan(future[-1]).all():
        length = int(np.max(np.flatnonzero(observed), initial=-1)) + 1
    if not length or not observed.any():
        raise UserError(
            f"{table.path}: all values of {', '.join(columns.target[:_MOST_NAMES])}{of_series(name)} are missing."
        )
    return Series(name, target[:length], None if times is None else times[:length], past[:length], future, static)


def _groups(table: Table, column: str) -> dict[str, np.ndarray]:
    """The rows of each series, in the order of the file."""
    groups = table.rows_by(column)
    if column and "" in groups:
        raise UserError(f"{table.where(int(groups[''][0]))}: the column {column!r} says no series. Fill it in.")
    return groups


def _constant(table: Table, column: str, rows: np.ndarray, name: str) -> float | str:
    if table.is_numeric(column):
        values = table.numbers(column, "static_columns")[rows]
        changed = np.flatnonzero(values != values[0])
        value: float | str = float(values[0])
    else:
        texts = table.texts(column)
        changed = np.array([i for i, row in enumerate(rows) if texts[row] != texts[rows[0]]])
        value = texts[rows[0]]
    if len(changed):
        raise UserError(
            f"{table.where(int(rows[changed[0]]))}: the static column {column!r} changes within the series {name!r}."
            " Name it in --past_columns or --known_future."
        )
    return value


def choose_columns(table: Table, time: str, identity: str, given: Columns) -> Chosen:
    """Resolves which columns are what."""
    flags: dict[str, tuple[str, ...]] = {
        "time_column": (time,) if time not in ("", NO_TIMES) else (),
        "id_column": (identity,) if identity else (),
    }
    flags |= {"target": given.target, "past_columns": given.past}
    flags |= {"known_future": given.future, "static_columns": given.static}
    used: dict[str, str] = {}
    for flag, names in flags.items():
        for name in names:
            table.require(name, flag)
            if name in used:
                raise UserError(f"The column {name!r} is named by --{used[name]} and again by --{flag}.")
            used[name] = flag
    notes = []
    rest = [name for name in table.columns if name not in used]
    if not time:
        time = next((name for name in rest if looks_like_times(table.texts(name, _LOOKED_AT))), "")
        rest = [name for name in rest if name != time]
        if not time:
            notes.append(f"{table.path}: no column reads as times, so each row is a step (--time_column names one).")
    if given.target:
        if rest:
            notes.append(f"{table.path}: not used: {_listed(rest)}.")
        return Chosen(time if time != NO_TIMES else "", identity, given, tuple(notes))
    counters = [name for name in rest if _is_counter(table, name)]
    texts = [name for name in rest if name not in counters and not table.is_numeric(name)]
    targets = tuple(name for name in rest if name not in (*counters, *texts))
    if texts and targets:
        why = " (if it says which series a row belongs to: --id_column)" if not identity else ""
        notes.append(f"{table.path}: no numbers, so not used: {_listed(texts)}{why}.")
    if counters:
        notes.append(f"{table.path}: counts the rows, so not used: {_listed(counters)}.")
    if not targets and texts:
        table.numbers(texts[0])  # says which cell is no number
    if not targets:
        raise UserError(f"{table.path}: no column of numbers to forecast, of {_listed(list(table.columns))}.")
    return Chosen(time if time != NO_TIMES else "", identity, given._replace(target=targets), tuple(notes))


def _is_counter(table: Table, name: str) -> bool:
    """Does it say 0, 1, 2, … or 1, 2, 3, …, under no name or one for that?"""
    if name.strip().lower() not in ("", "index", "row", "step", "t", "no", "unnamed: 0") or not table.is_numeric(name):
        return False
    values = table.numbers(name)
    return len(values) > 1 and bool(np.all(np.diff(values) == 1)) and values[0] in (0, 1)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(map(repr, names[:_MOST_NAMES])) + more
