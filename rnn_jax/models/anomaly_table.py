"""A table in, score, threshold and flag of each of its rows out: of the table as a whole, or row by row."""

import collections
import contextlib
import csv
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rnn_jax.data.anomaly.codec import AnomalyCodec, Encoded, id_column_of, like
from rnn_jax.data.anomaly.reading import series_in
from rnn_jax.data.anomaly.windows import Window
from rnn_jax.data.anomaly_config import AnomalyConfig
from rnn_jax.data.lines import open_lines
from rnn_jax.data.series.table import DELIMITERS, STANDARD_INPUT, guess_delimiter, is_missing, read_table
from rnn_jax.data.series.times import looks_like_times
from rnn_jax.data.series_config import NO_TIMES
from rnn_jax.errors import UserError
from rnn_jax.models.anomaly_detector import Detector
from rnn_jax.models.anomaly_errors import errors_of, stream_of
from rnn_jax.models.apply import Apply
from rnn_jax.models.make_watcher import Watcher

Row = dict[str, Any]


def watch_table(
    apply: Apply,
    model: Watcher,
    detector: Detector,
    codec: AnomalyCodec,
    config: AnomalyConfig,
    path: str,
    window: Window,
) -> Iterator[Row]:
    """A row for each row of a table, in its order.

    Raises:
      UserError: as `read_table` and `series_in`; a series that was not trained on, or is shorter than a window.
    """
    table = read_table(path, delimiter=config.delimiter, decimal=config.decimal)
    identity = id_column_of(codec, config, {name: table.texts(name, 1)[0] for name in table.columns})
    found = series_in(table, dataclasses.replace(like(codec, config), id_column=identity))
    for note in found.data.notes:
        print(note, file=sys.stderr, flush=True)
    errors = errors_of(apply, model, [codec.encode_series(one) for one in found.data.series], window)
    scores, thresholds = np.empty((2, table.num_rows))
    flags, ids = np.zeros(table.num_rows, bool), [""] * table.num_rows
    for one, rows, own in zip(found.data.series, found.rows, errors, strict=True):
        number = codec.number_of(one.id)
        scores[rows] = detector.scores(number, own)
        flags[rows], thresholds[rows] = detector.thresholds.decide(number, scores[rows])
        for row in rows:
            ids[row] = one.id
    times = table.texts(found.time) if found.time else None
    for row in range(table.num_rows):
        at: Row = {"id": ids[row]} if found.data.has_ids else {}
        at |= {"row": row + 1} if times is None else {"time": times[row]}
        yield _said(at, scores[row], thresholds[row], flags[row])


def watch_stream(
    apply: Apply,
    model: Watcher,
    detector: Detector,
    codec: AnomalyCodec,
    config: AnomalyConfig,
    path: str,
    window: Window,
) -> Iterator[Row]:
    """The rows of `watch_table`, each as soon as it is decided: with a fixed threshold, and a forecaster, at once.

    Rows of one series are in order; those of another one, or with a later decision, may come between.

    Raises:
      UserError: a column is not there, or a cell no number (names the line); a series that was not trained on.
    """
    streams: dict[str, _Watched] = {}
    with open_lines("" if path == STANDARD_INPUT else path) as lines:
        for at, identity, values, inputs in _read(lines, codec, config, path):
            if identity not in streams:
                streams[identity] = _Watched(apply, model, detector, codec.number_of(identity), window)
            yield from streams[identity].push(at, codec.encode(identity, values, inputs))
    for stream in streams.values():
        yield from stream.finish()


class _Watched:
    """One series that comes in row by row."""

    def __init__(self, apply: Apply, model: Watcher, detector: Detector, number: int, window: Window):
        self._errors, self._detector, self._number = stream_of(apply, model, window), detector, number
        self._scores, self._flags = detector.stream(), detector.thresholds.stream(number)
        self._places: collections.deque[Row] = collections.deque()
        self._pending: collections.deque[float] = collections.deque()

    def push(self, at: Row, rows: Encoded) -> Iterator[Row]:
        self._places.append(at)
        yield from self._decided(self._errors.push(rows))

    def finish(self) -> Iterator[Row]:
        yield from self._decided(self._errors.finish())
        yield from self._answers(*self._flags.finish())

    def _decided(self, errors: np.ndarray) -> Iterator[Row]:
        scores = self._scores.push(self._detector.raw(self._number, errors)) if len(errors) else np.empty(0)
        self._pending.extend(scores)
        yield from self._answers(*self._flags.push(scores))

    def _answers(self, flags: np.ndarray, thresholds: np.ndarray) -> Iterator[Row]:
        for flag, threshold in zip(flags, thresholds, strict=True):
            yield _said(self._places.popleft(), self._pending.popleft(), threshold, flag)


def _said(at: Row, score: float, threshold: float, flag: bool) -> Row:
    return at | {"score": float(f"{score:.6g}"), "threshold": float(f"{threshold:.6g}"), "flag": int(flag)}


def _read(
    lines: Iterator[str], codec: AnomalyCodec, config: AnomalyConfig, path: str
) -> Iterator[tuple[Row, str, np.ndarray, np.ndarray]]:
    """Where it is, the id, values (1, C) and inputs (1, K) of each line below the header."""
    name = "standard input" if path == STANDARD_INPUT else path
    header = next(lines)
    delimiter = DELIMITERS.get(config.delimiter) or guess_delimiter(header, "")
    names = [cell.strip() for cell in next(csv.reader([header], delimiter=delimiter))]
    needed = [*codec.target, *codec.inputs, *filter(None, [config.id_column])]
    id_column = config.id_column
    if lacking := [column for column in needed if column not in names]:
        raise UserError(f"{name}: the column {lacking[0]!r} is needed; the columns are {', '.join(names)}.")
    others = [column for column in names if column not in (*needed, codec.mark)]
    time = config.time_column if config.time_column in names else ""
    has_comma = config.decimal == "comma" or (config.decimal == "auto" and delimiter != ",")
    for number, cells in enumerate(csv.reader(lines, delimiter=delimiter), start=1):
        if not cells:
            continue
        if len(cells) != len(names):
            raise UserError(f"{name}, row {number}: {len(cells)} cells where the header has {len(names)}.")
        row = {column: cell.strip() for column, cell in zip(names, cells, strict=True)}
        if number == 1:
            id_column = id_column_of(codec, config, row)
        if number == 1 and not time and config.time_column != NO_TIMES:
            time = next((column for column in others if looks_like_times([row[column]])), "")
        identity = row[id_column] if id_column else ""
        at: Row = {"id": identity} if id_column else {}
        at |= {"time": row[time]} if time else {"row": number}
        values, inputs = (_numbers(row, columns, has_comma, f"{name}, row {number}")
                          for columns in (codec.target, codec.inputs))  # fmt: skip
        yield at, identity, values, inputs


def _numbers(row: dict[str, str], columns: Sequence[str], has_comma: bool, where: str) -> np.ndarray:
    found = np.full((1, len(columns)), np.nan)
    for i, column in enumerate(columns):
        text = row[column]
        if is_missing(text):
            continue
        with contextlib.suppress(ValueError):
            found[0, i] = float(text.replace(",", ".") if has_comma else text)
        if not np.isfinite(found[0, i]):
            raise UserError(f"{where}: the column {column!r} holds {text!r}, which is no number. Leave it empty.")
    return found
