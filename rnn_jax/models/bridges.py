"""From an encoder to the initial carry of a decoder: linear, tanh(s W + b) for each leaf; copy, the encoder's; zero."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from rnn_jax.layers import BidirectionalCarry
from rnn_jax.models.seq2seq_config import BRIDGES
from rnn_jax.modules import RNN, Linear
from rnn_jax.scanning.carries import cast_like
from rnn_jax.types import Carry


def make_bridges(kind: str, encoder: RNN, wanted: Carry, dtype: str, rngs: nnx.Rngs) -> list[Linear] | None:
    """The maps of a linear bridge, one for each leaf of the decoder's carry.

    Raises:
      ValueError: an unknown kind; carries that cannot be copied.
    """
    if kind not in BRIDGES:
        raise ValueError(f"No bridge {kind!r}; there are: {', '.join(BRIDGES)}.")
    if kind == "linear":
        return [Linear(encoder.output_size, leaf.shape[-1], rngs=rngs) for leaf in jax.tree.leaves(wanted)]
    if kind == "copy":
        xs = jnp.zeros((1, 1, encoder.input_size), dtype)
        _require_same_shapes(jax.eval_shape(lambda: _joined_directions(encoder.apply(xs).carry)), wanted)
    return None


def bridged(kind: str, bridges: Sequence[Linear], encoded: Any, fresh: Carry) -> Carry:
    """The decoder's carry after the encoder's output; fresh: what it is without one."""
    if kind == "zero":
        return fresh
    if kind == "linear":
        given = [jnp.tanh(linear(encoded.last)) for linear in bridges]
    else:
        given = jax.tree.leaves(_joined_directions(encoded.carry))
    return cast_like(jax.tree.unflatten(jax.tree.structure(fresh), given), fresh)


def _joined_directions(carry: Carry) -> Carry:
    """Both directions' carries side by side."""
    is_pair = lambda node: isinstance(node, BidirectionalCarry)  # noqa: E731
    join = lambda *leaves: jnp.concatenate(leaves, axis=-1)  # noqa: E731
    return jax.tree.map(lambda node: jax.tree.map(join, *node) if is_pair(node) else node, carry, is_leaf=is_pair)


def _require_same_shapes(given: Carry, wanted: Carry) -> None:
    shown = [jax.tree.map(lambda leaf: leaf.shape[-1], carry) for carry in (given, wanted)]
    if shown[0] != shown[1] or len({jax.tree.structure(carry) for carry in (given, wanted)}) > 1:
        raise ValueError(f"The bridge cannot copy the encoder's carries, {shown[0]}, to the decoder's, {shown[1]}.")
