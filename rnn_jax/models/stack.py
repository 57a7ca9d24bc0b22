"""From the knobs of a recurrent stack to the stack."""

import ast
import functools
import re
from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.cells import make_cell
from rnn_jax.errors import UserError
from rnn_jax.layers import Bidirectional, Recurrent, Stack
from rnn_jax.models.own_cells import OWN_CELLS, require_imported
from rnn_jax.models.recurrent_config import RecurrentConfig
from rnn_jax.scanning.backend import Backend
from rnn_jax.types import Key


def make_stack(config: RecurrentConfig, *, part: str = "") -> Stack:
    """The stack that the knobs describe; in messages, `part` is the first half of their flags' names.

    Raises:
      UserError: an unknown cell or option, or lists of cells or sizes that are not one a layer.
    """
    names = _one_a_layer(part, "cell", config.cell, config.num_layers)
    sizes = _one_a_layer(part, "hidden_size", config.hidden_size, config.num_layers)
    for name in names:
        require_imported(name)
    options = _parse_options(config.cell_options, f"--{part}cell_options")
    try:
        cells = [make_cell(name, size, options, own=OWN_CELLS) for name, size in zip(names, sizes, strict=True)]
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
    rate, backend = (
        config.recurrent_dropout,
        Backend(config.backend, save=config.saved_activations, unroll=config.unroll),
    )
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
