"""From a sequence to one vector, over the real steps only. A row without real steps pools to zeros."""

import jax.numpy as jnp

from rnn_jax.types import Array, Bool, Float


def last_pool(ys: Float[Array, "*B T F"], mask: Bool[Array, "*B T"], *, first: bool = False) -> Float[Array, "*B F"]:
    """The output at the last real step (the first, if `first`: the last one that a reverse scan makes)."""
    steps = mask.shape[-1]
    if steps == 0:
        return jnp.zeros((*mask.shape[:-1], ys.shape[-1]), ys.dtype)
    index = jnp.argmax(mask, axis=-1) if first else steps - 1 - jnp.argmax(mask[..., ::-1], axis=-1)
    chosen = jnp.take_along_axis(ys, index[..., None, None], axis=-2)[..., 0, :]
    return jnp.where(mask.any(axis=-1)[..., None], chosen, 0)


def mean_pool(ys: Float[Array, "*B T F"], mask: Bool[Array, "*B T"]) -> Float[Array, "*B F"]:
    """The mean of the outputs at real steps."""
    count = jnp.maximum(mask.sum(axis=-1), 1).astype(ys.dtype)
    return jnp.where(mask[..., None], ys, 0).sum(axis=-2) / count[..., None]


def max_pool(ys: Float[Array, "*B T F"], mask: Bool[Array, "*B T"]) -> Float[Array, "*B F"]:
    """The largest output of each feature over the real steps."""
    lowest = jnp.asarray(jnp.finfo(ys.dtype).min, ys.dtype)
    highest = jnp.where(mask[..., None], ys, lowest).max(axis=-2)
    return jnp.where(mask.any(axis=-1)[..., None], highest, 0)


def mean_max_pool(ys: Float[Array, "*B T F"], mask: Bool[Array, "*B T"]) -> Float[Array, "*B G"]:
    """Mean and max pooling side by side: (…, 2F)."""
    return jnp.concatenate([mean_pool(ys, mask), max_pool(ys, mask)], axis=-1)


def attention_weights(scores: Float[Array, "*B T"], mask: Bool[Array, "*B T"]) -> Float[Array, "*B T"]:
    """softmax of the scores over the real steps; zeros elsewhere, and everywhere in a row without real steps."""
    lowest = jnp.asarray(jnp.finfo(scores.dtype).min, scores.dtype)
    masked = jnp.where(mask, scores, lowest)
    exponentials = jnp.where(mask, jnp.exp(masked - masked.max(axis=-1, keepdims=True)), 0)
    return exponentials / jnp.maximum(exponentials.sum(axis=-1, keepdims=True), jnp.finfo(scores.dtype).tiny)


def attention_pool(
    ys: Float[Array, "*B T F"], scores: Float[Array, "*B T"], mask: Bool[Array, "*B T"]
) -> Float[Array, "*B F"]:
    """Σ_t α_t y_t with α = softmax(scores) over the real steps."""
    weights = attention_weights(scores, mask)[..., None]
    return (weights * jnp.where(mask[..., None], ys, 0)).sum(axis=-2)
