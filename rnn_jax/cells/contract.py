"""What the engine asks of a cell, whoever wrote it: where it starts, what it returns, if it draws, if it splits."""

import functools
import inspect
from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.types import Carry, Cell, Inputs, InputSize, Outputs, Params


def start(cell: Cell, params: Params) -> Carry:
    """The initial carry of one example; `initial_carry` may be written without the params."""
    takes_params = len(inspect.signature(cell.initial_carry).parameters) > 0
    return cell.initial_carry(params) if takes_params else cell.initial_carry()  # type: ignore[call-arg]


def takes_key(cell: Cell) -> bool:
    """Whether a step of the cell draws random numbers: its `step` has an argument `key`."""
    return "key" in inspect.signature(cell.step).parameters


def splits(cell: Cell) -> bool:
    """Whether a step is `project`, `preactivate` and `activate` and nothing else, so that its gradient can be deferred.

    A class says so with `splits`, as `SplitCell` does; who defines another `step` below it (a residual, say) must say
    so anew.
    """

    def level(attribute: str) -> int:
        order = type(cell).__mro__
        return next((number for number, parent in enumerate(order) if attribute in vars(parent)), len(order))

    return bool(getattr(cell, "splits", False)) and level("splits") <= level("step")


def one_step(cell: Cell, params: Params, x: Inputs) -> tuple[Carry, Outputs]:
    """The first step of one example, at its expectation."""
    return cell.step(params, start(cell, params), x)


def struct_of(input_size: InputSize) -> Any:
    """One x as `jax.ShapeDtypeStruct`s, from any way to say its size."""
    if isinstance(input_size, int):
        return jax.ShapeDtypeStruct((input_size,), jnp.float32)
    if isinstance(input_size, tuple) and all(isinstance(number, int) for number in input_size):
        return jax.ShapeDtypeStruct(input_size, jnp.float32)
    return input_size


def size_of(struct: Any) -> InputSize:
    """The other way: an integer for a vector of floats, the shape of any other array of floats, else as it is."""
    if not isinstance(struct, jax.ShapeDtypeStruct) or not jnp.issubdtype(struct.dtype, jnp.floating):
        return struct
    return struct.shape[0] if struct.ndim == 1 else struct.shape


@functools.lru_cache(maxsize=1024)
def _output_size(cell: Cell, leaves: tuple[Any, ...], structure: Any) -> InputSize:
    struct = jax.tree.unflatten(structure, leaves)
    size = size_of(struct)
    key = jax.eval_shape(lambda: jax.random.key(0))
    _, y = jax.eval_shape(lambda key, x: one_step(cell, cell.init(key, size), x), key, struct)
    return size_of(y)


def output_size(cell: Cell, input_size: InputSize) -> InputSize:
    """How many numbers a step of `cell` returns for inputs of `input_size` numbers; nothing is computed.

    Where x or y is no vector: `jax.ShapeDtypeStruct`s.
    """
    leaves, structure = jax.tree.flatten(struct_of(input_size))
    hashable: Any = cell
    return _output_size(hashable, tuple(leaves), structure)
