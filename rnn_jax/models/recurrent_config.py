"""The knobs of a recurrent stack, shared by all experiments, and the stack that they describe."""

import ast
import dataclasses
import functools
import re
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from rnn_jax.cells import CELLS, make_cell
from rnn_jax.config import knob
from rnn_jax.errors import UserError
from rnn_jax.layers import MERGES, Bidirectional, Recurrent, Stack
from rnn_jax.scanning.backend import ANY_DEVICE, SAVE, Backend
from rnn_jax.types import Key


def dropout_knob(help: str) -> Any:  # noqa: A002 (as in `knob`)
    """A rate of something dropped, by default 0; a compiled program takes it as an argument."""
    return knob(0.0, help, minimum=0.0, maximum=0.99, traced=True)


@dataclasses.dataclass(frozen=True)
class RecurrentConfig:
    """Which cells, how wide, how deep, in which directions, and what is dropped."""

    cell: tuple[str, ...] = knob(
        ("lstm",),
        f"cell of every layer, or one a layer: {', '.join(CELLS)}; or your own class as package.module:Class",
    )
    cell_options: tuple[str, ...] = knob(
        (), "further fields of the cells, as in w_h_init=identity,b_init=(0.0,1.0,0.0,0.0)"
    )
    hidden_size: tuple[int, ...] = knob((128,), "hidden size of every layer, or one a layer", minimum=1)
    num_layers: int = knob(1, "number of recurrent layers", minimum=1)
    bidirectional: bool = knob(False, "read in both directions in every layer")
    merge: str = knob("concat", "how the two directions' outputs are merged", choices=tuple(MERGES))
    residual: bool = knob(False, "every layer but the first adds its input to its output")
    input_dropout: float = dropout_knob("dropout on the input of the first layer")
    layer_dropout: float = dropout_knob("dropout between layers")
    variational_dropout: bool = knob(False, "input and layer dropout drop the same units at every step of a sequence")
    recurrent_dropout: float = dropout_knob("DropConnect on the recurrent weights w_h")
    backend: str = knob("auto", "how sequences are computed; changes speed and rounding only", choices=ANY_DEVICE)
    save: str = knob("auto", "what the deferred gradient keeps: the less, the slower", choices=SAVE)
    unroll: int = knob(1, "steps joined in one iteration of the compiled loop; changes speed only", minimum=1)


def make_stack(config: RecurrentConfig, *, part: str = "") -> Stack:
    """The stack that the knobs describe; in messages, `part` is the first half of their flags' names.

    Raises:
      UserError: an unknown cell or option, or lists of cells or sizes that are not one a layer.
    """
    names = _one_a_layer(part, "cell", config.cell, config.num_layers)
    sizes = _one_a_layer(part, "hidden_size", config.hidden_size, config.num_layers)
    options = _parse_options(config.cell_options, f"--{part}cell_options")
    try:
        cells = [make_cell(name, size, options) for name, size in zip(names, sizes, strict=True)]
        stack = Stack(
            *(_directed(cell, config) for cell in cells),
            dropout=config.layer_dropout,
            input_dropout=config.input_dropout,
            variational=config.variational_dropout,
            residual=config.residual,
        )
        jax.eval_shape(functools.partial(_try, stack), jax.random.key(0))
    except (ValueError, TypeError) as error:
        # The first line says what; the rest is for people who debug JAX, and the cause is chained.
        layers = f"{part.removesuffix('_') or 'recurrent'} layers"
        raise UserError(f"The {layers} cannot be made: {str(error).splitlines()[0]}") from error
    return stack


def _try(stack: Stack, key: Key) -> Any:
    """One step with dropout: what a cell or layer refuses, it refuses here."""
    return stack.apply(stack.init(key, 1), jnp.zeros((1, 1, 1)), key=key).ys


def _directed(cell, config: RecurrentConfig) -> Recurrent | Bidirectional:
    rate, backend = config.recurrent_dropout, Backend(config.backend, save=config.save, unroll=config.unroll)
    if config.bidirectional:
        return Bidirectional(cell, merge=config.merge, recurrent_dropout=rate, backend=backend)
    return Recurrent(cell, recurrent_dropout=rate, backend=backend)


def _one_a_layer(part: str, flag: str, values: tuple, num_layers: int) -> tuple:
    if len(values) not in (1, num_layers):
        raise UserError(
            f"--{part}{flag}={','.join(map(str, values))} has {len(values)} entries for"
            f" --{part}num_layers={num_layers}: give one for all layers, or {num_layers}."
        )
    return values * num_layers if len(values) == 1 else values


def _parse_options(options: tuple[str, ...], flag: str) -> dict[str, Any]:
    parsed = {}
    # The flag's list was split at every comma; those within brackets belong to one value, as in b_init=(0.0, 1.0).
    for option in re.split(r",(?![^(\[]*[)\]])", ",".join(options)) if options else []:
        name, equals, text = option.partition("=")
        if not equals:
            raise UserError(f"{flag}: {option!r} is not of the form field=value.")
        try:
            parsed[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            parsed[name] = text
    return parsed


C = TypeVar("C", bound=RecurrentConfig)


def with_hidden_size(config: C, num_params: int, count: Callable[[C], int]) -> C:
    """The config with the hidden size, the same in every layer, whose model comes nearest to `num_params`.

    With `num_params` 0 it is the config itself. `count(config)` is the number of parameters of a config's model, and
    grows with the hidden size.

    Raises:
      UserError: even one unit a layer is more than asked for.
    """
    if not num_params:
        return config

    def with_size(size: int) -> C:
        return dataclasses.replace(config, hidden_size=(size,))

    low, high = 1, 2
    if (smallest := count(with_size(1))) > num_params:
        raise UserError(
            f"--num_params={num_params}: the model has {smallest} parameters even with one hidden unit."
            " Raise it, or make the embedding or vocabulary smaller."
        )
    while count(with_size(high)) < num_params:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(with_size(middle)) < num_params else (low, middle)
    return with_size(min((low, high), key=lambda size: abs(count(with_size(size)) - num_params)))
