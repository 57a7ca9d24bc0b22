"""Each window in units of its own: shifted and divided by statistics of its past, and back."""

from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx

from rnn_jax.models.forecaster_config import NORMALIZATIONS
from rnn_jax.types import Array, Bool, Float

_EPSILON = 1e-5  # of the variance, as in the paper's code
_SMALLEST = 1e-6  # a mean size below it is none: the window is constant at 0
_SMALLEST_SLOPE = 1e-10  # as in the paper's code


class WindowUnits(NamedTuple):
    """value = factor · normalised + offset, of each column of each window."""

    factor: Float[Array, "B 1 C"]
    offset: Float[Array, "B 1 C"]

    def normalize(self, values: Float[Array, "B T C"], observed: Bool[Array, "B T C"]) -> Float[Array, "B T C"]:
        """The values in these units; 0 where they are not observed, whatever stands there."""
        return jnp.where(observed, (jnp.where(observed, values, 0) - self.offset) / self.factor, 0)


class WindowNormalization(nnx.Module):
    """From the observed values x of a window's past to its units, for each column by itself.

    none: x
    last: x − x_last, the last observed value (Zeng et al. 2023, "NLinear")
    revin: γ (x − mean x) / √(var x + ε) + β, γ and β learned for each column (Kim et al. 2022)
    mean_abs: x / ν, ν = mean |x| (Salinas et al. 2020, §3.3); of counts 1 + mean |x|, as there

    Deviation: ν without the 1 for values that are no counts, as a count of 1 is a unit and 1 here is none; where there
    is nothing, or nothing but 0, ν is 1. A column without observed values keeps its units.

    Raises:
      ValueError: an unknown kind.
    """

    def __init__(self, kind: str, num_targets: int, *, of_counts: bool = False):
        if kind not in NORMALIZATIONS:
            raise ValueError(f"No normalization {kind!r}; there are: {', '.join(NORMALIZATIONS)}.")
        self.kind, self.of_counts = kind, of_counts
        self.slope: nnx.Param | None = nnx.data(None)
        self.intercept: nnx.Param | None = nnx.data(None)
        if kind == "revin":
            self.slope = nnx.data(nnx.Param(jnp.ones(num_targets, jnp.float32)))
            self.intercept = nnx.data(nnx.Param(jnp.zeros(num_targets, jnp.float32)))

    def __call__(self, past: Float[Array, "B L C"], observed: Bool[Array, "B L C"]) -> WindowUnits:
        """The units of windows (B, L, C); what is not observed does not count, whatever stands there."""
        past = jnp.where(observed, past, 0)
        zeros = jnp.zeros_like(past[:, :1])
        if self.kind == "last":
            return WindowUnits(zeros + 1, last_observed(past, observed))
        count = jnp.maximum(observed.sum(axis=1, keepdims=True), 1).astype(past.dtype)
        if self.kind == "mean_abs":
            size = jnp.abs(past).sum(axis=1, keepdims=True) / count
            return WindowUnits(1 + size if self.of_counts else jnp.where(size < _SMALLEST, 1, size), zeros)
        if self.kind == "revin":
            mean = past.sum(axis=1, keepdims=True) / count
            squares = jnp.where(observed, jnp.square(past - mean), 0)
            deviation = jnp.sqrt(squares.sum(axis=1, keepdims=True) / count + _EPSILON)
            deviation = jnp.where(observed.any(axis=1, keepdims=True), deviation, 1)
            assert self.slope is not None and self.intercept is not None
            slope, intercept = (jnp.broadcast_to(p.get_value(), zeros.shape) for p in (self.slope, self.intercept))
            factor = deviation / (slope + _SMALLEST_SLOPE)
            return WindowUnits(factor, mean - intercept * factor)
        return WindowUnits(zeros + 1, zeros)


def last_observed(past: Float[Array, "B L C"], observed: Bool[Array, "B L C"]) -> Float[Array, "B 1 C"]:
    """The last observed value of each column; 0 where there is none."""
    steps = jnp.arange(past.shape[1], dtype=jnp.int32)[None, :, None]
    last = jnp.where(observed, jnp.broadcast_to(steps, past.shape), 0).max(axis=1, keepdims=True)
    return jnp.take_along_axis(jnp.where(observed, past, 0), last, axis=1)
