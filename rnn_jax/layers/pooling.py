"""From a sequence to one vector, over the real steps only. A row without real steps pools to zeros.

Sums are made in float32 (float64 stays) and returned in the dtype of what is pooled. A mask holds booleans, or integers
that are 0 or not: TypeError for other numbers, ValueError for a shape other than (…, T).
"""

import jax.numpy as jnp

from rnn_jax.masking import as_flags
from rnn_jax.numerics import masked_softmax, wide, wide_dtype
from rnn_jax.types import Array, Bool, Float, Int


def last_pool(
    ys: Float[Array, "*B T F"], mask: Bool[Array, "*B T"] | Int[Array, "*B T"], *, first: bool = False
) -> Float[Array, "*B F"]:
    """The output at the last real step (the first, if `first`: the last one that a reverse scan makes)."""
    mask, steps = as_flags("mask", mask, ys.shape[:-1]), ys.shape[-2]
    if steps == 0:
        return _no_steps(ys)
    index = jnp.argmax(mask, axis=-1) if first else steps - 1 - jnp.argmax(mask[..., ::-1], axis=-1)
    chosen = jnp.take_along_axis(ys, index[..., None, None], axis=-2)[..., 0, :]
    return jnp.where(mask.any(axis=-1)[..., None], chosen, 0)


def mean_pool(ys: Float[Array, "*B T F"], mask: Bool[Array, "*B T"] | Int[Array, "*B T"]) -> Float[Array, "*B F"]:
    """The mean of the outputs at real steps."""
    mask = as_flags("mask", mask, ys.shape[:-1])
    count = jnp.maximum(mask.sum(axis=-1), 1).astype(wide_dtype(ys))
    return (jnp.where(mask[..., None], wide(ys), 0).sum(axis=-2) / count[..., None]).astype(ys.dtype)


def max_pool(ys: Float[Array, "*B T F"], mask: Bool[Array, "*B T"] | Int[Array, "*B T"]) -> Float[Array, "*B F"]:
    """The largest output of each feature over the real steps."""
    mask = as_flags("mask", mask, ys.shape[:-1])
    if ys.shape[-2] == 0:
        return _no_steps(ys)
    highest = jnp.where(mask[..., None], ys, -jnp.inf).max(axis=-2)
    return jnp.where(mask.any(axis=-1)[..., None], highest, 0)


def mean_max_pool(ys: Float[Array, "*B T F"], mask: Bool[Array, "*B T"] | Int[Array, "*B T"]) -> Float[Array, "*B G"]:
    """Mean and max pooling side by side: (…, 2F)."""
    return jnp.concatenate([mean_pool(ys, mask), max_pool(ys, mask)], axis=-1)


def attention_weights(
    scores: Float[Array, "*B T"], mask: Bool[Array, "*B T"] | Int[Array, "*B T"]
) -> Float[Array, "*B T"]:
    """softmax of the scores over the real steps; zeros elsewhere, and everywhere in a row without real steps.

    A score of −∞ is a step that is not read, as if it were not real.
    """
    return masked_softmax(wide(scores), as_flags("mask", mask, scores.shape)).astype(scores.dtype)


def attention_pool(
    ys: Float[Array, "*B T F"], scores: Float[Array, "*B T"], mask: Bool[Array, "*B T"] | Int[Array, "*B T"]
) -> Float[Array, "*B F"]:
    """Σ_t α_t y_t with α = softmax(scores) over the real steps."""
    mask = as_flags("mask", mask, ys.shape[:-1])
    weights = masked_softmax(wide(scores), mask)[..., None]
    return (weights * jnp.where(mask[..., None], wide(ys), 0)).sum(axis=-2).astype(ys.dtype)


def _no_steps(ys: Float[Array, "*B T F"]) -> Float[Array, "*B F"]:
    return jnp.zeros((*ys.shape[:-2], ys.shape[-1]), ys.dtype)
