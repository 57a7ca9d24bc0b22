"""How far each row of a series is from what a network takes for normal: for whole series at once, and as rows come in.

Errors are float64 (T, D), NaN where there is none: of a forecaster x_t − x̂_t for each of the forecasts made of the row
(D = H · C, one step ahead first), of an autoencoder |x_t − x̂_t|, the mean over the windows around the row (D = C).
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.data.anomaly.codec import Encoded
from rnn_jax.data.anomaly.windows import Window, window_starts
from rnn_jax.errors import UserError
from rnn_jax.models.apply import Apply
from rnn_jax.models.make_watcher import Watcher
from rnn_jax.models.watchers import StepForecaster

_SERIES_AT_ONCE, _ROWS_AT_ONCE, _WINDOWS_AT_ONCE = 16, 256, 64


@runtime_checkable
class ErrorStream(Protocol):
    """Errors of the rows of one series, as they become known."""

    def push(self, rows: Encoded) -> np.ndarray:
        """Errors of the next rows for which they are now known, none or more, given some more rows."""

    def finish(self) -> np.ndarray:
        """Errors of the rows that are left when the series ends."""


def begin(model: StepForecaster, batch: dict[str, Any]) -> Any:
    """The state of a forecaster that has read nothing, for as many series as the batch has."""
    rows = len(batch["values"])
    return model.encoder.initial_carry(rows), jnp.zeros((rows, model.num_columns), jnp.float32)


def advance(model: StepForecaster, batch: dict[str, Any]) -> Any:
    """The state after some more rows, and what was forecast after each of them."""
    rows = {name: batch[name] for name in ("values", "known", "inputs", "mask")}
    return model.forecasts(rows, batch["state"])


def reconstruct(model: Any, batch: dict[str, Any]) -> Any:
    """What an autoencoder makes of windows."""
    return model.reconstructions(batch)


def errors_of(apply: Apply, model: Watcher, series: Sequence[Encoded], window: Window) -> list[np.ndarray]:
    """Of whole series, from their first rows on. window: of an autoencoder.

    Raises:
      UserError: a series is shorter than a window.
    """
    if isinstance(model, StepForecaster):
        return _forecast_errors(apply, series, model.horizon)
    for one in series:
        if len(one.values) < window.length:
            raise UserError(
                f"A series has {len(one.values)} rows, fewer than --window_length={window.length}: train with shorter"
                " windows, or leave it out."
            )
    return [_window_errors(apply, one, window) for one in series]


def stream_of(apply: Apply, model: Watcher, window: Window) -> ErrorStream:
    """Errors of a series that comes in bit by bit: those that it has as a whole."""
    return ForecastStream(apply, model.horizon) if isinstance(model, StepForecaster) else WindowStream(apply, window)


def _forecast_errors(apply: Apply, series: Sequence[Encoded], horizon: int) -> list[np.ndarray]:
    errors: list[np.ndarray] = [np.empty(0)] * len(series)
    order = sorted(range(len(series)), key=lambda i: len(series[i].values))
    at_once = min(_SERIES_AT_ONCE, len(series))
    for start in range(0, len(order), at_once):
        group = order[start : start + at_once]
        rows = [series[i] for i in group] + [_slice(series[group[0]], 0, 0)] * (at_once - len(group))
        longest = max(len(one.values) for one in rows)
        state, found = None, []
        for first in range(0, longest, _ROWS_AT_ONCE):
            batch = _padded([_slice(one, first, first + _ROWS_AT_ONCE) for one in rows], _ROWS_AT_ONCE)
            state, forecasts = _advanced(apply, batch, state)
            found.append(forecasts)
        forecasts = np.concatenate(found, axis=1)
        for row, i in enumerate(group):
            errors[i] = _errors(series[i], forecasts[row, : len(series[i].values)], horizon)
    return errors


def _advanced(apply: Apply, batch: dict[str, Any], state: Any) -> tuple[Any, np.ndarray]:
    """The state after a batch and its forecasts, without rows that fill several devices."""
    rows = len(batch["values"])
    if state is None:
        state = _rows(apply(begin, {"values": batch["values"]}), rows)
    state, forecasts = apply(advance, batch | {"state": state})
    return _rows(state, rows), np.asarray(forecasts)[:rows]


def _rows(tree: Any, count: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[:count], tree)


def _errors(rows: Encoded, forecasts: np.ndarray, horizon: int) -> np.ndarray:
    """Of rows (T) and what was forecast after each (T, H, C)."""
    values = np.where(rows.known, rows.values, np.nan).astype(np.float64)
    errors = np.full((len(values), horizon, values.shape[1]), np.nan)
    for h in range(1, horizon + 1):
        errors[h:, h - 1] = values[h:] - forecasts[: len(values) - h, h - 1] if h < len(values) else np.nan
    return errors.reshape(len(values), -1)


def _padded(rows: Sequence[Encoded], length: int) -> dict[str, Any]:
    """A batch in which rows beyond the end of a series are masked."""
    counts = np.array([len(one.values) for one in rows])
    arrays = {
        name: np.stack([np.pad(array, ((0, length - len(array)), (0, 0))) for array in column])
        for name, column in zip(Encoded._fields, zip(*rows, strict=True), strict=True)
    }
    return arrays | {"mask": np.arange(length) < counts[:, None]}


def _slice(rows: Encoded, first: int, last: int | None = None) -> Encoded:
    return Encoded(*(array[first:last] for array in rows))


def _joined(before: Encoded, after: Encoded) -> Encoded:
    return Encoded(*map(np.concatenate, zip(before, after, strict=True)))


class ForecastStream:
    """Errors of a forecaster; each row's are known as soon as it is there."""

    def __init__(self, apply: Apply, horizon: int):
        self._apply, self._horizon = apply, horizon
        self._state: Any = None
        self._rows: Encoded | None = None  # the last H, and what was forecast after each
        self._forecasts = np.empty(0)

    def push(self, rows: Encoded) -> np.ndarray:
        """Errors of these rows."""
        self._state, found = _advanced(self._apply, _padded([rows], len(rows.values)), self._state)
        before = 0 if self._rows is None else len(self._rows.values)
        self._rows = rows if self._rows is None else _joined(self._rows, rows)
        self._forecasts = found[0] if not before else np.concatenate([self._forecasts, found[0]])
        errors = _errors(self._rows, self._forecasts, self._horizon)[before:]
        self._rows, self._forecasts = _slice(self._rows, -self._horizon), self._forecasts[-self._horizon :]
        return errors

    def finish(self) -> np.ndarray:
        """Nothing is left."""
        return np.empty((0, 0))


def _window_errors(apply: Apply, rows: Encoded, window: Window) -> np.ndarray:
    stream = WindowStream(apply, window)
    return np.concatenate([stream.push(rows), stream.finish()])


class WindowStream:
    """Errors of an autoencoder; a row's are known once no window to come covers it."""

    def __init__(self, apply: Apply, window: Window):
        self._apply, self._length, self._stride = apply, window.length, window.stride
        self._rows: Encoded | None = None  # those whose errors are not known yet, and the start of the next window
        self._next = 0
        self._sums = np.empty((0, 0))
        self._counts = np.empty(0)

    def push(self, rows: Encoded) -> np.ndarray:
        """Errors of the rows that no later window covers."""
        self._take(rows)
        assert self._rows is not None
        starts = np.arange(self._next, len(self._rows.values) - self._length + 1, self._stride)
        if not len(starts):
            return self._known(0)
        self._add(starts)
        self._next = int(starts[-1]) + self._stride
        # If the series ends here, its last window is the one that ends here: the rows in it are not decided.
        return self._known(min(self._next, len(self._rows.values) - self._length))

    def finish(self) -> np.ndarray:
        """Errors of the rest: the last window ends with the series.

        Raises:
          UserError: the series was shorter than a window.
        """
        rows = 0 if self._rows is None else len(self._rows.values)
        if rows < self._length:
            raise UserError(
                f"The series ended after fewer rows than --window_length={self._length}: nothing can be said of it."
            )
        if not self._counts[-1]:
            self._add(window_starts(rows, self._length, self._stride)[-1:])
        return self._known(rows)

    def _take(self, rows: Encoded) -> None:
        more = len(rows.values)
        if self._rows is None:
            self._rows, self._sums, self._counts = rows, np.zeros(rows.values.shape), np.zeros(more)
            return
        self._rows = _joined(self._rows, rows)
        self._sums = np.concatenate([self._sums, np.zeros((more, self._sums.shape[1]))])
        self._counts = np.append(self._counts, np.zeros(more))

    def _add(self, starts: np.ndarray) -> None:
        assert self._rows is not None
        for first in range(0, len(starts), _WINDOWS_AT_ONCE):
            chosen = starts[first : first + _WINDOWS_AT_ONCE]
            filled = np.resize(chosen, _WINDOWS_AT_ONCE) if len(starts) > 1 else chosen  # one program for many
            at = filled[:, None] + np.arange(self._length)
            batch = {name: array[at] for name, array in self._rows._asdict().items()}
            found = np.asarray(self._apply(reconstruct, batch), np.float64)[: len(chosen)]
            errors = np.abs(self._rows.values[at[: len(chosen)]] - found)
            for start, own in zip(chosen, errors, strict=True):
                self._sums[start : start + self._length] += own
                self._counts[start : start + self._length] += 1

    def _known(self, count: int) -> np.ndarray:
        """Of the first rows, which are forgotten; all but those that a last window could need."""
        assert self._rows is not None
        sums, counts, known = self._sums[:count], self._counts[:count], self._rows.known[:count]
        errors = np.where(known, sums / np.maximum(counts, 1)[:, None], np.nan)
        self._rows = _slice(self._rows, count)
        self._sums, self._counts = self._sums[count:], self._counts[count:]
        self._next -= count
        return errors
