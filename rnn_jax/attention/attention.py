"""Attention: what queries read from a memory. A frozen dataclass a kind, parameters and memory as plain pytrees.

    attention = Additive(size=256)
    params = attention.init(key, query_size=512, memory_size=512)
    memory = attention.remember(params, vectors, mask)             # once: all that does not need a query
    contexts, weights = attention.read(params, queries, memory)    # for one query or for many at once

    e_s = score(q, m_s)        α = softmax_s(e) over the real s        c = Σ_s α_s m_s

Padding of the memory gets weight 0, and what it holds (NaN included) reaches neither contexts nor gradients; a memory
without any real step is read as zeros.
"""

import dataclasses
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from rnn_jax.layers.pooling import attention_weights
from rnn_jax.types import Array, Bool, Float, Key, Params


class Memory(NamedTuple):
    """What is read: keys that scores are made of, the values that are averaged, and which steps are real."""

    keys: Float[Array, "*B S K"]
    values: Float[Array, "*B S M"]
    mask: Bool[Array, "*B S"]


@runtime_checkable
class Attention(Protocol):
    """What every kind has; a class of the user's with these methods is an attention too."""

    def init(self, key: Key, query_size: int, memory_size: int) -> Params:
        """Draws parameters; ValueError where the sizes do not fit the kind."""

    def remember(self, params: Params, vectors: Float[Array, "*B S M"], mask: Bool[Array, "*B S"]) -> Memory:
        """The memory of the vectors."""

    def read(
        self, params: Params, queries: Float[Array, "*B T Q"], memory: Memory
    ) -> tuple[Float[Array, "*B T M"], Float[Array, "*B T S"]]:
        """Contexts and weights of all queries."""


class _ScoreAttention:
    """An attention that is a score: subclasses give `init`, `scores` and, where keys are projected, `keys`."""

    def keys(self, params: Params, vectors: Float[Array, "*B S M"]) -> Float[Array, "*B S K"]:
        """The vectors themselves."""
        del params
        return vectors

    def scores(
        self, params: Params, queries: Float[Array, "*B T Q"], keys: Float[Array, "*B S K"]
    ) -> Float[Array, "*B T S"]:
        """score(q_t, m_s)."""
        raise NotImplementedError

    def remember(self, params: Params, vectors: Float[Array, "*B S M"], mask: Bool[Array, "*B S"]) -> Memory:
        """Keys and values, the padding of both zero."""
        values = jnp.where(mask[..., None], vectors, 0)
        return Memory(self.keys(params, values), values, mask)

    def read(
        self, params: Params, queries: Float[Array, "*B T Q"], memory: Memory
    ) -> tuple[Float[Array, "*B T M"], Float[Array, "*B T S"]]:
        """Contexts and weights of all queries."""
        scores = self.scores(params, queries, memory.keys)
        weights = attention_weights(scores, jnp.broadcast_to(memory.mask[..., None, :], scores.shape))
        return weights @ memory.values, weights


class NoParams(NamedTuple):
    """The parameters of a kind that has none."""


@dataclasses.dataclass(frozen=True)
class Dot(_ScoreAttention):
    """score(q, m) = q · m (Luong et al. 2015): queries and memory of one size, no parameters."""

    def init(self, key: Key, query_size: int, memory_size: int) -> NoParams:
        """No parameters.

        Raises:
          ValueError: the sizes differ.
        """
        del key
        if query_size != memory_size:
            raise ValueError(f"dot attention needs queries and memory of one size; got {query_size} and {memory_size}.")
        return NoParams()

    def scores(self, params, queries, keys):
        """q · m."""
        del params
        return _dot(queries, keys)


class GeneralParams(NamedTuple):
    """w (M, Q): keys are m W."""

    w: Float[Array, "M Q"]


@dataclasses.dataclass(frozen=True)
class General(_ScoreAttention):
    """score(q, m) = q · (m W) (Luong et al. 2015)."""

    def init(self, key: Key, query_size: int, memory_size: int) -> GeneralParams:
        """Glorot weights."""
        return GeneralParams(_glorot(key, (memory_size, query_size)))

    def keys(self, params, vectors):
        """m W."""
        return vectors @ params.w.astype(vectors.dtype)

    def scores(self, params, queries, keys):
        """q · (m W)."""
        del params
        return _dot(queries, keys)


class AdditiveParams(NamedTuple):
    """w_q (Q, A), w_m (M, A), v (A,)."""

    w_q: Float[Array, "Q A"]
    w_m: Float[Array, "M A"]
    v: Float[Array, " A"]


@dataclasses.dataclass(frozen=True)
class Additive(_ScoreAttention):
    """score(q, m) = v · tanh(q W_q + m W_m), `size` numbers inside (Bahdanau et al. 2015)."""

    size: int

    def init(self, key: Key, query_size: int, memory_size: int) -> AdditiveParams:
        """Glorot weights."""
        of_query, of_memory, of_v = jax.random.split(key, 3)
        return AdditiveParams(
            _glorot(of_query, (query_size, self.size)),
            _glorot(of_memory, (memory_size, self.size)),
            _glorot(of_v, (self.size, 1))[:, 0],
        )

    def keys(self, params, vectors):
        """m W_m."""
        return vectors @ params.w_m.astype(vectors.dtype)

    def scores(self, params, queries, keys):
        """v · tanh(q W_q + m W_m)."""
        projected = queries @ params.w_q.astype(queries.dtype)
        queries, keys = _every_pair(projected, keys)
        return jnp.tanh(queries + keys) @ params.v.astype(queries.dtype)


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

    def init(self, key: Key, query_size: int, memory_size: int) -> ConcatParams:
        """Glorot weights."""
        of_w, of_v = jax.random.split(key)
        return ConcatParams(_glorot(of_w, (query_size + memory_size, self.size)), _glorot(of_v, (self.size, 1))[:, 0])

    def keys(self, params, vectors):
        """The memory's share of [q; m] W."""
        return vectors @ params.w[-vectors.shape[-1] :].astype(vectors.dtype)

    def scores(self, params, queries, keys):
        """v · tanh([q; m] W)."""
        projected = queries @ params.w[: queries.shape[-1]].astype(queries.dtype)
        queries, keys = _every_pair(projected, keys)
        return jnp.tanh(queries + keys) @ params.v.astype(queries.dtype)


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
      ValueError: the number of heads does not divide the size.
    """

    size: int
    num_heads: int = 4

    def __post_init__(self):
        if self.num_heads < 1 or self.size % self.num_heads:
            raise ValueError(f"{self.num_heads} heads do not divide an attention of size {self.size}.")

    def init(self, key: Key, query_size: int, memory_size: int) -> MultiHeadParams:
        """Glorot weights."""
        sizes = ((query_size, self.size), *[(memory_size, self.size)] * 2, (self.size, memory_size))
        return MultiHeadParams(*map(_glorot, jax.random.split(key, 4), sizes))

    def remember(self, params: Params, vectors: Float[Array, "*B S M"], mask: Bool[Array, "*B S"]) -> Memory:
        """Keys m W_k and values m W_v of all heads side by side."""
        vectors = jnp.where(mask[..., None], vectors, 0)
        return Memory(vectors @ params.w_k.astype(vectors.dtype), vectors @ params.w_v.astype(vectors.dtype), mask)

    def read(
        self, params: Params, queries: Float[Array, "*B T Q"], memory: Memory
    ) -> tuple[Float[Array, "*B T M"], Float[Array, "*B T S"]]:
        """Contexts, and the mean of the heads' weights."""
        projected = queries @ params.w_q.astype(queries.dtype)
        heads, keys, values = map(self._heads, (projected, memory.keys, memory.values))
        scores = _dot(heads, keys) * (self.size // self.num_heads) ** -0.5
        weights = attention_weights(scores, jnp.broadcast_to(memory.mask[..., None, None, :], scores.shape))
        contexts = jnp.moveaxis(weights @ values, -3, -2)
        joined = contexts.reshape(*contexts.shape[:-2], -1)
        return joined @ params.w_o.astype(joined.dtype), weights.mean(axis=-3)

    def _heads(self, x: Float[Array, "*B T A"]) -> Float[Array, "*B N T E"]:
        """The heads before the steps."""
        return jnp.moveaxis(x.reshape(*x.shape[:-1], self.num_heads, -1), -2, -3)


ATTENTIONS: dict[str, Any] = {
    "additive": Additive,
    "dot": lambda size: Dot(),
    "general": lambda size: General(),
    "concat": Concat,
    "multi_head": MultiHeadDot,
}


def make_attention(kind: str, size: int, **options: Any) -> Attention:
    """The attention of a name; `size` is that of `Additive`, `Concat` and `MultiHeadDot`.

    Raises:
      ValueError: no such kind.
    """
    if kind not in ATTENTIONS:
        raise ValueError(f"No attention {kind!r}; there are: {', '.join(ATTENTIONS)}.")
    return ATTENTIONS[kind](size, **options)


def _dot(queries: Float[Array, "*B T K"], keys: Float[Array, "*B S K"]) -> Float[Array, "*B T S"]:
    return queries @ jnp.swapaxes(keys, -1, -2)


def _every_pair(queries: Float[Array, "*B T A"], keys: Float[Array, "*B S A"]) -> tuple[Array, Array]:
    """Both as (…, T, S, A)."""
    pairs = (*queries.shape[:-1], *keys.shape[-2:])
    return jnp.broadcast_to(queries[..., None, :], pairs), jnp.broadcast_to(keys[..., None, :, :], pairs)


def _glorot(key: Key, shape: tuple[int, ...]) -> Array:
    return jax.nn.initializers.glorot_uniform()(key, shape, jnp.float32)


__all__ = [
    "ATTENTIONS",
    "Additive",
    "Attention",
    "Concat",
    "Dot",
    "General",
    "Memory",
    "MultiHeadDot",
    "make_attention",
]
