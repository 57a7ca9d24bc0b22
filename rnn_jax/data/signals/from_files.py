"""The user's files → signals: long tables, lists of sound files, folders of them; single ones to predict from.

A long table has a row a step: a column of ids says which sequence it belongs to (none: all are one), others hold its
numbers, its label, and what is asked for by flags. A table with a column `path` lists WAV files, beside it, instead.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rnn_jax.data.compressed import ending
from rnn_jax.data.once import once
from rnn_jax.data.series.table import Table, read_table
from rnn_jax.data.series.times import looks_like_times
from rnn_jax.data.signals.sequences import Sequences
from rnn_jax.data.signals.signals import UNLABELLED, Form, Signals, without_missing
from rnn_jax.data.signals.wav import read_wav
from rnn_jax.data.signals_config import SignalConfig
from rnn_jax.errors import UserError

_PATH = "path"
_LABEL = "label"
_LOOKED_AT = 100  # first rows of a column, to see whether it holds times
_FLAG = "signal_field"


@once
def read_signal_file(
    path: str, config: SignalConfig, channels: tuple[str, ...] = (), need_labels: bool = True
) -> Signals:
    """Reads a table, a WAV or .npy file, or a folder of WAV files.

    channels: columns that hold the signal, where a trained model knows them.

    Raises:
      UserError: no such file, a column that is named or needed is missing, cells that are no numbers (file:line, column
        and flag), sound of different rates or channels.
    """
    if Path(path).is_dir():
        return _read_folder(Path(path), config)
    if ending(path) == ".wav":
        return _read_sounds(path, [path], [UNLABELLED], config)
    if ending(path) == ".npy":
        return _read_array(path, config)
    table = read_table(path)
    if _PATH in table.columns and config.id_field not in table.columns:
        return _read_list(table, config, need_labels)
    return _read_long(table, config, channels, need_labels)


def _read_folder(folder: Path, config: SignalConfig) -> Signals:
    files = sorted(file for file in folder.glob("*/*") if file.suffix.lower() == ".wav")
    if not files:
        raise UserError(f"{folder}: no WAV files. A folder of sound has a folder for each label, with its files.")
    _refuse(config, str(folder))
    return _read_sounds(str(folder), [str(file) for file in files], [file.parent.name for file in files], config)


def _read_list(table: Table, config: SignalConfig, need_labels: bool) -> Signals:
    folder = Path(table.path).parent
    files = [str(folder / name) for name in table.texts(_PATH)]
    labels = _labels(table, config, need_labels)
    signals = _read_sounds(table.path, files, labels or [UNLABELLED] * len(files), config)
    rows = np.arange(table.num_rows)
    return signals._replace(groups=_groups(table, config, rows, need_labels), statics=_statics(table, config, rows))


def _read_sounds(name: str, files: Sequence[str], labels: list[str], config: SignalConfig) -> Signals:
    read = [read_wav(file) for file in files]
    first_rate, first = read[0]
    for file, (rate, samples) in zip(files, read, strict=True):
        if (rate, samples.shape[1]) != (first_rate, first.shape[1]):
            raise UserError(
                f"{file} has {samples.shape[1]} channels of {rate:g} Hz, where {files[0]} has {first.shape[1]} of"
                f" {first_rate:g} Hz: bring all to one form first."
            )
    channels = tuple(map(str, range(first.shape[1])))
    rows = without_missing(files, [samples for _, samples in read], config.missing)
    form = Form(channels, config.sample_rate or first_rate, config.static_fields)
    none = [""] * len(files)
    statics = np.zeros((len(files), 0))
    return Signals(name, form, Sequences.from_rows(rows), labels, list(files), none, statics)


def _read_array(path: str, config: SignalConfig) -> Signals:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"Cannot read the array {path}: {error}.") from error
    if not isinstance(array, np.ndarray) or array.ndim < 1 or array.dtype.kind not in "iufb":
        raise UserError(f"{path}: an array of numbers (steps, …) is needed.")
    array = array[:, None] if array.ndim == 1 else array
    (row,) = without_missing([path], [array], config.missing)
    form = Form(tuple(map(str, range(row.shape[-1]))), config.sample_rate)
    return Signals(path, form, Sequences.from_rows([row]), [UNLABELLED], [path], [""], np.zeros((1, 0)))


def _read_long(table: Table, config: SignalConfig, channels: tuple[str, ...], need_labels: bool) -> Signals:
    has_ids = config.id_field in table.columns
    rows_of = table.rows_by(config.id_field if has_ids else "")
    order, lengths = np.concatenate(list(rows_of.values())), np.array([len(rows) for rows in rows_of.values()])
    labels = _labels(table, config, need_labels)
    starts = np.cumsum(lengths) - lengths
    first = order[starts]
    columns, clock = (channels, "") if channels else _signal_columns(table, config, order, starts)
    for column in columns:
        table.require(column, _FLAG)
    notes = (f"{table.path}: the column {clock!r} only counts steps or times, and is left out.",) if clock else ()
    values = np.stack([table.numbers(column, _FLAG) for column in columns], axis=1)[order].astype(np.float32)
    places = [f"{table.path}, {config.id_field} {name!r}" if has_ids else table.path for name in rows_of]
    rows = without_missing(places, np.split(values, np.cumsum(lengths)[:-1]), config.missing)
    step_labels, own = None, [UNLABELLED] * len(rows_of)
    if labels:
        in_order = np.asarray(labels)[order]
        pieces = np.split(in_order, np.cumsum(lengths)[:-1])
        own = [str(piece[0]) for piece in pieces]
        if any((piece != piece[0]).any() for piece in pieces):
            step_labels = np.concatenate([piece[: len(row)] for piece, row in zip(pieces, rows, strict=True)])
    form = Form(columns, config.sample_rate, config.static_fields)
    groups, statics = _groups(table, config, first, need_labels), _statics(table, config, first)
    return Signals(table.path, form, Sequences.from_rows(rows), own, places, groups, statics, step_labels, notes=notes)


def _signal_columns(
    table: Table, config: SignalConfig, order: np.ndarray, starts: np.ndarray
) -> tuple[tuple[str, ...], str]:
    """The columns with the numbers, and one that is left out because it says when a step was; "" for none.

    order: of the rows, one sequence after the other; starts: where each begins.
    """
    if config.signal_field:
        return config.signal_field, ""
    used = {config.id_field, config.label_field or _LABEL, config.group_field, *config.static_fields}
    left = tuple(column for column in table.columns if column not in used)
    clock = next((column for column in left if _is_clock(table, column, order, starts)), "")
    left = tuple(column for column in left if column != clock)
    if not left:
        raise UserError(f"{table.path}: no column is left for the signal; it has {', '.join(table.columns)}.")
    return left, clock


def _is_clock(table: Table, column: str, order: np.ndarray, starts: np.ndarray) -> bool:
    """Does a column hold times, or go up by the same amount from step to step?"""
    if looks_like_times(table.texts(column, _LOOKED_AT)):
        return True
    if not table.is_numeric(column):
        return False
    rises = np.diff(table.numbers(column)[order])
    inside = np.delete(rises, starts[1:] - 1)
    return len(inside) > 1 and bool(inside[0] > 0 and np.allclose(inside, inside[0], rtol=1e-6))


def _labels(table: Table, config: SignalConfig, need_labels: bool) -> list[str]:
    name = config.label_field or _LABEL
    if name not in table.columns and not need_labels:
        return []
    if name not in table.columns:
        raise UserError(
            f"{table.path}: no column {name!r} with the labels; name it with --label_field. The columns are"
            f" {', '.join(table.columns)}."
        )
    labels = table.texts(name)
    if need_labels and UNLABELLED in labels:
        raise UserError(f"{table.where(labels.index(UNLABELLED))}: the label (column {name!r}) is empty.")
    return labels


def _groups(table: Table, config: SignalConfig, rows: np.ndarray, need: bool) -> list[str]:
    if not config.group_field or (config.group_field not in table.columns and not need):
        return [""] * len(rows)
    table.require(config.group_field, "group_field")
    values = table.texts(config.group_field)
    return [values[row] for row in rows]


def _statics(table: Table, config: SignalConfig, rows: np.ndarray) -> np.ndarray:
    for field in config.static_fields:
        table.require(field, "static_fields")
    columns = [table.numbers(field, "static_fields")[rows] for field in config.static_fields]
    return np.stack(columns, axis=1) if columns else np.zeros((len(rows), 0))


def _refuse(config: SignalConfig, folder: str) -> None:
    given = {"group_field": config.group_field, "static_fields": config.static_fields}
    for flag in (flag for flag, value in given.items() if value):
        raise UserError(f"{folder}: --{flag} names a column, and a folder has none: list the files in a table instead.")
