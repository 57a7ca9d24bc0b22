"""What is said of each value, made of a network's K outputs: a number, quantiles, or a distribution."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from rnn_jax.losses.distributions import negative_log_likelihood, num_outputs
from rnn_jax.losses.regression import absolute_error, huber_error, quantile_loss, squared_error
from rnn_jax.models.window_normalization import WindowUnits
from rnn_jax.types import Array, Float

Loss = tuple[Float[Array, ""], Float[Array, ""]]
Forecasts = dict[str, Array]
"""point (R, H, C), the forecast as one number; quantiles (R, H, C, Q), where there are any."""


@dataclasses.dataclass(frozen=True)
class PointOutput:
    """One number, trained by squared (mse), absolute (mae) or Huber's error."""

    loss_name: str = "mse"
    huber_delta: float = 1.0

    @property
    def size(self) -> int:
        """K."""
        return 1

    def loss(self, outputs: Float[Array, "R T C K"], units: WindowUnits, target: Array, weights: Array) -> Loss:
        """(Σ weight · error, Σ weight), in the units of the target."""
        huber = functools.partial(huber_error, delta=self.huber_delta)
        errors: dict[str, Callable[..., Loss]] = {"mse": squared_error, "mae": absolute_error, "huber": huber}
        return errors[self.loss_name](self.forecast(outputs, units)["point"], target, weights)

    def forecast(self, outputs: Float[Array, "R H C K"], units: WindowUnits) -> Forecasts:
        """The number."""
        return {"point": units.factor * outputs[..., 0] + units.offset}


@dataclasses.dataclass(frozen=True)
class QuantileOutput:
    """Quantiles of these levels, one of them ½; a forecast has them in order (Chernozhukov et al. 2010)."""

    levels: tuple[float, ...]

    @property
    def size(self) -> int:
        """K."""
        return len(self.levels)

    def loss(self, outputs: Float[Array, "R T C K"], units: WindowUnits, target: Array, weights: Array) -> Loss:
        """(Σ weight · pinball loss, Σ weight), in the units of the target."""
        return quantile_loss(self._quantiles(outputs, units), target, weights, self.levels)

    def forecast(self, outputs: Float[Array, "R H C K"], units: WindowUnits) -> Forecasts:
        """The quantiles, sorted, and the median."""
        quantiles = jnp.sort(self._quantiles(outputs, units), axis=-1)
        return {"point": quantiles[..., self.levels.index(0.5)], "quantiles": quantiles}

    def _quantiles(self, outputs: Float[Array, "R T C K"], units: WindowUnits) -> Float[Array, "R T C K"]:
        return units.factor[..., None] * outputs + units.offset[..., None]


@dataclasses.dataclass(frozen=True)
class DistributionOutput:
    """A distribution of `losses.distributions`, trained by its likelihood; quantiles of these levels are forecast."""

    kind: Any
    levels: tuple[float, ...]

    @property
    def size(self) -> int:
        """K."""
        return num_outputs(self.kind)

    @property
    def has_quantiles(self) -> bool:
        """Whether quantiles need no samples."""
        return hasattr(self.kind, "quantiles")

    def distribution(self, outputs: Float[Array, "R T C K"], units: WindowUnits) -> Any:
        """Of each value, in the units of the values."""
        return self.kind.from_outputs(outputs).rescaled(units.factor, units.offset)

    def loss(self, outputs: Float[Array, "R T C K"], units: WindowUnits, target: Array, weights: Array) -> Loss:
        """(Σ weight · −log p(target), Σ weight)."""
        return negative_log_likelihood(self.distribution(outputs, units), target, weights)

    def forecast(self, outputs: Float[Array, "R H C K"], units: WindowUnits) -> Forecasts:
        """The mean, and the quantiles in closed form."""
        distribution = self.distribution(outputs, units)
        levels = jnp.asarray(self.levels, jnp.float32)
        return {"point": distribution.mean(), "quantiles": distribution.quantiles(levels)}

    def forecast_of_samples(self, samples: Float[Array, "R N H C"]) -> Forecasts:
        """Their mean and quantiles."""
        levels = jnp.asarray(self.levels, jnp.float32)
        quantiles = jnp.moveaxis(jnp.quantile(samples, levels, axis=1), 0, -1)
        return {"point": samples.mean(axis=1), "quantiles": quantiles}


Output = PointOutput | QuantileOutput | DistributionOutput
