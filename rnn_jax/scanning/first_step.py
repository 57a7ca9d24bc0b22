"""A first look at a cell, its params and its inputs: one abstract step, before anything is compiled.

Whatever does not fit is found here, and said in one sentence, not by the compiler from inside of a loop.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.cells.base import DenseCell
from rnn_jax.cells.contract import one_step, size_of, start
from rnn_jax.types import Carry, Cell, Inputs, Params


def carry_structs(cell: Cell, params: Params, x: Inputs) -> Carry:
    """The carry of one example after a step on x, as `jax.ShapeDtypeStruct`s; nothing is computed.

    Raises:
      ValueError: the params are not those of this cell for such an x; or a step does not return a carry like the one
        it starts from, and an output.
    """
    hashable: Any = cell
    return _carry_structs(hashable, *shapes_of(params), *shapes_of(x))


def shapes_of(tree: Any) -> tuple[Any, tuple[Any, ...]]:
    """Structure and `jax.ShapeDtypeStruct`s of a pytree, both hashable."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple(jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves)


def name_shapes(tree: Any) -> str:
    """The arrays of a pytree by name: h (4, 3), c (4, 3)."""
    return ", ".join(f"{name} {shape}".strip() for name, shape in _named(tree).items()) or repr(tree)


def _named(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): jnp.shape(leaf) for path, leaf in leaves}


@functools.lru_cache(maxsize=1024)  # a call outside of jit looks once
def _carry_structs(cell: Any, params_tree: Any, params_leaves: Any, x_tree: Any, x_leaves: Any) -> Carry:
    params, x = jax.tree.unflatten(params_tree, params_leaves), jax.tree.unflatten(x_tree, x_leaves)
    if isinstance(cell, DenseCell):  # whose equations would broadcast some of what does not fit
        _check_params(cell, params, x)
    try:
        before = jax.eval_shape(functools.partial(start, cell), params)
        out = jax.eval_shape(functools.partial(one_step, cell), params, x)
    except Exception as error:
        _check_params(cell, params, x, error)
        raise
    if not isinstance(out, tuple) or len(out) != 2:
        raise ValueError(f"A step of {type(cell).__name__} returns a pair, the next carry and y; got {out!r}.")
    after, _ = out
    structures = {jax.tree.structure(before), jax.tree.structure(after)}
    if name_shapes(before) != name_shapes(after) or len(structures) > 1:
        raise ValueError(
            f"A step of {type(cell).__name__} returns another carry than the one it starts from: {name_shapes(after)}, "
            f"where initial_carry gives {name_shapes(before)}."
        )
    return after


def _check_params(cell: Any, params: Params, x: Inputs, cause: Exception | None = None) -> None:
    """ValueError where the params are not as the cell's `init` makes them for such an x."""
    size = size_of(x)
    try:
        expected = jax.eval_shape(lambda key: cell.init(key, size), jax.eval_shape(lambda: jax.random.key(0)))
    except Exception:  # an x that no params are for: what the step says of it says more
        return
    given, wanted = _named(params), _named(expected)
    if given != wanted:
        differing = [name for name in {**wanted, **given} if given.get(name) != wanted.get(name)]
        parts = [f"{name} {given.get(name, 'missing')}, init gives {wanted.get(name, 'none')}" for name in differing]
        raise ValueError(
            f"The params do not fit {type(cell).__name__} and an x of {name_shapes(x)}: {'; '.join(parts)}."
        ) from cause
