"""Attentions that are a score of a query and a vector of the memory: dot, general, additive and concat."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.attention.base import Memory, average, check_sizes, dot, glorot, project, readable, real_vectors
from rnn_jax.cells.base import check_size
from rnn_jax.types import Array, Bool, Float, Int, Key, Params


class _ScoreAttention:
    """An attention that is a score: subclasses give `init`, `sizes`, `scores` and, where keys are projected, `keys`.

    Projected keys and scores are float32 (or float64), whatever the vectors are: a product of float16 numbers is soon
    larger than the largest of them.
    """

    def sizes(self, params: Params, memory_size: int) -> tuple[int | None, int, int]:
        """M (None: any), Q and K of the params, where vectors have `memory_size` numbers."""
        raise NotImplementedError

    def keys(self, params: Params, vectors: Float[Array, "*B S M"]) -> Float[Array, "*B S K"]:
        """The vectors themselves."""
        del params
        return vectors

    def scores(
        self, params: Params, queries: Float[Array, "*B T Q"], keys: Float[Array, "*B S K"]
    ) -> Float[Array, "*B T S"]:
        """score(q_t, m_s)."""
        raise NotImplementedError

    def remember(
        self, params: Params, vectors: Float[Array, "*B S M"], mask: Bool[Array, "*B S"] | Int[Array, "*B S"]
    ) -> Memory:
        """Keys and values, made from vectors whose padding is zero."""
        size, *_ = self.sizes(params, _width(vectors))
        values, mask = real_vectors(vectors, mask, size)
        return Memory(self.keys(params, values), values, mask)

    def read(
        self, params: Params, queries: Float[Array, "*B T Q"], memory: Memory
    ) -> tuple[Float[Array, "*B T M"], Float[Array, "*B T S"]]:
        """Contexts and weights of all queries, in the queries' dtype."""
        size, query_size, key_size = self.sizes(params, _width(memory.values))
        queries, memory = readable(queries, memory, query_size=query_size, key_size=key_size, value_size=size)
        contexts, weights = average(self.scores(params, queries, memory.keys), memory.values, memory.mask)
        return contexts.astype(queries.dtype), weights.astype(queries.dtype)


class NoParams(NamedTuple):
    """The parameters of a kind that has none."""


@dataclasses.dataclass(frozen=True)
class Dot(_ScoreAttention):
    """score(q, m) = q · m (Luong et al. 2015): queries and memory of one size, no parameters."""

    def init(self, key: Key, query_size: int, memory_size: int) -> NoParams:
        """No parameters.

        Raises:
          ValueError: the sizes differ, or are none.
        """
        del key
        check_sizes(query_size, memory_size)
        if query_size != memory_size:
            raise ValueError(f"dot attention needs queries and memory of one size; got {query_size} and {memory_size}.")
        return NoParams()

    def sizes(self, params, memory_size):
        """All are the memory's."""
        del params
        return None, memory_size, memory_size

    def scores(self, params, queries, keys):
        """q · m."""
        del params
        return dot(queries, keys)


class GeneralParams(NamedTuple):
    """w (M, Q): keys are m W."""

    w: Float[Array, "M Q"]


@dataclasses.dataclass(frozen=True)
class General(_ScoreAttention):
    """score(q, m) = q · (m W) (Luong et al. 2015)."""

    def init(self, key: Key, query_size: int, memory_size: int) -> GeneralParams:
        """Glorot weights."""
        check_sizes(query_size, memory_size)
        return GeneralParams(glorot(key, (memory_size, query_size)))

    def sizes(self, params, memory_size):
        """Of w (M, Q)."""
        del memory_size
        return len(params.w), params.w.shape[1], params.w.shape[1]

    def keys(self, params, vectors):
        """m W."""
        return project(vectors, params.w)

    def scores(self, params, queries, keys):
        """q · (m W)."""
        del params
        return dot(queries, keys)


class AdditiveParams(NamedTuple):
    """w_q (Q, A), w_m (M, A), v (A,)."""

    w_q: Float[Array, "Q A"]
    w_m: Float[Array, "M A"]
    v: Float[Array, " A"]


@dataclasses.dataclass(frozen=True)
class Additive(_ScoreAttention):
    """score(q, m) = v · tanh(q W_q + m W_m), `size` numbers inside (Bahdanau et al. 2015)."""

    size: int

    def __post_init__(self):
        check_size("size", self.size)

    def init(self, key: Key, query_size: int, memory_size: int) -> AdditiveParams:
        """Glorot weights."""
        check_sizes(query_size, memory_size)
        of_query, of_memory, of_v = jax.random.split(key, 3)
        return AdditiveParams(
            glorot(of_query, (query_size, self.size)),
            glorot(of_memory, (memory_size, self.size)),
            glorot(of_v, (self.size, 1))[:, 0],
        )

    def sizes(self, params, memory_size):
        """Of w_m (M, A) and w_q (Q, A)."""
        del memory_size
        return len(params.w_m), len(params.w_q), self.size

    def keys(self, params, vectors):
        """m W_m."""
        return project(vectors, params.w_m)

    def scores(self, params, queries, keys):
        """v · tanh(q W_q + m W_m)."""
        return _score_of_sums(project(queries, params.w_q), keys, params.v)


class ConcatParams(NamedTuple):
    """w (Q + M, A), v (A,)."""

    w: Float[Array, "QM A"]
    v: Float[Array, " A"]


@dataclasses.dataclass(frozen=True)
class Concat(_ScoreAttention):
    """score(q, m) = v · tanh([q; m] W), `size` numbers inside (Luong et al. 2015).

    The same functions as `Additive`; one matrix instead of two, so initialised by the joint fan-in.
    """

    size: int

    def __post_init__(self):
        check_size("size", self.size)

    def init(self, key: Key, query_size: int, memory_size: int) -> ConcatParams:
        """Glorot weights."""
        check_sizes(query_size, memory_size)
        of_w, of_v = jax.random.split(key)
        return ConcatParams(glorot(of_w, (query_size + memory_size, self.size)), glorot(of_v, (self.size, 1))[:, 0])

    def sizes(self, params, memory_size):
        """Of w (Q + M, A): what is not the memory's is the queries'."""
        if memory_size >= (both := len(params.w)):
            raise ValueError(f"vectors are (…, S, M) for these params, with M below {both}; got M={memory_size}.")
        return None, both - memory_size, self.size

    def keys(self, params, vectors):
        """The memory's share of [q; m] W."""
        return project(vectors, params.w[-vectors.shape[-1] :])

    def scores(self, params, queries, keys):
        """v · tanh([q; m] W)."""
        return _score_of_sums(project(queries, params.w[: queries.shape[-1]]), keys, params.v)


def _width(vectors: Any) -> int:
    return (np.shape(vectors) or (0,))[-1]


def _score_of_sums(
    queries: Float[Array, "*B T A"], keys: Float[Array, "*B S A"], v: Float[Array, " A"]
) -> Float[Array, "*B T S"]:
    """v · tanh(q + k) of every pair."""
    pairs = (*queries.shape[:-1], *keys.shape[-2:])
    queries, keys = jnp.broadcast_to(queries[..., None, :], pairs), jnp.broadcast_to(keys[..., None, :, :], pairs)
    return jnp.tanh(queries + keys) @ v.astype(queries.dtype)


__all__ = ["Additive", "Concat", "Dot", "General"]
