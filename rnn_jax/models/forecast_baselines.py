"""The forecasts that every report has beside the model's: they see the same windows, and are scaled alike."""

from collections.abc import Callable

import numpy as np

from rnn_jax.data.series.reading import ForecastPart
from rnn_jax.data.series.seasonal import drift, naive2, repeat_last, seasonal_naive
from rnn_jax.data.sources import Batch

REPEAT_LAST, SEASONAL_NAIVE, DRIFT, NAIVE2, LINEAR = "repeat_last", "seasonal_naive", "drift", "naive2", "linear"
NAIVE = (REPEAT_LAST, SEASONAL_NAIVE, DRIFT, NAIVE2)
"""Forecasts that learn nothing. The linear one does: see `data.series.linear`."""
MOST_NAIVE2 = 5_000  # columns of windows: it decomposes the whole history of each

Baseline = Callable[[np.ndarray, Batch], np.ndarray]
"""(numbers of windows, their batch) → forecasts (B, H, C), scaled as the targets."""


def baselines(part: ForecastPart) -> dict[str, Baseline]:
    """By name: repeating the last value and the last season, the drift of the look-back, and the linear forecast.

    Without a season there is no seasonal forecast; without a training window that is wholly observed no linear one.
    Naive2, of the whole history, is there for up to `MOST_NAIVE2` columns of windows.
    """
    horizon = part.timeline.horizon
    found: dict[str, Baseline] = {REPEAT_LAST: lambda rows, batch: repeat_last(_known(batch), horizon)}
    if part.codec.season > 1:
        found[SEASONAL_NAIVE] = lambda rows, batch: seasonal_naive(_history(part, rows), part.codec.season, horizon)
    found[DRIFT] = lambda rows, batch: drift(_known(batch), horizon)
    if len(part.windows) * len(part.codec.target) <= MOST_NAIVE2:
        found[NAIVE2] = lambda rows, batch: _naive2(part, rows, batch)
    if (linear := part.linear()) is not None:
        found[LINEAR] = lambda rows, batch: linear(batch)
    return found


def _known(batch: Batch) -> np.ndarray:
    """The look-back with NaN where it is missing."""
    return np.where(batch["past_mask"], batch["past"], np.nan)


def _history(part: ForecastPart, rows: np.ndarray) -> np.ndarray:
    series = np.where(rows >= 0, part.windows.series[rows], -1)
    return _known(part.whole.gather(series, part.windows.at[rows]))


def _naive2(part: ForecastPart, rows: np.ndarray, batch: Batch) -> np.ndarray:
    forecasts = np.full_like(batch["target"], np.nan)
    for i, row in enumerate(rows):
        if row < 0:
            continue
        history = part.series[part.windows.series[row]].values[: part.windows.at[row]]
        for c, column in enumerate(history.T):
            forecasts[i, :, c] = naive2(column, part.codec.season, part.timeline.horizon)
    scale = batch["location"][:, None], batch["scale"][:, None]
    return part.codec.target_scaler.scaled(forecasts, *scale)
