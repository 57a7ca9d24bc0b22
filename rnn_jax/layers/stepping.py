"""A stack one step at a time, for a batch: what decoding needs, and training where a step's output is fed back."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.dropout import dropout, recurrent_dropout
from rnn_jax.layers.layers import Recurrent, Stack
from rnn_jax.scanning.carries import initial_carry
from rnn_jax.types import Array, Carry, Float, Key, Params

StackStep = Callable[[Carry, Array, Any], tuple[Carry, Array]]


def initial_carries(stack: Stack, params: tuple[Params, ...], xs: Float[Array, "B T D"]) -> tuple[Carry, ...]:
    """The carry of each layer before the first step of a batch like `xs`; nothing of `xs` but its shape is used."""
    carries, size = [], xs.shape[-1]
    for layer, layer_params in zip(stack.layers, params, strict=True):
        carries.append(initial_carry(_one_way(layer).cell, layer_params, jnp.zeros((len(xs), 1, size), xs.dtype)))
        size = layer.output_size(size)
    return tuple(carries)


def make_step(stack: Stack, params: tuple[Params, ...], key: Key | None = None) -> StackStep:
    """step(carry, x (B, D), t) -> (carry, y (B, F)): `stack.run`, one step at a time.

    t is the number of the step. With a key the stack's dropout is on: recurrent weights are dropped once for all
    steps, and so are units if the stack is `variational` (then the steps equal those of `stack.run` with this key);
    otherwise each step has its own draw.

    Raises:
      ValueError: a layer reads backwards.
    """
    layers = [_one_way(layer) for layer in stack.layers]
    layer_keys: list[tuple[Key | None, Key | None]] = [(None, None)] * len(layers)
    if key is not None:
        layer_keys = [tuple(jax.random.split(jax.random.fold_in(key, i))) for i in range(len(layers))]
    dropped = [
        recurrent_dropout(p, layer.recurrent_dropout, k)
        for layer, p, (_, k) in zip(layers, params, layer_keys, strict=True)
    ]

    def step(carry: Carry, x: Float[Array, "B D"], t: Any) -> tuple[Carry, Float[Array, "B F"]]:
        after, y = [], x
        for i, layer in enumerate(layers):
            unit_key = layer_keys[i][0]
            if unit_key is not None and not stack.variational:
                unit_key = jax.random.fold_in(unit_key, t)
            below = dropout(y, stack.dropout if i else stack.input_dropout, unit_key)
            layer_carry, out = jax.vmap(layer.cell.step, in_axes=(None, 0, 0))(dropped[i], carry[i], below)
            after.append(layer_carry)
            y = y + out if stack.residual and i else out
        return tuple(after), y

    return step


def _one_way(layer: Any) -> Recurrent:
    if not isinstance(layer, Recurrent) or layer.reverse:
        raise ValueError(f"One step at a time goes from left to right only; got {layer!r}.")
    return layer
