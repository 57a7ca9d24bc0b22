"""Carries as pytrees: the initial one, the check of one that was passed in, and the choice between two."""

import jax
import jax.numpy as jnp

from rnn_jax.types import Array, Bool, Carry, Cell, Params


def one_step(cell: Cell, params: Params, x: Array) -> tuple[Carry, Array]:
    """The first step of one example."""
    return cell.step(params, cell.initial_carry(), x)


def initial_carry(cell: Cell, params: Params, xs: Array) -> Carry:
    """The initial carry in the dtypes that a step returns (they follow xs), one a row for a batch (B, T, D)."""
    x = jax.ShapeDtypeStruct(xs.shape[-1:], xs.dtype)
    after, _ = jax.eval_shape(lambda p, x: one_step(cell, p, x), params, x)
    carry = cast_like(cell.initial_carry(), after)
    if xs.ndim == 3:
        carry = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, xs.shape[:1] + leaf.shape), carry)
    return carry


def cast_like(carry: Carry, like: Carry) -> Carry:
    """`carry` in the dtypes of `like`."""
    return jax.tree.map(lambda leaf, target: jnp.asarray(leaf, target.dtype), carry, like)


def checked_carry(carry: Carry, initial: Carry) -> Carry:
    """A carry that was passed in, in the dtypes of the initial one.

    Raises:
      ValueError: it has another structure or other shapes.
    """
    given, wanted = ({name: leaf.shape for name, leaf in _named(tree)} for tree in (carry, initial))
    if given != wanted:
        raise ValueError(f"The carry does not fit the cell and the batch: shapes {given}, expected {wanted}.")
    return cast_like(carry, initial)


def _named(tree: Carry) -> list[tuple[str, Array]]:
    return [(jax.tree_util.keystr(path), jnp.asarray(leaf)) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def select(condition: Bool[Array, "*B"], if_true: Carry, if_false: Carry) -> Carry:
    """`jnp.where` on carries: `condition` has the carries' leading axes only."""

    def where(a: Array, b: Array) -> Array:
        return jnp.where(condition.reshape(condition.shape + (1,) * (a.ndim - condition.ndim)), a, b)

    return jax.tree.map(where, if_true, if_false)


def zeros_like(tree: Carry) -> Carry:
    """Zeros in the shapes and dtypes of a pytree."""
    return jax.tree.map(jnp.zeros_like, tree)
