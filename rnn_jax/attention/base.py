"""What every kind of attention is: a memory, made once, and queries that read from it."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from rnn_jax.cells.base import check_size
from rnn_jax.masking import as_flags
from rnn_jax.numerics import masked_softmax, wide
from rnn_jax.types import Array, Bool, Float, Int, Key, Params


class Memory(NamedTuple):
    """What is read: keys that scores are made of, the values that are averaged, and which steps are real."""

    keys: Float[Array, "*B S K"]
    values: Float[Array, "*B S M"]
    mask: Bool[Array, "*B S"] | Int[Array, "*B S"]


@runtime_checkable
class Attention(Protocol):
    """What every kind has; a class of the user's with these methods is an attention too."""

    def init(self, key: Key, query_size: int, memory_size: int) -> Params:
        """Draws parameters; ValueError where the sizes do not fit the kind."""

    def remember(
        self, params: Params, vectors: Float[Array, "*B S M"], mask: Bool[Array, "*B S"] | Int[Array, "*B S"]
    ) -> Memory:
        """The memory of the vectors."""

    def read(
        self, params: Params, queries: Float[Array, "*B T Q"], memory: Memory
    ) -> tuple[Float[Array, "*B T M"], Float[Array, "*B T S"]]:
        """Contexts and weights of all queries."""


def check_sizes(query_size: int, memory_size: int) -> None:
    """ValueError where what `init` is given are no sizes."""
    check_size("query_size", query_size)
    check_size("memory_size", memory_size)


def as_floats(name: str, array: Any) -> Array:
    """The array; TypeError unless it holds floating-point numbers: in another dtype all weights would be 0."""
    array = jnp.asarray(array)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"{name} hold floating-point numbers; got {array.dtype}.")
    return array


def real_vectors(
    vectors: Float[Array, "*B S M"], mask: Array, size: int | None = None
) -> tuple[Float[Array, "*B S M"], Bool[Array, "*B S"]]:
    """The vectors, zeros where the mask is false, and the mask as booleans.

    Raises:
      TypeError: vectors of no floating-point numbers, or a mask that holds neither booleans nor integers.
      ValueError: vectors that are not (…, S, M) with M = `size`, if that is given, or a mask of another shape.
    """
    vectors = as_floats("vectors", vectors)
    if vectors.ndim < 2 or size not in (None, vectors.shape[-1]):
        wanted = "M" if size is None else f"M={size}"
        raise ValueError(f"vectors are (…, S, {wanted}) for these params; got {vectors.shape}.")
    mask = as_flags("mask", mask, vectors.shape[:-1])
    return jnp.where(mask[..., None], vectors, 0), mask


def readable(
    queries: Any, memory: Memory, *, query_size: int, key_size: int, value_size: int | None = None
) -> tuple[Float[Array, "*B T Q"], Memory]:
    """Queries and memory as arrays, the mask as booleans, once they fit each other and a kind's sizes.

    Raises:
      TypeError: queries of no floating-point numbers, or a mask that holds neither booleans nor integers.
      ValueError: a memory that another kind has made, or queries of another batch or size.
    """
    queries, keys, values = as_floats("queries", queries), jnp.asarray(memory.keys), jnp.asarray(memory.values)
    if min(keys.ndim, values.ndim) < 2 or keys.shape[-1] != key_size or value_size not in (None, values.shape[-1]):
        wanted = f"keys (…, S, {key_size}) and values (…, S, {'M' if value_size is None else value_size})"
        got = f"{keys.shape} and {values.shape}"
        raise ValueError(f"memory has {wanted}, as `remember` of this attention makes them; got {got}.")
    if keys.shape[:-1] != values.shape[:-1]:
        raise ValueError(f"memory has keys and values of the same steps; got {keys.shape} and {values.shape}.")
    batch = keys.shape[:-2]
    if queries.ndim < 2 or (queries.shape[:-2], queries.shape[-1]) != (batch, query_size):
        wanted = ", ".join(map(str, (*batch, "T", query_size)))
        raise ValueError(f"queries are ({wanted}) for this memory and these params; got {queries.shape}.")
    return queries, Memory(keys, values, as_flags("memory.mask", memory.mask, keys.shape[:-1]))


def average(
    scores: Float[Array, "*B T S"], values: Float[Array, "*B S M"], mask: Array
) -> tuple[Float[Array, "*B T M"], Float[Array, "*B T S"]]:
    """Σ_s α_s values_s and α = softmax_s(scores) over the real s: both as wide as the scores are."""
    flags = jnp.broadcast_to(as_flags("mask", mask)[..., None, :], scores.shape)
    weights = masked_softmax(scores, flags)
    return weights @ wide(values), weights


def project(x: Float[Array, "*B T Q"], w: Float[Array, "Q A"]) -> Float[Array, "*B T A"]:
    """x W, summed and returned in float32 (float64 stays)."""
    return wide(x) @ w.astype(wide(x).dtype)


def dot(queries: Float[Array, "*B T K"], keys: Float[Array, "*B S K"]) -> Float[Array, "*B T S"]:
    """q_t · m_s of every pair, summed and returned in float32 (float64 stays)."""
    return wide(queries) @ jnp.swapaxes(wide(keys), -1, -2)


def glorot(key: Key, shape: tuple[int, ...]) -> Array:
    """Weights drawn uniformly, of variance 2 / (inputs + outputs) (Glorot & Bengio 2010)."""
    return jax.nn.initializers.glorot_uniform()(key, shape, jnp.float32)


__all__ = [
    "Attention",
    "Memory",
    "as_floats",
    "average",
    "check_sizes",
    "dot",
    "glorot",
    "project",
    "readable",
    "real_vectors",
]
