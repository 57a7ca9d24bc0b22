"""Several scores at once, each on projections of its own: multi-head attention."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.attention.base import Memory, average, check_sizes, dot, glorot, project, readable, real_vectors
from rnn_jax.cells.base import check_size
from rnn_jax.types import Array, Bool, Float, Int, Key, Params


class MultiHeadParams(NamedTuple):
    """w_q (Q, A), w_k (M, A), w_v (M, A), w_o (A, M)."""

    w_q: Float[Array, "Q A"]
    w_k: Float[Array, "M A"]
    w_v: Float[Array, "M A"]
    w_o: Float[Array, "A M"]


@dataclasses.dataclass(frozen=True)
class MultiHeadDot:
    """Heads i: softmax_s((q W_q)_i · (m_s W_k)_i / √d) over (m W_v)_i, joined and times W_o (Vaswani et al. 2017).

    `size` numbers in the keys, and in the values, of all heads together, d = size / num_heads. The weights returned are
    the heads' mean.

    Raises:
      ValueError: one of the two is no integer of at least 1, or the number of heads does not divide the size.
    """

    size: int
    num_heads: int = 4

    def __post_init__(self):
        check_size("size", self.size)
        check_size("num_heads", self.num_heads)
        if self.size % self.num_heads:
            raise ValueError(f"num_heads divides the size; got {self.num_heads} heads for a size of {self.size}.")

    def init(self, key: Key, query_size: int, memory_size: int) -> MultiHeadParams:
        """Glorot weights."""
        check_sizes(query_size, memory_size)
        sizes = ((query_size, self.size), *[(memory_size, self.size)] * 2, (self.size, memory_size))
        return MultiHeadParams(*map(glorot, jax.random.split(key, 4), sizes))

    def remember(
        self, params: Params, vectors: Float[Array, "*B S M"], mask: Bool[Array, "*B S"] | Int[Array, "*B S"]
    ) -> Memory:
        """Keys m W_k and values m W_v of all heads side by side, in float32 (float64 stays)."""
        vectors, mask = real_vectors(vectors, mask, len(params.w_k))
        return Memory(project(vectors, params.w_k), project(vectors, params.w_v), mask)

    def read(
        self, params: Params, queries: Float[Array, "*B T Q"], memory: Memory
    ) -> tuple[Float[Array, "*B T M"], Float[Array, "*B T S"]]:
        """Contexts, and the mean of the heads' weights; in the queries' dtype."""
        sizes = {"query_size": len(params.w_q), "key_size": self.size, "value_size": self.size}
        queries, memory = readable(queries, memory, **sizes)
        heads, keys, values = map(self._heads, (project(queries, params.w_q), memory.keys, memory.values))
        scores = dot(heads, keys) * (self.size // self.num_heads) ** -0.5
        contexts, weights = average(scores, values, memory.mask[..., None, :])
        joined = jnp.moveaxis(contexts, -3, -2).reshape(*queries.shape[:-1], self.size)
        return project(joined, params.w_o).astype(queries.dtype), weights.mean(axis=-3).astype(queries.dtype)

    def _heads(self, x: Float[Array, "*B T A"]) -> Float[Array, "*B N T E"]:
        """The heads before the steps."""
        heads = x.reshape(*x.shape[:-1], self.num_heads, self.size // self.num_heads)
        return jnp.moveaxis(heads, -2, -3)


__all__ = ["MultiHeadDot", "MultiHeadParams"]
