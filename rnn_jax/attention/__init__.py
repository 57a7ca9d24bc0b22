"""Attention: what queries read from a memory. A frozen dataclass a kind, parameters and memory as plain pytrees.

    attention = Additive(size=256)
    params = attention.init(key, query_size=512, memory_size=512)
    memory = attention.remember(params, vectors, mask)             # once: all that does not need a query
    contexts, weights = attention.read(params, queries, memory)    # for one query or for many at once

    e_s = score(q, m_s)        α = softmax_s(e) over the real s        c = Σ_s α_s m_s

Padding of the memory gets weight 0, and what it holds (NaN included) reaches neither contexts nor gradients; a memory
without any real step is read as zeros. Scores, softmax and sums are computed in float32 (float64 stays), and returned
in the queries' dtype.
TypeError where vectors or queries are no floating-point numbers, ValueError where shapes do not fit each other.
"""

from rnn_jax.attention.base import Attention, Memory
from rnn_jax.attention.kinds import ATTENTIONS, make_attention
from rnn_jax.attention.multi_head import MultiHeadDot
from rnn_jax.attention.scores import Additive, Concat, Dot, General

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
