"""Exponentials, norms and numbers at the edge: −∞, half precision, sums that overflow, arguments that are traced.

Everything here that sums does so in float32 (float64 stays): in float16 a sum ends at 65,504, in bfloat16 the 257th 1
added to 256 others changes nothing. −∞ is a legal score, that of what cannot be; its gradient is 0 and never NaN.
"""

import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.types import Array, Bool, Float


def wide(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x in the dtype to sum in: float32, or float64 if it is that already."""
    return x.astype(wide_dtype(x))


def wide_dtype(*arrays: Any) -> np.dtype:
    """float64 if one of the arrays is that, else float32."""
    return np.dtype(np.float64 if any(array.dtype == np.float64 for array in arrays) else np.float32)


def logsumexp(x: Float[Array, "..."], axis: int = -1) -> Float[Array, "..."]:
    """log Σ exp x along the axis; −∞, with gradient 0, where every x is −∞ or there is none.

    The derivative is softmax(x), 0 at −∞ (and everywhere beside a +∞). `jax.nn.logsumexp` has NaN for it where every x
    is −∞.
    """
    shifted, largest = _shifted(x, axis)
    return jnp.log(jnp.exp(shifted).sum(axis=axis)) + largest.squeeze(axis)


def log_softmax(x: Float[Array, "*B V"]) -> Float[Array, "*B V"]:
    """log softmax(x) along the last axis; −∞ where x is, also if all of a row is."""
    shifted, _ = _shifted(x, -1)
    normalised = shifted - jnp.log(jnp.exp(shifted).sum(axis=-1, keepdims=True))
    return jnp.where(x == -jnp.inf, -jnp.inf, normalised)


def masked_softmax(x: Float[Array, "*B S"], mask: Bool[Array, "*B S"]) -> Float[Array, "*B S"]:
    """softmax(x) over the last axis where the mask is true and x is not −∞: zeros elsewhere, or if that is nowhere.

    What x holds where the mask is false, NaN included, reaches neither values nor gradients.
    """
    counted = mask & (x != -jnp.inf)
    shifted, _ = _shifted(jnp.where(counted, x, -jnp.inf), -1)
    exponentials = jnp.where(counted, jnp.exp(shifted), 0)
    total = exponentials.sum(axis=-1, keepdims=True)
    return exponentials / jnp.where(counted.any(axis=-1, keepdims=True), total, 1)


def _shifted(x: Array, axis: int) -> tuple[Array, Array]:
    """x − max, so that exp does not overflow, and the max; beside an infinite max, 0 where x is that and else −∞."""
    largest = jax.lax.stop_gradient(x.max(axis=axis, keepdims=True, initial=-jnp.inf))
    at_infinity = jnp.where(x == largest, 0.0, -jnp.inf).astype(x.dtype)  # x − max would be ∞ − ∞
    return jnp.where(jnp.isinf(largest), at_infinity, x - largest), largest


def norm_parts(leaves: Sequence[Array], num_kept: int = 0) -> tuple[Array, Array]:
    """(s, r) with s · r = √(sum of squares over all arrays and their axes), the first `num_kept` axes kept.

    s is a power of two near the largest number, and r is summed from numbers divided by it, which rounds nothing: so
    neither 1e20² nor 1e−30² is ever computed. Both are arrays of the kept axes. With NaN anywhere r is NaN, with ∞ it
    is ∞.
    """
    dtype = wide_dtype(*leaves)
    axes = [tuple(range(num_kept, leaf.ndim)) for leaf in leaves]
    magnitudes = [jnp.abs(leaf).astype(dtype) for leaf in leaves]
    largest = squares = jnp.zeros(leaves[0].shape[:num_kept] if leaves else (), dtype)
    for leaf, over in zip(magnitudes, axes, strict=True):
        largest = jnp.maximum(largest, leaf.max(axis=over, initial=0))
    scale = _power_of_two(largest)
    for leaf, over in zip(magnitudes, axes, strict=True):
        squares += jnp.square(leaf / jnp.expand_dims(scale, over)).sum(axis=over)
    return scale, jnp.sqrt(squares)


def _power_of_two(x: Array) -> Array:
    """The power of two at or below each x ≥ 0, or near it where x is at an end of the range; 1 for 0, ∞ and NaN."""
    usual = jnp.isfinite(x) & (x > 0)
    _, exponent = jnp.frexp(jnp.where(usual, x, 1))
    # Neither it nor its inverse, which compilers multiply by, may be subnormal: devices take such numbers for 0.
    smallest = jnp.finfo(x.dtype).minexp
    return jnp.where(usual, jnp.ldexp(jnp.ones_like(x), jnp.clip(exponent - 1, smallest, -smallest)), 1)


def known_number(value: float | Array) -> float | None:
    """The number, or None if it is an argument of the program being traced, which any number may be passed for."""
    return None if isinstance(value, jax.core.Tracer) else float(value)


def known_array(values: Any) -> np.ndarray | None:
    """The array, or None if it is traced, or spread over machines that this process does not reach."""
    unknown = isinstance(values, jax.core.Tracer) or not getattr(values, "is_fully_addressable", True)
    return None if unknown else np.asarray(values)


def check_integer(name: str, value: Any, low: int | None = None, high: int | None = None, reason: str = "") -> None:
    """ValueError where a value is no integer in low … high; `reason` says where high comes from.

    A traced one is none: for those that may be, ask first.
    """
    try:
        number = None if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:  # jax's errors for tracers are such too
        number = None
    if number is None or (low is not None and number < low) or (high is not None and number > high):
        allowed = "" if low is None else f" of at least {low}" if high is None else f" in {low} … {high}{reason}"
        raise ValueError(f"{name} is an integer{allowed}; got {value!r}.")
