"""Carries as pytrees: the initial one, the check of one that was passed in, and the choice between two."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.cells.contract import start
from rnn_jax.scanning.first_step import carry_structs, name_shapes
from rnn_jax.scanning.sequences import false_rows
from rnn_jax.types import Array, Bool, Carry, Cell, Inputs, Params


def initial_carry(cell: Cell, params: Params, xs: Inputs) -> Carry:
    """The initial carry of every row of xs (B, T, …), (B, …), in its own dtypes."""
    rows = jax.tree.leaves(xs)[0].shape[:1]
    return rows_of(xs, jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, rows + jnp.shape(leaf)), start(cell, params)))


def typed_start(cell: Cell, params: Params, x: Inputs) -> Carry:
    """The initial carry of one example, in the dtypes that a step returns for an x like this one."""
    return cast_like(start(cell, params), carry_structs(cell, params, x))


def rows_of(xs: Inputs, tree: Any) -> Any:
    """`tree`, arrays of one entry a row (B, …), on the devices that the rows of xs lie on."""
    no = false_rows(xs)
    return jax.tree.map(lambda leaf: select(no, leaf, leaf), tree)


def varying_like(like: Any, tree: Any) -> Any:
    """`tree`, which inside of a `shard_map` counts as different on every device if any array of `like` is.

    What a loop carries must count so from its start, and a custom gradient's arguments alike: the gradients of those
    that were the same on all devices are then summed over them by JAX, once, where they were made different.
    """
    if not jax.sharding.get_abstract_mesh().manual_axes:
        return tree
    false = jnp.stack([jnp.any(jnp.zeros_like(leaf, dtype=bool)) for leaf in jax.tree.leaves(like)]).any()
    return jax.tree.map(lambda leaf: jnp.where(false, leaf, leaf), tree)


def cast_like(carry: Carry, like: Carry) -> Carry:
    """`carry` in the dtypes of `like`."""
    return jax.tree.map(lambda leaf, target: jnp.asarray(leaf, target.dtype), carry, like)


def checked_carry(argument: str, carry: Carry, like: Carry, rows: tuple[int, ...]) -> Carry:
    """A carry that was passed in, in the structure of `like`, that of one example; a plain tuple of its leaves will do.

    Raises:
      ValueError: it has another structure, other shapes, or numbers that are none of the carry's kind.
    """
    leaves, structure = jax.tree.flatten(carry)
    wanted = [(*rows, *leaf.shape) for leaf in jax.tree.leaves(like)]
    same_structure = len({structure, jax.tree.structure(like)}) == 1 or type(carry) in (tuple, list)
    fits = [jnp.shape(leaf) for leaf in leaves] == wanted and all(
        np.can_cast(jnp.result_type(leaf), target.dtype, "same_kind")
        or (
            jnp.issubdtype(target.dtype, jnp.floating)
            and not jnp.issubdtype(jnp.result_type(leaf), jnp.complexfloating)
        )
        for leaf, target in zip(leaves, jax.tree.leaves(like))
    )
    if not (same_structure and fits):
        expected = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((*rows, *leaf.shape), leaf.dtype), like)
        raise ValueError(
            f"The {argument} does not fit the cell and the batch: got {name_shapes(carry)}, expected "
            f"{name_shapes(expected)}."
        )
    return jax.tree.unflatten(jax.tree.structure(like), [jnp.asarray(leaf) for leaf in leaves])


def select(condition: Bool[Array, "*B"], if_true: Any, if_false: Any) -> Any:
    """`jnp.where` on pytrees: `condition` has the leading axes only."""

    def where(a: Array, b: Array) -> Array:
        return jnp.where(condition.reshape(condition.shape + (1,) * (a.ndim - condition.ndim)), a, b)

    return jax.tree.map(where, if_true, if_false)


def zeros_like(tree: Any) -> Any:
    """Zeros in the shapes and dtypes of a pytree."""
    return jax.tree.map(jnp.zeros_like, tree)
