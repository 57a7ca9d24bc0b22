"""Errors of predicted numbers as (total, weight) pairs: squared, absolute, Huber's, and of quantiles.

Computed and returned in float32, or float64 if predictions are. What is behind a weight of 0 (NaN, ∞) reaches neither
values nor gradients.
"""

from collections.abc import Callable

import jax.numpy as jnp

from rnn_jax.numerics import wide
from rnn_jax.types import Array, Float


def squared_error(
    predicted: Float[Array, "*B"], target: Float[Array, "*B"], weights: Float[Array, "*B"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(Σ w (ŷ − y)², Σ w)."""
    return _summed(jnp.square, predicted, target, weights)


def absolute_error(
    predicted: Float[Array, "*B"], target: Float[Array, "*B"], weights: Float[Array, "*B"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(Σ w |ŷ − y|, Σ w)."""
    return _summed(jnp.abs, predicted, target, weights)


def huber_error(
    predicted: Float[Array, "*B"], target: Float[Array, "*B"], weights: Float[Array, "*B"], delta: float = 1.0
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(Σ w h(ŷ − y), Σ w), h(e) = ½ e² where |e| ≤ δ, else δ (|e| − ½ δ) (Huber 1964)."""

    def huber(errors: Array) -> Array:
        inside = jnp.clip(errors, -delta, delta)
        return inside * (errors - 0.5 * inside)

    return _summed(huber, predicted, target, weights)


def quantile_loss(
    predicted: Float[Array, "*B Q"],
    target: Float[Array, "*B"],
    weights: Float[Array, "*B"],
    levels: tuple[float, ...],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(Σ w mean_q max(q e, (q − 1) e), Σ w), e = y − ŷ_q: the pinball loss (Koenker & Bassett 1978)."""
    shape = predicted.shape
    at = jnp.broadcast_to(jnp.asarray(levels, wide(predicted).dtype), shape)

    def pinball(errors: Array) -> Array:
        return jnp.maximum(-at * errors, (1 - at) * errors)  # of ŷ − y

    target, spread = jnp.broadcast_to(target[..., None], shape), jnp.broadcast_to(weights[..., None], shape)
    total, weight = _summed(pinball, predicted, target, spread)
    return total / len(levels), weight / len(levels)


def _summed(
    error: Callable[[Array], Array], predicted: Array, target: Array, weights: Array
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    real = weights > 0
    # Before anything is computed: the derivative at a NaN is NaN, even times 0.
    errors = error(jnp.where(real, wide(predicted) - wide(target), 0))
    weights = wide(weights).astype(errors.dtype)
    return jnp.where(real, errors * weights, 0).sum(), weights.sum()


__all__ = ["absolute_error", "huber_error", "quantile_loss", "squared_error"]
