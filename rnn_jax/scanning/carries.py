"""Carries as pytrees: the initial one, the check of one that was passed in, and the choice between two."""

from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.cells.contract import one_step, start
from rnn_jax.scanning.sequences import false_rows
from rnn_jax.types import Array, Bool, Carry, Cell, Inputs, Params


def initial_carry(cell: Cell, params: Params, xs: Inputs) -> Carry:
    """The initial carry of every row of xs (B, T, …), (B, …), in the dtypes that a step returns (they follow xs).

    Raises:
      ValueError: a step does not return a carry of the structure and the shapes of the initial one.
    """
    x = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[2:], leaf.dtype), xs)
    return rows_like(xs, typed_start(cell, params, x))


def typed_start(cell: Cell, params: Params, x: Inputs) -> Carry:
    """The initial carry of one example, in the dtypes that a step returns for an x like this one."""
    carry = start(cell, params)
    after, _ = jax.eval_shape(lambda params, x: one_step(cell, params, x), params, x)
    before, returned = _shapes(carry), _shapes(after)
    structures = {jax.tree.structure(carry), jax.tree.structure(after)}
    if before != returned or len(structures) > 1:
        raise ValueError(
            f"A step of {type(cell).__name__} returns another carry than the one it starts from: {returned}, where "
            f"initial_carry gives {before}."
        )
    return cast_like(carry, after)


def rows_like(xs: Inputs, tree: Any) -> Any:
    """`tree` once for every row of xs (B, …).

    It lies on the devices that the rows lie on, where a loop that starts from it on a mesh must find it.
    """
    return jax.vmap(lambda no: jax.tree.map(lambda leaf: jnp.where(no, leaf, leaf), tree))(false_rows(xs))


def varying_like(like: Any, tree: Any) -> Any:
    """`tree`, which inside of a `shard_map` counts as different on every device if any array of `like` is."""
    if jax.sharding.get_abstract_mesh().empty:
        return tree
    false = jnp.stack([jnp.any(jnp.zeros_like(leaf, dtype=bool)) for leaf in jax.tree.leaves(like)]).any()
    return jax.tree.map(lambda leaf: jnp.where(false, leaf, leaf), tree)


def cast_like(carry: Carry, like: Carry) -> Carry:
    """`carry` in the dtypes of `like`."""
    return jax.tree.map(lambda leaf, target: jnp.asarray(leaf, target.dtype), carry, like)


def checked_carry(carry: Carry, initial: Carry) -> Carry:
    """A carry that was passed in, in the structure and dtypes of the initial one; a plain tuple of its leaves will do.

    Raises:
      ValueError: it has other shapes.
    """
    given, wanted = ([jnp.shape(leaf) for leaf in jax.tree.leaves(tree)] for tree in (carry, initial))
    if given != wanted:
        raise ValueError(
            f"The carry does not fit the cell and the batch: shapes {_shapes(carry)}, expected {_shapes(initial)}."
        )
    return cast_like(jax.tree.unflatten(jax.tree.structure(initial), jax.tree.leaves(carry)), initial)


def _shapes(tree: Carry) -> dict[str, tuple[int, ...]]:
    return {jax.tree_util.keystr(path): jnp.shape(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def select(condition: Bool[Array, "*B"], if_true: Any, if_false: Any) -> Any:
    """`jnp.where` on pytrees: `condition` has the leading axes only."""

    def where(a: Array, b: Array) -> Array:
        return jnp.where(condition.reshape(condition.shape + (1,) * (a.ndim - condition.ndim)), a, b)

    return jax.tree.map(where, if_true, if_false)


def zeros_like(tree: Any) -> Any:
    """Zeros in the shapes and dtypes of a pytree."""
    return jax.tree.map(jnp.zeros_like, tree)
