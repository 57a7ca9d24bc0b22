"""What the engine asks of a cell, whoever wrote it: where it starts, what it returns, if it draws, if it splits."""

import functools
import inspect
from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.types import Carry, Cell, Inputs, InputSize, Key, Outputs, Params


def start(cell: Cell, params: Params) -> Carry:
    """The initial carry of one example; `initial_carry` may be written without the params."""
    first = next(iter(inspect.signature(cell.initial_carry).parameters.values()), None)
    takes_params = first is not None and (first.name == "params" or first.default is inspect.Parameter.empty)
    return cell.initial_carry(params) if takes_params else cell.initial_carry()  # type: ignore[call-arg]


def check_cell(argument: str, cell: Any) -> None:
    """Whether something is a cell: neither a class of cells nor a layer, and hashable.

    Raises:
      TypeError: it is not.
    """
    if isinstance(cell, type):
        raise TypeError(f"{argument} is a cell; got the class {cell.__name__}: make one, as {cell.__name__}(…).")
    try:
        hash(cell)
    except TypeError as error:
        raise TypeError(f"A cell is hashable, as a frozen dataclass is; {type(cell).__name__} is not.") from error
    missing = [method for method in ("init", "initial_carry", "step") if not callable(getattr(cell, method, None))]
    if missing:
        raise TypeError(f"{argument} is a cell, with init, initial_carry and step; got {cell!r}, without {missing[0]}.")
    if hasattr(cell, "output_size"):
        raise TypeError(f"{argument} is a cell; got a layer, {cell!r}: call its apply, or give its cell.")


def takes_key(method: Any) -> bool:
    """Whether a method of a cell has an argument `key`.

    Raises:
      TypeError: it has, and not None by default.
    """
    parameter = inspect.signature(method).parameters.get("key")
    if parameter is not None and parameter.default is not None:
        raise TypeError(f"{method.__qualname__} takes key=None: without a key it computes the expectation.")
    return parameter is not None


def draws(cell: Cell) -> bool:
    """Whether a step of the cell draws random numbers: what it calls has an argument `key`, unless `draws` says."""
    said = getattr(cell, "draws", None)
    if said is not None:
        return said
    methods = ("preactivate", "activate") if splits(cell) else ("step",)
    return any(takes_key(getattr(cell, method)) for method in methods)


def with_key(method: Any, key: Key | None) -> dict[str, Key]:
    """The keyword arguments that hand a key to a method of a cell: none if it does not take one."""
    return {"key": key} if key is not None and takes_key(method) else {}


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
    shape = input_size if isinstance(input_size, tuple) else (input_size,)
    if all(hasattr(number, "__index__") for number in shape):
        return jax.ShapeDtypeStruct(tuple(map(int, shape)), jnp.float32)
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
