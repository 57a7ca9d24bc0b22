"""Which windows of a part are drawn, and what of them: the best, the worst and some between, by the model's error."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from rnn_jax.data.series.reading import ForecastPart
from rnn_jax.data.series.spacing import shown
from rnn_jax.models.apply import Apply
from rnn_jax.models.forecast_score import forecast
from rnn_jax.types import Float

_DRAWN = {"best": 0.0, "better than most": 0.25, "median": 0.5, "worse than most": 0.75, "worst": 1.0}


class DrawnForecast(NamedTuple):
    """One column of one window, in units of the data; NaN where a value is missing.

    times: (L + H,), datetime64 or numbers. past: (L,). truth: (H,), None where it is not known yet. forecast: (H,).
    interval: two of (H,), of `coverage`; None without one.
    """

    title: str
    times: np.ndarray
    past: Float[np.ndarray, " L"]
    forecast: Float[np.ndarray, " H"]
    truth: Float[np.ndarray, " H"] | None = None
    interval: tuple[Float[np.ndarray, " H"], Float[np.ndarray, " H"]] | None = None
    coverage: float = 0.0


def drawn_forecasts(
    apply: Apply, part: ForecastPart, per_window: np.ndarray, levels: Sequence[float], seed: int
) -> list[DrawnForecast]:
    """From the best to the worst window; of several columns that in which the window is typical, or extreme."""
    known = np.flatnonzero(np.isfinite(per_window))
    order = known[np.argsort(per_window[known], kind="stable")]
    if not len(order):
        return []
    ranks = {name: order[round(share * (len(order) - 1))] for name, share in _DRAWN.items()}
    chosen = {int(number): name for name, number in reversed(ranks.items())}  # of few windows, each once
    numbers = np.array(sorted(chosen, key=per_window.__getitem__))
    batch = part.gather(numbers)
    found = jax.device_get(apply(forecast, batch, jax.random.key(seed)))
    drawn = []
    for i, number in enumerate(numbers):
        column = _column(found["point"][i], batch["target"][i], batch["target_mask"][i], chosen[int(number)])
        drawn.append(_drawn(part, int(number), i, column, batch, found, levels, chosen[int(number)]))
    return drawn


def _column(forecasts: np.ndarray, target: np.ndarray, mask: np.ndarray, name: str) -> int:
    errors = np.where(mask, np.square(forecasts - target), 0).sum(axis=0) / np.maximum(mask.sum(axis=0), 1)
    rank = {"best": 0.0, "worst": 1.0}.get(name, 0.5)
    return int(np.argsort(errors, kind="stable")[round(rank * (len(errors) - 1))])


def _drawn(
    part: ForecastPart, number: int, i: int, c: int, batch: dict, found: dict, levels: Sequence[float], name: str
) -> DrawnForecast:
    location, scale = batch["location"][i, c], batch["scale"][i, c]

    def units(values: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        values = part.codec.target_scaler.in_units(values, location, scale)
        return values if mask is None else np.where(mask, values, np.nan)

    series, at = part.series[part.windows.series[number]], int(part.windows.at[number])
    length, horizon = part.timeline.context_length, part.timeline.horizon
    times = np.arange(at - length, at + horizon)
    if series.times is not None:
        times = part.codec.times(series, at + horizon)[np.maximum(times, 0)]
    begins = f"from {shown(times[length])}" if series.times is not None else f"from step {at}"
    interval, coverage = None, 0.0
    if "quantiles" in found:
        interval = units(found["quantiles"][i, :, c, 0]), units(found["quantiles"][i, :, c, -1])
        coverage = levels[-1] - levels[0]
    return DrawnForecast(
        " ".join(filter(None, (f"{name}:", series.id, part.codec.target[c], begins))),
        times,
        units(batch["past"][i, :, c], batch["past_mask"][i, :, c]),
        units(found["point"][i, :, c]),
        units(batch["target"][i, :, c], batch["target_mask"][i, :, c]),
        interval,
        coverage,
    )
