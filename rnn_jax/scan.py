"""From one time step to a sequence: the only home of mask, reset and reverse semantics.

Semantics, the same for every cell:
- `mask` (True = a real step): a padded step keeps the carry and outputs zeros, and whatever the padding holds, NaN
  included, reaches neither outputs nor gradients. So the last carry is right for every length (0 included), gaps are
  allowed, and a reverse scan needs no flipping.
  (A padded step is computed at x = 0, where the cell must have a derivative.)
- `resets` (True = a new sequence starts at this step, in scanning order): the carry is replaced by the cell's initial
  one before the step, also at a padded step, which then hands on the initial carry.
- `carry`: where to start; passing a returned carry back in continues the sequence exactly.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.types import Array, Bool, Carry, Cell, Float, Params


def scan_cell(
    cell: Cell,
    params: Params,
    xs: Float[Array, "*B T D"],
    *,
    mask: Bool[Array, "*B T"] | None = None,
    resets: Bool[Array, "*B T"] | None = None,
    carry: Carry | None = None,
    reverse: bool = False,
    unroll: int = 1,
    return_states: bool = False,
) -> Any:
    """Runs a cell over time: xs (T, D) or (B, T, D) → (carry, ys), ys (T, H) or (B, T, H).

    The carry is that after each row's last real step (the first, if `reverse`); its leaves have a leading B for a
    batch. With `return_states`, returns (carry, ys, states): the carry after every step, leaves (…, T, …), as the
    mask left it. `unroll` steps are joined in one iteration of the compiled loop.

    Raises:
      ValueError: xs is neither (T, D) nor (B, T, D), mask or resets do not have its leading shape, or the carry is not
        one of this cell and batch.
      TypeError: the cell is not hashable.
    """
    _check_shapes(xs, mask, resets)
    try:
        hash(cell)
    except TypeError as error:
        raise TypeError(f"A cell is hashable, as a frozen dataclass is; {type(cell).__name__} is not.") from error
    static = {"cell": cell, "reverse": reverse, "unroll": unroll, "return_states": return_states}
    return _scan(params, xs, mask, resets, carry, **static)


# Jitted, so that a call outside of jit compiles once and not at every call; inside of jit it leaves no trace.
@functools.partial(jax.jit, static_argnames=("cell", "reverse", "unroll", "return_states"), inline=True)
def _scan(params, xs, mask, resets, carry, *, cell: Cell, reverse: bool, unroll: int, return_states: bool) -> Any:
    batched = xs.ndim == 3
    step = jax.vmap(cell.step, in_axes=(None, 0, 0)) if batched else cell.step
    initial = _initial_carry(cell, params, xs)
    carry = initial if carry is None else _checked(carry, initial)

    def body(carry, inputs):
        x, real, reset = inputs
        if reset is not None:
            carry = _where(reset, initial, carry)
        if real is None:
            carry, y = step(params, carry, x)
        else:
            # Zeros in place of the padding before the step, not only after it: the step's derivative at a NaN is NaN,
            # and the zero cotangent that `where` sends back would not cancel it.
            proposed, y = step(params, carry, jnp.where(real[..., None], x, 0))
            carry, y = _where(real, proposed, carry), jnp.where(real[..., None], y, 0)
        return carry, (y, carry if return_states else None)

    inputs = (jnp.moveaxis(xs, -2, 0), _time_first(mask), _time_first(resets))
    carry, (ys, states) = jax.lax.scan(body, carry, inputs, reverse=reverse, unroll=unroll)
    if batched:
        ys, states = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), (ys, states))
    return (carry, ys, states) if return_states else (carry, ys)


def _time_first(flags: Array | None) -> Array | None:
    return None if flags is None else jnp.moveaxis(flags, -1, 0)


def output_size(cell: Cell, input_size: int) -> int:
    """How many numbers a step of `cell` returns for inputs of `input_size` numbers; nothing is computed."""
    y = jax.eval_shape(lambda key: _one_step(cell, cell.init(key, input_size), jnp.zeros(input_size)), _key_shape())[1]
    return y.shape[-1]


def _key_shape() -> jax.ShapeDtypeStruct:
    return jax.eval_shape(lambda: jax.random.key(0))


def _one_step(cell: Cell, params: Params, x: Array) -> tuple[Carry, Array]:
    return cell.step(params, cell.initial_carry(), x)


def _initial_carry(cell: Cell, params: Params, xs: Array) -> Carry:
    """The initial carry in the dtypes that a step returns (they follow xs), one a row for a batch."""
    x = jax.ShapeDtypeStruct(xs.shape[-1:], xs.dtype)
    after, _ = jax.eval_shape(lambda p, x: _one_step(cell, p, x), params, x)
    carry = _cast_like(cell.initial_carry(), after)
    if xs.ndim == 3:
        carry = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, xs.shape[:1] + leaf.shape), carry)
    return carry


def _cast_like(carry: Carry, like: Carry) -> Carry:
    return jax.tree.map(lambda leaf, target: jnp.asarray(leaf, target.dtype), carry, like)


def _checked(carry: Carry, initial: Carry) -> Carry:
    """A carry that was passed in, in the dtypes of the initial one."""
    given, wanted = ({name: leaf.shape for name, leaf in _named(tree)} for tree in (carry, initial))
    if given != wanted:
        raise ValueError(f"The carry does not fit the cell and the batch: shapes {given}, expected {wanted}.")
    return _cast_like(carry, initial)


def _named(tree: Carry) -> list[tuple[str, Array]]:
    return [(jax.tree_util.keystr(path), jnp.asarray(leaf)) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def _where(condition: Bool[Array, "*B"], if_true: Carry, if_false: Carry) -> Carry:
    """`jnp.where` on carries: `condition` has the carries' leading axes only."""

    def select(a: Array, b: Array) -> Array:
        return jnp.where(condition.reshape(condition.shape + (1,) * (a.ndim - condition.ndim)), a, b)

    return jax.tree.map(select, if_true, if_false)


def _check_shapes(xs: Array, mask: Array | None, resets: Array | None) -> None:
    if xs.ndim not in (2, 3):
        raise ValueError(f"xs is (T, D) or (B, T, D); got shape {xs.shape}.")
    for name, array in (("mask", mask), ("resets", resets)):
        if array is not None and array.shape != xs.shape[:-1]:
            raise ValueError(f"{name} has the shape of xs without its last axis, {xs.shape[:-1]}; got {array.shape}.")
