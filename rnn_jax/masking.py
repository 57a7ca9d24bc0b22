"""Which steps are real and where sequences start: lengths and segment ids → mask and resets."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from rnn_jax.numerics import check_integer, known_array
from rnn_jax.types import Array, Bool, Int


def as_flags(name: str, flags: Array, shape: tuple[int, ...] | None = None) -> Array:
    """A mask, resets or other yes-or-no argument as booleans: integers are true where they are not 0.

    Everything that takes such an argument takes it through here, so that all of them accept the same.

    Raises:
      TypeError: floating-point numbers, which could be weights between yes and no.
      ValueError: another shape than `shape`, if that is given.
    """
    flags = jnp.asarray(flags)
    if flags.dtype != bool and not jnp.issubdtype(flags.dtype, jnp.integer):
        raise TypeError(f"{name} holds booleans, or integers that are 0 or not; got {flags.dtype}. Give {name} > 0.")
    if shape is not None and flags.shape != shape:
        raise ValueError(f"{name} has shape {shape}; got {flags.shape}.")
    return flags if flags.dtype == bool else flags != 0


def as_integers(name: str, values: Any, shape: tuple[int, ...] | None = None) -> Array:
    """Lengths, ids, labels or other whole numbers as an array of integers.

    Raises:
      TypeError: floating-point numbers or booleans.
      ValueError: another shape than `shape`, if that is given.
    """
    values = jnp.asarray(values)
    if not jnp.issubdtype(values.dtype, jnp.integer):
        raise TypeError(f"{name} holds integers; got {values.dtype}.")
    if shape is not None and values.shape != shape:
        raise ValueError(f"{name} has shape {shape}; got {values.shape}.")
    return values


def check_range(name: str, values: np.ndarray | None, low: int, high: int | None = None) -> None:
    """ValueError where a value is outside of low … high; `values` are those that `known_array` gives, None included."""
    if values is not None and (wrong := values[(values < low) | (values > (np.inf if high is None else high))]).size:
        allowed = f"of at least {low}" if high is None else f"in {low} … {high}"
        raise ValueError(f"{name} holds integers {allowed}; got {wrong[0]}.")


def lengths_to_mask(lengths: Int[Array, "*B"], max_length: int) -> Bool[Array, "*B T"]:
    """mask[…, t] = t < length: True at the real steps of rows padded at the end.

    Raises:
      TypeError: lengths that are no integers.
      ValueError: a length below 0 (a traced one is read as 0), or a max_length that is no integer of at least 0.
    """
    known, lengths = known_array(lengths), as_integers("lengths", lengths)
    check_range("lengths", known, 0)
    check_integer("max_length", max_length, 0)
    shape = (*lengths.shape, max_length)
    steps, lengths = jnp.arange(max_length, dtype=jnp.int32), lengths.astype(jnp.int32)
    return jnp.broadcast_to(steps, shape) < jnp.broadcast_to(lengths[..., None], shape)


def segment_ids_to_mask(segment_ids: Int[Array, "*B T"]) -> Bool[Array, "*B T"]:
    """True where a packed row holds a step of some sequence (id ≥ 1); 0 is padding.

    Raises:
      TypeError: ids that are no integers.
      ValueError: a scalar.
    """
    return _segment_ids(segment_ids) > 0


def segment_ids_to_resets(
    segment_ids: Int[Array, "*B T"], previous_ids: Int[Array, "*B"] | None = None
) -> Bool[Array, "*B T"]:
    """True at the first step of every packed sequence; padding (id 0) starts none.

    `previous_ids`: the ids of the step before, if the rows continue a chunk whose carry is passed on.

    Raises:
      TypeError: ids that are no integers.
      ValueError: a scalar, or previous_ids of another shape than the rows have.
    """
    segment_ids = _segment_ids(segment_ids)
    if previous_ids is None:
        previous_ids = jnp.zeros(segment_ids.shape[:-1], segment_ids.dtype)
    previous_ids = as_integers("previous_ids", previous_ids, segment_ids.shape[:-1])
    before = jnp.concatenate([previous_ids[..., None], segment_ids], axis=-1)[..., :-1]
    return (segment_ids != before) & (segment_ids > 0)


def _segment_ids(segment_ids: Any) -> Array:
    segment_ids = as_integers("segment_ids", segment_ids)
    if not segment_ids.ndim:
        raise ValueError("segment_ids is (…, T), one for each step; got a scalar.")
    return segment_ids


def reverse_resets(resets: Bool[Array, "*B T"] | Int[Array, "*B T"]) -> Bool[Array, "*B T"]:
    """The resets that a reverse scan needs: a sequence that starts at t + 1 makes one end at t.

    Read backwards, the sequence that ends at t starts there. The last step starts none: the scan starts there anyway.
    """
    resets = as_flags("resets", resets)
    return jnp.concatenate([resets[..., 1:], jnp.zeros_like(resets[..., :1])], axis=-1)
