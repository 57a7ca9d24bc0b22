"""Errors of forecasts, of points, quantiles and samples; what is masked counts nowhere.

Arrays are (W, H, C): windows, steps ahead, columns. `mask` is True where the truth is known; without it, that is where
the target is not NaN. Means are over what is known, and NaN where nothing is.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_PERCENT = 100.0
Axis = int | tuple[int, ...] | None


def mean_where(values: np.ndarray, mask: np.ndarray, axis: Axis = None) -> np.ndarray:
    """The mean of values where the mask is True; what they are elsewhere, NaN included, has no part in it.

    axis: to take it over; (0, 2) gives a mean for each step ahead.
    """
    counts = np.asarray(mask.sum(axis=axis), np.float64)
    sums = np.asarray(np.where(mask, values, 0.0).sum(axis=axis, dtype=np.float64))
    return np.divide(sums, counts, out=np.full(counts.shape, np.nan), where=counts > 0)


def _known(target: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    return ~np.isnan(target) if mask is None else mask


def mse(forecast: np.ndarray, target: np.ndarray, mask: np.ndarray | None = None, axis: Axis = None) -> np.ndarray:
    """Mean of (y − ŷ)²."""
    return mean_where(np.square(_wide(forecast) - target), _known(target, mask), axis)


def rmse(forecast: np.ndarray, target: np.ndarray, mask: np.ndarray | None = None, axis: Axis = None) -> np.ndarray:
    """√ of the mean of (y − ŷ)²."""
    return np.asarray(np.sqrt(mse(forecast, target, mask, axis)))


def mae(forecast: np.ndarray, target: np.ndarray, mask: np.ndarray | None = None, axis: Axis = None) -> np.ndarray:
    """Mean of |y − ŷ|."""
    return mean_where(np.abs(_wide(forecast) - target), _known(target, mask), axis)


def smape(forecast: np.ndarray, target: np.ndarray, mask: np.ndarray | None = None, axis: Axis = None) -> np.ndarray:
    """Mean of 200 |y − ŷ| / (|y| + |ŷ|), in per cent of 0 … 200, as in the M4 competition; 0 where both are 0."""
    return mean_where(_symmetric(_wide(forecast), target), _known(target, mask), axis)


def _symmetric(forecast: np.ndarray, target: np.ndarray) -> np.ndarray:
    sizes = np.abs(target) + np.abs(forecast)
    return 2 * _PERCENT * np.abs(target - forecast) / np.where(sizes == 0, 1.0, sizes)


def naive_scale(history: np.ndarray, season: int) -> np.ndarray:
    """Mean of |y_t − y_{t−m}| over a history (T, …): the error of the seasonal naive forecast within it.

    NaN where no two values are a season apart.
    """
    steps = np.abs(_wide(history[season:]) - history[:-season])
    return mean_where(steps, ~np.isnan(steps), axis=0)


def mase(
    forecast: np.ndarray, target: np.ndarray, scale: np.ndarray, mask: np.ndarray | None = None, axis: Axis = None
) -> np.ndarray:
    """Mean of |y − ŷ| / scale (Hyndman and Koehler, 2006); scale: `naive_scale`, of a shape that divides (W, H, C).

    Where the scale is 0 or NaN (a constant history) the error is not defined, and left out.
    """
    defined = np.broadcast_to(np.isfinite(scale) & (scale > 0), target.shape)
    scaled = np.abs(_wide(forecast) - target) / np.where(np.isfinite(scale) & (scale > 0), scale, 1.0)
    return mean_where(scaled, _known(target, mask) & defined, axis)


def owa(smape_: float, mase_: float, smape_naive2: float, mase_naive2: float) -> float:
    """(sMAPE / sMAPE of Naive2 + MASE / MASE of Naive2) / 2: what the M4 competition ranks by; below 1 beats Naive2."""
    return (smape_ / smape_naive2 + mase_ / mase_naive2) / 2


def quantile_losses(quantiles: np.ndarray, levels: Sequence[float] | np.ndarray, target: np.ndarray) -> np.ndarray:
    """max(q (y − ŷ_q), (q − 1) (y − ŷ_q)) of each quantile; quantiles (W, H, C, Q), levels (Q,)."""
    above = target[..., None] - _wide(quantiles)
    q = np.asarray(levels, np.float64)
    return np.maximum(q * above, (q - 1) * above)


def quantile_loss(
    quantiles: np.ndarray,
    levels: Sequence[float] | np.ndarray,
    target: np.ndarray,
    mask: np.ndarray | None = None,
    axis: Axis = None,
) -> np.ndarray:
    """The mean of `quantile_losses` over quantiles and what is known."""
    return mean_where(quantile_losses(quantiles, levels, target).mean(axis=-1), _known(target, mask), axis)


def weighted_quantile_loss(
    quantiles: np.ndarray, levels: Sequence[float] | np.ndarray, target: np.ndarray, mask: np.ndarray | None = None
) -> float:
    """2 Σ quantile losses / Σ |y|, the mean over quantiles: as GluonTS reports it; comparable between data."""
    known = _known(target, mask)
    losses = np.where(known[..., None], quantile_losses(quantiles, levels, target), 0.0)
    total = float(np.where(known, np.abs(target), 0.0).sum(dtype=np.float64))
    return float(2 * losses.sum() / len(levels) / total) if total else float("nan")


def crps_of_quantiles(
    quantiles: np.ndarray,
    levels: Sequence[float] | np.ndarray,
    target: np.ndarray,
    mask: np.ndarray | None = None,
    axis: Axis = None,
) -> np.ndarray:
    """2 · the mean quantile loss: the CRPS in the limit of many levels, evenly spaced (k − ½) / Q."""
    return np.asarray(2 * quantile_loss(quantiles, levels, target, mask, axis))


def crps_of_samples(
    samples: np.ndarray, target: np.ndarray, mask: np.ndarray | None = None, axis: Axis = None
) -> np.ndarray:
    """Mean over windows of E|X − y| − ½ E|X − X′|, X and X′ drawn from the samples (W, H, C, N).

    That is the CRPS of the samples' distribution function (Gneiting and Raftery, 2007); of one sample, |x − y|.
    """
    ordered = np.sort(_wide(samples), axis=-1)
    count = ordered.shape[-1]
    # Σ_i Σ_j |x_i − x_j| / 2 = Σ_k (2k − N − 1) x_(k), k from 1
    spread = ordered @ (2.0 * np.arange(1, count + 1) - count - 1) / count**2
    errors = np.abs(ordered - target[..., None]).mean(axis=-1) - spread
    return mean_where(errors, _known(target, mask), axis)


def coverage(
    lower: np.ndarray, upper: np.ndarray, target: np.ndarray, mask: np.ndarray | None = None, axis: Axis = None
) -> np.ndarray:
    """The share of truths in their intervals, ends included."""
    return mean_where(((lower <= target) & (target <= upper)).astype(np.float64), _known(target, mask), axis)


def point_sums(forecast: np.ndarray, target: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(W, H, 4): sums over columns of (y − ŷ)², |y − ŷ| and sMAPE, and their count."""
    forecast, target = np.where(mask, _wide(forecast), 0.0), np.where(mask, target, 0.0)
    errors = forecast - target
    kinds = (np.square(errors), np.abs(errors), _symmetric(forecast, target), mask)
    return np.stack([kind.sum(axis=-1, dtype=np.float64) for kind in kinds], axis=-1)


def point_means(sums: np.ndarray) -> dict[str, np.ndarray]:
    """mse, mae, rmse and smape (…) of `point_sums` (…, 4), added up over whatever; NaN where nothing is known."""
    counts = sums[..., 3]
    means = [np.where(counts > 0, sums[..., i] / np.maximum(counts, 1), np.nan) for i in range(3)]
    return {"mse": means[0], "mae": means[1], "rmse": np.sqrt(means[0]), "smape": means[2]}


class PointTotals(NamedTuple):
    """Totals of `point_sums`: for each step ahead (H, 4), and each series (n, 4).

    Sums of batches of any sizes, divided once, are the errors of the whole.
    """

    steps: np.ndarray
    series: np.ndarray

    @classmethod
    def zero(cls, horizon: int, num_series: int) -> "PointTotals":
        """No forecast yet."""
        return cls(np.zeros((horizon, 4)), np.zeros((num_series, 4)))

    def add(self, forecast: np.ndarray, target: np.ndarray, mask: np.ndarray, series: np.ndarray) -> "PointTotals":
        """With one more batch, (B, H, C), of the series (B,); windows that only fill it have a mask that is False."""
        return self.add_sums(point_sums(forecast, target, mask), series)

    def add_sums(self, sums: np.ndarray, series: np.ndarray) -> "PointTotals":
        """With the `point_sums` (B, H, 4) of one more batch, of the series (B,)."""
        by_series = self.series.copy()
        np.add.at(by_series, series, sums.sum(axis=1))
        return PointTotals(self.steps + sums.sum(axis=0), by_series)

    def summary(self) -> dict[str, float]:
        """mse, mae, rmse and smape over everything."""
        return {name: float(value) for name, value in point_means(self.steps.sum(axis=0)).items()}

    def by_step(self) -> dict[str, np.ndarray]:
        """The same of each step ahead, (H,)."""
        return point_means(self.steps)

    def by_series(self) -> dict[str, np.ndarray]:
        """The same of each series, (n,)."""
        return point_means(self.series)


def _wide(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float64)
