"""The kinds of attention by their names."""

from typing import Any

from rnn_jax.attention.base import Attention
from rnn_jax.attention.multi_head import MultiHeadDot
from rnn_jax.attention.scores import Additive, Concat, Dot, General

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


__all__ = ["ATTENTIONS", "make_attention"]
