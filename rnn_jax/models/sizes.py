"""How large a network is, and how wide it must be to have so many parameters."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

from rnn_jax.config import fields_of, value_of, with_overrides
from rnn_jax.errors import UserError
from rnn_jax.models.recurrent_config import RecurrentConfig
from rnn_jax.models.seq2seq_config import DecoderConfig

MakeModel = Callable[[Any, Any, nnx.Rngs], nnx.Module]
"""(configuration, codec, source of keys) → network."""


def num_parameters(params: Any) -> int:
    """Numbers in all arrays (or shapes) of a tree."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def solve_width(config: Any, codec: Any, make_model: MakeModel) -> Any:
    """The config with the hidden size, the same in every layer, whose network comes nearest to --num_params.

    With --num_params=0, or where there is no such knob, it is the config itself.

    Raises:
      UserError: even one unit a layer is more than asked for.
    """
    wanted = "num_params" in fields_of(type(config)) and value_of(config, "num_params")
    if not wanted:
        return config

    def with_size(size: int) -> Any:
        return with_overrides(config, {"hidden_size": (size,)})

    def count(size: int) -> int:
        return num_parameters(nnx.split(nnx.eval_shape(lambda: make_model(with_size(size), codec, nnx.Rngs(0))))[1])

    low, high = 1, 2
    if (smallest := count(1)) > wanted:
        raise UserError(
            f"--num_params={wanted}: the model has {smallest} parameters even with one hidden unit."
            " Raise it, or make the embedding or vocabulary smaller."
        )
    while count(high) < wanted:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < wanted else (low, middle)
    return with_size(min((low, high), key=lambda size: abs(count(size) - wanted)))


def describe_network(config: Any) -> str:
    """The recurrent stacks of a configuration, as in "2-layer bidirectional gru → 1-layer gru, "."""
    stacks: list[RecurrentConfig] = []
    for field in dataclasses.fields(config):
        part = getattr(config, field.name)
        if isinstance(part, DecoderConfig):
            part = part.stack(config.encoder)
        if isinstance(part, RecurrentConfig):
            stacks.append(part)
    return " → ".join(map(_described, stacks)) + ", " * bool(stacks)


def _described(config: RecurrentConfig) -> str:
    return f"{config.num_layers}-layer {'bidirectional ' * config.bidirectional}{' + '.join(config.cell)}"
