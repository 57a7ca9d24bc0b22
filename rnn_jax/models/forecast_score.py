"""How good forecasts are, beside those of the baselines on the same windows."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from rnn_jax.data.series.reading import ForecastPart
from rnn_jax.data.sources import Batch
from rnn_jax.metrics.forecasts import PointTotals, owa, point_means, point_sums, quantile_losses
from rnn_jax.models.apply import Apply
from rnn_jax.models.forecast_baselines import NAIVE2, baselines
from rnn_jax.models.forecaster import Forecaster

MODEL = "model"
InUnits = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(scaled values, location, scale) → values in the units of the data: `Scaler.in_units`."""


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
    """errors: by forecaster, the model first.

    scaled, relative: (W, 4), of each window the model's `point_sums` of scaled values, and over the naive scale.
    quantiles: sums over values of the pinball loss of each level, and of those inside of the outer two; their count.
    """

    errors: dict[str, Errors]
    scaled: np.ndarray
    relative: np.ndarray
    quantiles: np.ndarray | None
    levels: tuple[float, ...]

    @property
    def per_window(self) -> np.ndarray:
        """(W,), the model's MSE of scaled values; NaN where nothing is known."""
        return point_means(self.scaled)["mse"]

    def over(self, windows: np.ndarray | slice) -> dict[str, float]:
        """The model's mse, mae and mase over these windows."""
        scaled, relative = (point_means(sums[windows].sum(axis=0)) for sums in (self.scaled, self.relative))
        return {"mse": float(scaled["mse"]), "mae": float(scaled["mae"]), "mase": float(relative["mae"])}

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
    """Forecasts from every window, once. levels: of the quantiles that the model forecasts, if it does."""
    others = baselines(part) if with_baselines else {}
    horizon, num_series = part.timeline.horizon, len(part.series)
    totals = {name: Errors(*[PointTotals.zero(horizon, num_series)] * 3) for name in (MODEL, *others)}
    in_units = part.codec.target_scaler.in_units
    scaled, relative = np.zeros((2, len(part.windows), 4))
    quantiles = None
    for rows, batch in part.batches():
        found = jax.device_get(apply(forecast, _read_by_models(batch), jax.random.key(seed)))
        found = {name: values[: len(rows)] for name, values in found.items()}
        series = part.windows.series[rows]
        naive_scale = part.naive_scales[series]
        forecasts = {MODEL: found["point"]} | {name: make(rows, batch) for name, make in others.items()}
        for name, values in forecasts.items():
            sums = _sums(values, batch, naive_scale, in_units)
            totals[name] = Errors(*(total.add_sums(own, series) for total, own in zip(totals[name], sums, strict=True)))
            if name == MODEL:
                real = rows >= 0
                scaled[rows[real]], relative[rows[real]] = (own.sum(axis=1)[real] for own in (sums[0], sums[2]))
        if "quantiles" in found:
            more = _quantile_sums(found["quantiles"], levels, batch, in_units)
            quantiles = more if quantiles is None else quantiles + more
    return ForecastScores(totals, scaled, relative, quantiles, tuple(levels) if quantiles is not None else ())


def _read_by_models(batch: Batch) -> Batch:
    """Without the targets."""
    return {name: array for name, array in batch.items() if not name.startswith("target")}


def _sums(
    forecasts: np.ndarray, batch: Batch, naive_scale: np.ndarray, in_units: InUnits
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`point_sums` (B, H, 4) of scaled values, of values in units, and over the naive scale (B, C), as in `Errors`."""
    mask = batch["target_mask"] & np.isfinite(forecasts)
    location, scale = batch["location"][:, None], batch["scale"][:, None]
    found, truth = (in_units(values, location, scale) for values in (forecasts, batch["target"]))
    naive_scale = naive_scale[:, None]
    defined = mask & np.isfinite(naive_scale) & (naive_scale > 0)

    def relative(values: np.ndarray) -> np.ndarray:
        return np.divide(values, naive_scale, where=defined, out=np.zeros_like(values))

    return (
        point_sums(forecasts, batch["target"], mask),
        point_sums(found, truth, mask),
        point_sums(relative(found), relative(truth), defined),
    )


def _quantile_sums(quantiles: np.ndarray, levels: Sequence[float], batch: Batch, in_units: InUnits) -> np.ndarray:
    """(Q + 2,): the pinball losses, in units of the data; the values inside of the outer quantiles; their count."""
    mask = batch["target_mask"]
    location, scale = batch["location"][:, None], batch["scale"][:, None]
    found = in_units(quantiles, location[..., None], scale[..., None])
    losses = quantile_losses(found, levels, in_units(batch["target"], location, scale))
    inside = (quantiles[..., 0] <= batch["target"]) & (batch["target"] <= quantiles[..., -1])
    sums = np.where(mask[..., None], losses, 0).sum(axis=(0, 1, 2))
    return np.array([*sums, (inside & mask).sum(), mask.sum()], np.float64)
