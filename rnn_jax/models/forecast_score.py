"""How good forecasts are, beside those of the baselines on the same windows."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from rnn_jax.data.series.reading import ForecastPart
from rnn_jax.data.sources import Batch
from rnn_jax.metrics.forecasts import PointTotals, owa, quantile_losses
from rnn_jax.models.apply import Apply
from rnn_jax.models.forecast_baselines import NAIVE2, baselines
from rnn_jax.models.forecaster import Forecaster

MODEL = "model"


class Errors(NamedTuple):
    """Of one forecaster, over all windows: of scaled values, of values in units, and over the naive scale (MASE)."""

    scaled: PointTotals
    units: PointTotals
    relative: PointTotals

    def summary(self) -> dict[str, float]:
        """mse and mae of scaled values; the others in units of the data, mase relative to a naive forecast."""
        scaled, units = self.scaled.summary(), self.units.summary()
        found = {name: scaled[name] for name in ("mse", "mae")}
        found |= {f"{name}_units": units[name] for name in ("mse", "mae", "rmse")}
        return found | {"smape": units["smape"], "mase": self.relative.summary()["mae"]}


class ForecastScores(NamedTuple):
    """errors: by forecaster, the model first. per_window: (W,), the model's MSE of scaled values.

    quantiles: sums over values of the pinball loss of each level, and of those inside of the outer two; their count.
    """

    errors: dict[str, Errors]
    per_window: np.ndarray
    quantiles: np.ndarray | None
    levels: tuple[float, ...]

    def summary(self) -> dict[str, float]:
        """The model's metrics, by name."""
        found = self.errors[MODEL].summary()
        if NAIVE2 in self.errors:
            naive = self.errors[NAIVE2].summary()
            found["owa"] = owa(found["smape"], found["mase"], naive["smape"], naive["mase"])
        if self.quantiles is not None:
            *losses, inside, count = self.quantiles
            found["quantile_loss"] = float(sum(losses) / len(losses) / max(count, 1))
            found["crps"] = 2 * found["quantile_loss"]
            found["coverage"] = float(inside / max(count, 1))
        return found


def forecast(model: Forecaster, batch: dict[str, Any], key: jax.Array) -> dict[str, jax.Array]:
    """The point forecasts, and quantiles where there are any, scaled as the batch is."""
    return model.forecast(batch, key)


def score_part(
    apply: Apply, part: ForecastPart, levels: Sequence[float], seed: int, *, with_baselines: bool
) -> ForecastScores:
    """Forecasts from every window, once. levels: of the quantiles that the model forecasts, if it does.

    A forecast of the model's that is no number makes its errors NaN: nothing is left out of them.
    """
    others = baselines(part) if with_baselines else {}
    horizon, num_series = part.timeline.horizon, len(part.series)
    totals = {name: Errors(*[PointTotals.zero(horizon, num_series)] * 3) for name in (MODEL, *others)}
    per_window, quantiles = np.full(len(part.windows), np.nan), None
    for rows, batch in part.batches():
        found = jax.device_get(apply(forecast, _read_by_models(batch), jax.random.key(seed)))
        found = {name: values[: len(rows)] for name, values in found.items()}
        series = part.windows.series[rows]
        naive_scale = part.naive_scales[series]
        forecasts = {MODEL: found["point"]} | {name: make(rows, batch) for name, make in others.items()}
        for name, values in forecasts.items():
            # A baseline has no value yet where a series begins. What a model makes that is no number is its error.
            mask = batch["target_mask"] & (np.isfinite(values) if name != MODEL else True)
            totals[name] = _add(totals[name], values, batch, mask, series, naive_scale)
        real = rows >= 0
        per_window[rows[real]] = _window_errors(found["point"], batch)[real]
        if "quantiles" in found:
            sums = _quantile_sums(found["quantiles"], levels, batch)
            quantiles = sums if quantiles is None else quantiles + sums
    return ForecastScores(totals, per_window, quantiles, tuple(levels) if quantiles is not None else ())


def _read_by_models(batch: Batch) -> Batch:
    """Without the targets."""
    return {name: array for name, array in batch.items() if not name.startswith("target")}


def _add(
    errors: Errors, forecasts: np.ndarray, batch: Batch, mask: np.ndarray, series: np.ndarray, naive_scale: np.ndarray
) -> Errors:
    location, scale = batch["location"][:, None], batch["scale"][:, None]
    found, truth = forecasts * scale + location, batch["target"] * scale + location
    naive_scale = naive_scale[:, None]
    defined = mask & np.isfinite(naive_scale) & (naive_scale > 0)

    def relative(values: np.ndarray) -> np.ndarray:
        return np.divide(values, naive_scale, where=defined, out=np.zeros_like(values))

    return Errors(
        errors.scaled.add(forecasts, batch["target"], mask, series),
        errors.units.add(found, truth, mask, series),
        errors.relative.add(relative(found), relative(truth), defined, series),
    )


def _window_errors(forecasts: np.ndarray, batch: Batch) -> np.ndarray:
    """(B,): the mean over what is known of a window; NaN where nothing is."""
    mask = batch["target_mask"]
    squares = np.where(mask, np.square(forecasts - batch["target"]), 0).sum(axis=(1, 2))
    counts = mask.sum(axis=(1, 2))
    return np.divide(squares, counts, where=counts > 0, out=np.full(len(counts), np.nan))


def _quantile_sums(quantiles: np.ndarray, levels: Sequence[float], batch: Batch) -> np.ndarray:
    """(Q + 2,): the pinball losses, in units of the data; the values inside of the outer quantiles; their count."""
    mask = batch["target_mask"]
    losses = quantile_losses(quantiles, levels, batch["target"]) * batch["scale"][:, None, :, None]
    inside = (quantiles[..., 0] <= batch["target"]) & (batch["target"] <= quantiles[..., -1])
    sums = np.where(mask[..., None], losses, 0).sum(axis=(0, 1, 2))
    return np.array([*sums, (inside & mask).sum(), mask.sum()], np.float64)
