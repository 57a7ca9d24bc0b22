"""Changes of signals that leave their labels: pure functions of a key, of rows xs (B, T, …) and their lengths.

What lies behind a row's length is whatever comes of it: readers mask it.
"""

import dataclasses

import jax
import jax.numpy as jnp

from rnn_jax.masking import lengths_to_mask
from rnn_jax.types import Array, Float, Int, Key, Static

_PIECES = 4  # of a warped row, each with a speed of its own


def jitter(xs: Float[Array, "B T ..."], deviation: float, key: Key) -> Float[Array, "B T ..."]:
    """x + σ ε, ε ~ N(0, 1) for each number."""
    return xs + deviation * jax.random.normal(key, xs.shape, xs.dtype)


def scale_channels(xs: Float[Array, "B T ..."], deviation: float, key: Key) -> Float[Array, "B T ..."]:
    """x · exp(σ ε), one ε ~ N(0, 1) for each row and channel (the last axis)."""
    shape = (xs.shape[0], *(1 for _ in xs.shape[1:-1]), xs.shape[-1])
    factors = jnp.exp(deviation * jax.random.normal(key, shape, xs.dtype))
    return xs * jnp.broadcast_to(factors, xs.shape)


def time_warp(
    xs: Float[Array, "B T ..."], lengths: Int[Array, " B"], strength: float, key: Key
) -> Float[Array, "B T ..."]:
    """Rows read at another pace, which changes along the way; their lengths, first and last steps stay.

    A row is cut into 4 pieces of one length, which are read at the speeds exp(σ ε_k), ε_k ~ N(0, 1); between steps
    what is read is interpolated.
    """
    rows, steps = xs.shape[:2]
    speeds = jnp.exp(strength * jax.random.normal(key, (rows, _PIECES), jnp.float32))
    knots = jnp.cumsum(speeds, axis=1)
    knots = jnp.concatenate([jnp.zeros((rows, 1), jnp.float32), knots], axis=1) / knots[:, -1:]
    last = jnp.maximum(lengths - 1, 0).astype(jnp.float32)[:, None]
    share = jnp.minimum(jnp.arange(steps, dtype=jnp.float32)[None] / jnp.maximum(last, 1.0), 1.0)
    even = jnp.linspace(0.0, 1.0, _PIECES + 1)
    places = jax.vmap(lambda own, to: jnp.interp(own, even, to))(share, knots) * last
    before = jnp.clip(jnp.floor(places), 0.0, last)
    after = jnp.minimum(before + 1, last)
    part = (places - before).reshape(rows, steps, *(1 for _ in xs.shape[2:])).astype(xs.dtype)
    part = jnp.broadcast_to(part, xs.shape)
    read = jax.vmap(lambda row, at: row[at.astype(jnp.int32)])
    return (1 - part) * read(xs, before) + part * read(xs, after)


def mask_steps(
    xs: Float[Array, "B T ..."], lengths: Int[Array, " B"], share: float, key: Key
) -> Float[Array, "B T ..."]:
    """Zeros in one span of each row, of 0 to `share` of its steps, wherever it begins (SpecAugment, Park et al. 2019).

    Where channels have mean 0, zeros say nothing.
    """
    size_key, place_key = jax.random.split(key)
    total = lengths.astype(jnp.float32)
    size = total * share * jax.random.uniform(size_key, lengths.shape)
    first = (total - size) * jax.random.uniform(place_key, lengths.shape)
    steps = jnp.arange(xs.shape[1], dtype=jnp.float32)[None]
    inside = (steps >= first[:, None]) & (steps < (first + size)[:, None])
    inside = inside.reshape(*inside.shape, *(1 for _ in xs.shape[2:]))
    return jnp.where(inside, jnp.zeros_like(xs), xs)


@dataclasses.dataclass(frozen=True)
class Augmentation(Static):
    """Time warp, scaling, jitter and a mask, in this order; 0 leaves one out."""

    jitter: float = 0.0
    scaling: float = 0.0
    time_warp: float = 0.0
    mask: float = 0.0

    def __call__(self, xs: Float[Array, "B T ..."], lengths: Int[Array, " B"], key: Key) -> Float[Array, "B T ..."]:
        """xs (B, T, …) changed, zeros behind the lengths."""
        keys = jax.random.split(key, 4)
        if self.time_warp:
            xs = time_warp(xs, lengths, self.time_warp, keys[0])
        if self.scaling:
            xs = scale_channels(xs, self.scaling, keys[1])
        if self.jitter:
            xs = jitter(xs, self.jitter, keys[2])
        if self.mask:
            xs = mask_steps(xs, lengths, self.mask, keys[3])
        real = lengths_to_mask(lengths, xs.shape[1])
        return jnp.where(real.reshape(*real.shape, *(1 for _ in xs.shape[2:])), xs, jnp.zeros_like(xs))
