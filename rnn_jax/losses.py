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
