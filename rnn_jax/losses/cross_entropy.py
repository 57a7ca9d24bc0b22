"""Losses as (total, count) pairs: sums over real examples, divided once by whoever reports them.

Computed and returned in float32, or float64 if the logits are. What a row of weight 0 holds (NaN, ∞, a label that does
not exist) reaches neither values nor gradients. A logit of −∞ is a class that cannot be: it has probability and
gradient 0, and as the label of a row that counts it makes the loss ∞.
"""

import jax
import jax.numpy as jnp

from rnn_jax.numerics import known_number, logsumexp, wide
from rnn_jax.types import Array, Float, Int


def cross_entropy(
    logits: Float[Array, "*B C"], labels: Int[Array, "*B"], weights: Float[Array, "*B"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(Σ w · −log softmax(logits)[label], Σ w): padding has weight 0, so that means never count it."""
    return smoothed_cross_entropy(logits, labels, weights, 0.0)


def smoothed_cross_entropy(
    logits: Float[Array, "*B C"],
    labels: Int[Array, "*B"],
    weights: Float[Array, "*B"],
    smoothing: float | Float[Array, ""] = 0.0,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Cross entropy with (1 − ε) · onehot(label) + ε / C, ε = smoothing, as the target (Szegedy et al. 2016).

    (Σ w · (lse − (1 − ε) logit[label] − ε mean(logits)), Σ w), lse = log Σ exp logits. C and the mean are of the
    classes that can be, those with logits above −∞.

    Raises:
      ValueError: a smoothing that is not in [0, 1]; one that is traced is not checked.
    """
    number = known_number(smoothing)
    if number is not None and not 0.0 <= number <= 1.0:
        raise ValueError(f"smoothing is a share of the target, in [0, 1]; got {number:g}.")
    real = weights > 0
    # Before anything is computed: the derivative at a NaN is NaN, even times 0.
    logits = jnp.where(real[..., None], wide(logits), 0)
    labels = jnp.where(real, labels, 0)
    picked = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
    target = picked
    if number != 0:
        target = (1.0 - smoothing) * picked + smoothing * _mean_of_possible(logits)
    impossible = picked == -jnp.inf
    losses = jnp.where(impossible, jnp.inf, logsumexp(logits) - jnp.where(impossible, 0, target))
    weights = wide(weights).astype(logits.dtype)
    return jnp.where(real, losses * weights, 0).sum(), weights.sum()


def binary_cross_entropy(
    logits: Float[Array, "*B"], target: Float[Array, "*B"], weights: Float[Array, "*B"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(Σ w · (−y log σ(logit) − (1 − y) log(1 − σ(logit))), Σ w), y = target, in [0, 1]."""
    real = weights > 0
    # Before anything is computed: the derivative at a NaN is NaN, even times 0.
    logits, target = jnp.where(real, wide(logits), 0), jnp.where(real, wide(target), 0)
    losses = jax.nn.softplus(logits) - target * logits
    weights = wide(weights).astype(losses.dtype)
    return (losses * weights).sum(), weights.sum()


def _mean_of_possible(logits: Float[Array, "*B C"]) -> Float[Array, "*B"]:
    possible = logits != -jnp.inf
    return jnp.where(possible, logits, 0).sum(axis=-1) / jnp.maximum(possible.sum(axis=-1), 1).astype(logits.dtype)
