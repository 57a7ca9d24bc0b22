"""A split of a TFDS dataset → series: fields are found by the types of its features, never by its name.

values      the only sequence of floats, (T,) or (T, C); where there is none, the only other one of integers
times       the only sequence of integers that are seconds (or thousandths, …) since 1970, one after the other
id          the only text
columns     are named as the dataset's metadata has them ("columns"), else by number; the season as "seasonal_period"
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnn_jax.data.datasets import open_split, read_examples
from rnn_jax.data.fields import decode_texts, field_values, flat_features
from rnn_jax.data.once import once
from rnn_jax.data.series.frequency import Frequency, Times
from rnn_jax.data.series.series import Columns, Series, SeriesSet
from rnn_jax.data.series.spacing import Rules, counted, frequency_of, place, rules_of, time_order
from rnn_jax.data.series.times import since_1970
from rnn_jax.data.series_config import NO_TIMES, SeriesConfig
from rnn_jax.errors import UserError


@once
def read_series_split(split: str, config: SeriesConfig) -> SeriesSet:
    """Reads a split of config.dataset, an example a series.

    Raises:
      UserError: as `open_split`; no field or several fit (names the candidates and the flag); values that are infinite;
        two series of one id; times out of order, doubled or left out.
    """
    source = open_split(config.dataset, split, config.data_dir)
    features = flat_features(source.dataset_info.features)
    examples = read_examples(source)
    name = f"{config.dataset} {split}"
    sequences = {field: ndim for field, feature in features.items() if (ndim := _sequence_ndim(feature))}
    time = _time_field(config, sequences, features, examples, name)
    value = _value_field(config, sequences, features, time, name)
    metadata = source.dataset_info.metadata or {}
    names = _column_names(value, field_values(examples[:1], value)[0], metadata)
    others = tuple(field for field in sequences if field not in (value, time))
    columns = _columns(config, names, others, tuple(set(features) - set(sequences)), name)
    ids, has_ids = _ids(config, features, examples, name)
    tables = [_columns_of(example, value, names, others) for example in examples]
    times = _times(examples, time, name) if time else [None] * len(examples)
    statics = _statics(columns.static, examples, name)
    read = _Reader(name, columns, rules_of(config), config.frequency)
    series, frequency, notes = read.all(ids, tables, times, statics)
    used = {column.partition("/")[0] for column in (*columns.past, *columns.future, *columns.target)}
    unused = [other for other in others if other.partition("/")[0] not in used]
    if unused:
        notes.append(f"{name}: not used: {', '.join(map(repr, unused))}.")
    season = metadata.get("seasonal_period") if isinstance(metadata, Mapping) else None
    return SeriesSet(name, series, columns, frequency, season, has_ids, tuple(notes))


class _Reader:
    """Places each series on the grid of time."""

    def __init__(self, name: str, columns: Columns, rules: Rules, frequency: str):
        self._name, self._columns, self._rules, self._frequency = name, columns, rules, frequency

    def all(
        self,
        ids: Sequence[str],
        tables: Sequence[Mapping[str, np.ndarray]],
        times: Sequence[Times | None],
        statics: Sequence[tuple],
    ) -> tuple[tuple[Series, ...], Frequency | None, list[str]]:
        frequency, notes = None, []
        given = [own for own in times if own is not None]
        if given:
            frequency, note = frequency_of([np.sort(own) for own in given], self._frequency, self._name)
            notes = [note] if note else []
        rows = zip(ids, tables, times, statics, strict=True)
        series = tuple(self._one(*row, frequency) for row in rows)
        if missing := sum(int(np.isnan(one.values).sum()) for one in series):
            notes.append(f"{self._name}: missing, and no part of losses and scores: {counted(missing, 'value')}.")
        return series, frequency, notes

    def _one(
        self, identity: str, table: Mapping[str, np.ndarray], times: Times | None, static: tuple, step: Frequency | None
    ) -> Series:
        columns = self._columns
        names = (*columns.target, *columns.past, *columns.future)
        lengths = {name: len(table[name]) for name in names}
        if len(set(lengths.values())) > 1 or (times is not None and len(times) != next(iter(lengths.values()))):
            raise UserError(f"{self._name}, series {identity!r}: columns have different lengths: {lengths}.")
        values = np.stack([table[name].astype(np.float64) for name in names], axis=1)
        if np.isinf(values).any():
            row = int(np.argmax(np.isinf(values).any(axis=1)))
            raise UserError(f"{self._name}, series {identity!r}, step {row}: a value is infinite.")
        if times is not None and step is not None:
            places = f"{self._name}, series {identity!r}, step"
            order = time_order(times, self._rules, lambda row: f"{places} {row}")
            placed = place(times[order], values[order], step, self._rules, lambda row: f"{places} {order[row]}")
            values, times = placed.values, placed.times
        target, past, future = np.split(values, np.cumsum([len(columns.target), len(columns.past)]), axis=1)
        return Series(identity, target, times, past, future, static)


def _sequence_ndim(feature: Any) -> int:
    """1 for (T,), 2 for (T, C) of numbers, T fixed or not; 0 for anything else."""
    inner = getattr(feature, "feature", None)
    shape, dtype = feature.shape, feature.np_dtype if inner is None else inner.np_dtype
    if shape is None or not 1 <= len(shape) <= 2 or shape[0] in (0, 1):
        return 0
    return len(shape) if np.issubdtype(dtype, np.number) or np.issubdtype(dtype, np.bool_) else 0


def _is_float(feature: Any) -> bool:
    inner = getattr(feature, "feature", feature)
    return bool(np.issubdtype(inner.np_dtype, np.floating))


def _is_text(feature: Any) -> bool:
    return feature.shape == () and not np.issubdtype(feature.np_dtype, np.number)


def _time_field(
    config: SeriesConfig,
    sequences: Mapping[str, int],
    features: Mapping[str, Any],
    examples: Sequence[Mapping[str, Any]],
    name: str,
) -> str:
    if config.time_column == NO_TIMES:
        return ""
    flat = [field for field, ndim in sequences.items() if ndim == 1 and not _is_float(features[field])]
    if config.time_column:
        if config.time_column not in flat:
            raise UserError(
                f"{name}: --time_column={config.time_column} is no sequence of integers; those are"
                f" {', '.join(flat) or 'none'}."
            )
        return config.time_column
    found = [field for field in flat if _are_times(field_values(examples[:1], field)[0])]
    if len(found) > 1:
        raise UserError(f"{name}: {', '.join(found)} can all be the times; choose one with --time_column.")
    return found[0] if found else ""


def _are_times(values: Any) -> bool:
    numbers = np.asarray(values)
    return len(numbers) > 1 and bool(np.all(np.diff(numbers) >= 0)) and since_1970(numbers) is not None


def _value_field(
    config: SeriesConfig, sequences: Mapping[str, int], features: Mapping[str, Any], time: str, name: str
) -> str:
    fits = [field for field in sequences if field != time]
    if config.value_field:
        if config.value_field not in fits:
            raise UserError(
                f"{name}: --value_field={config.value_field} is no sequence of numbers; those are"
                f" {', '.join(fits) or 'none'}."
            )
        return config.value_field
    fits = [field for field in fits if _is_float(features[field])] or fits
    if not fits:
        raise UserError(f"{name}: no field is a sequence of numbers; the fields are {', '.join(features)}.")
    if len(fits) > 1:
        raise UserError(f"{name}: {', '.join(fits)} can all be the values; choose one with --value_field.")
    return fits[0]


def _column_names(field: str, values: Any, metadata: Any) -> tuple[str, ...]:
    values = np.asarray(values)
    if values.ndim == 1:
        return (field,)
    known = metadata.get("columns") if isinstance(metadata, Mapping) else None
    if isinstance(known, Sequence) and len(known) == values.shape[1] and len(set(known)) == len(known):
        return tuple(map(str, known))
    return tuple(map(str, range(values.shape[1])))


def _columns_of(
    example: Mapping[str, Any], value: str, names: Sequence[str], others: Sequence[str]
) -> dict[str, np.ndarray]:
    values = np.asarray(field_values([example], value)[0])
    found = dict(zip(names, values.reshape(len(values), len(names)).T, strict=True))
    for other in others:
        array = np.asarray(field_values([example], other)[0])
        if array.ndim == 1:
            found.setdefault(other, array)
        else:
            found |= {f"{other}/{i}": column for i, column in enumerate(array.T)}
    return found


def _columns(
    config: SeriesConfig, names: tuple[str, ...], others: tuple[str, ...], single: tuple[str, ...], name: str
) -> Columns:
    given = {"target": config.target, "past_columns": config.past_columns, "known_future": config.known_future}
    known = (*names, *others)
    used: dict[str, str] = {}
    for flag, chosen in given.items():
        for column in chosen:
            if column not in known and column.rpartition("/")[0] not in others:
                raise UserError(f"{name}: --{flag} names {column!r}; the columns are {', '.join(known)}.")
            if column in used:
                raise UserError(f"The column {column!r} is named by --{used[column]} and again by --{flag}.")
            used[column] = flag
    if wrong := [column for column in config.static_columns if column not in single]:
        raise UserError(f"{name}: --static_columns names {wrong[0]!r}; allowed: {', '.join(sorted(single)) or 'none'}.")
    target = config.target or tuple(column for column in names if column not in used)
    if not target:
        raise UserError(f"{name}: nothing is left to forecast; name it with --target.")
    return Columns(target, config.past_columns, config.known_future, config.static_columns)


def _ids(
    config: SeriesConfig, features: Mapping[str, Any], examples: Sequence[Mapping[str, Any]], name: str
) -> tuple[list[str], bool]:
    texts = [field for field, feature in features.items() if _is_text(feature)]
    texts = [field for field in texts if field not in config.static_columns]
    if config.id_column and config.id_column not in features:
        raise UserError(f"{name}: --id_column={config.id_column} is no field; texts are {', '.join(texts) or 'none'}.")
    field = config.id_column or (texts[0] if len(texts) == 1 else "")
    if not field:
        return ([""] if len(examples) == 1 else [str(i) for i in range(len(examples))]), False
    values = field_values(examples, field)
    ids = decode_texts(values, name, field) if isinstance(values[0], bytes) else [str(value) for value in values]
    if len(set(ids)) < len(ids):
        twice = next(one for one in ids if ids.count(one) > 1)
        raise UserError(f"{name}: two series have the {field} {twice!r}; name another field with --id_column.")
    return ids, True


def _times(examples: Sequence[Mapping[str, Any]], field: str, name: str) -> list[Times]:
    found = []
    for row, values in enumerate(field_values(examples, field)):
        times = since_1970(np.asarray(values))
        if times is None:
            raise UserError(f"{name}: {field!r} of example {row} is no time since 1970; see --time_column.")
        found.append(times)
    return found


def _statics(fields: Sequence[str], examples: Sequence[Mapping[str, Any]], name: str) -> list[tuple]:
    columns: list[list] = []
    for field in fields:
        values = field_values(examples, field)
        columns.append(
            decode_texts(values, name, field) if isinstance(values[0], bytes) else [float(value) for value in values]
        )
    return list(zip(*columns, strict=True)) if columns else [()] * len(examples)
