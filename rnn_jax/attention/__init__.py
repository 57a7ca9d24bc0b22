"""Attention: what queries read from a memory. A frozen dataclass a kind, parameters and memory as plain pytrees."""

from rnn_jax.attention.attention import (
    ATTENTIONS,
    Additive,
    Attention,
    Concat,
    Dot,
    General,
    Memory,
    MultiHeadDot,
    make_attention,
)

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
