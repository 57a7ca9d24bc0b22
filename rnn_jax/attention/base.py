"""What every kind of attention is: a memory, made once, and queries that read from it."""

from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

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


def real_vectors(vectors: Float[Array, "*B S M"], mask: Array) -> tuple[Float[Array, "*B S M"], Bool[Array, "*B S"]]:
    """The vectors, zeros where the mask is false, and the mask as booleans.

    Raises:
      TypeError: a mask that holds neither booleans nor integers.
      ValueError: a mask of another shape.
    """
    mask = as_flags("mask", mask, vectors.shape[:-1])
    return jnp.where(mask[..., None], vectors, 0), mask


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


__all__ = ["Attention", "Memory", "average", "dot", "glorot", "project", "real_vectors"]
