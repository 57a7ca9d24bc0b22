"""Losses as (total, count) pairs: sums over real examples, divided once by whoever reports them."""

import jax
import jax.numpy as jnp

from rnn_jax.types import Array, Float, Int


def cross_entropy(
    logits: Float[Array, "*B C"], labels: Int[Array, "*B"], weights: Float[Array, "*B"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(Σ w · −log softmax(logits)[label], Σ w): padding has weight 0, so that means never count it."""
    picked = jnp.take_along_axis(jax.nn.log_softmax(logits, axis=-1), labels[..., None], axis=-1)[..., 0]
    return -jnp.where(weights > 0, picked * weights, 0).sum(), weights.sum()


def smoothed_cross_entropy(
    logits: Float[Array, "*B C"], labels: Int[Array, "*B"], weights: Float[Array, "*B"], smoothing: float = 0.0
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Cross entropy with (1 − ε) · onehot(label) + ε / C, ε = smoothing, as the target (Szegedy et al. 2016).

    (Σ w · (lse − (1 − ε) logit[label] − ε mean(logits)), Σ w), lse = log Σ exp logits; finite logits only.
    """
    normalizers = jax.nn.logsumexp(logits, axis=-1)
    target = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
    if smoothing:
        target = (1.0 - smoothing) * target + smoothing * logits.mean(axis=-1)
    return jnp.where(weights > 0, (normalizers - target) * weights, 0).sum(), weights.sum()
