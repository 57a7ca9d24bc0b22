"""From one time step to a sequence: what mask, resets, reverse and carry mean, whatever the backend.

Semantics, the same for every cell:
- `mask` (True = a real step): a padded step keeps the carry and outputs zeros, and whatever the padding holds, NaN
  included, reaches neither outputs nor gradients. So the last carry is right for every length (0 included), gaps are
  allowed, and a reverse scan needs no flipping.
  (A padded step is computed at x = 0, where the cell must have a derivative.)
- `resets` (True = a new sequence starts at this step, in scanning order): the carry is replaced by the initial one
  before the step, also at a padded step, which then hands on the initial carry.
- `carry`: where to start; passing a returned carry back in continues the sequence exactly.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.cells.contract import check_cell, draws
from rnn_jax.scanning.backend import Backend, choose_backend
from rnn_jax.scanning.carries import (
    cast_like,
    checked_carry,
    initial_carry,
    rows_of,
    select,
    varying_like,
    zeros_like,
)
from rnn_jax.scanning.cudnn import scan_cudnn
from rnn_jax.scanning.deferred import scan_deferred
from rnn_jax.scanning.first_step import carry_structs
from rnn_jax.scanning.plan import Flags, Plan, join_steps, real, reset, rows
from rnn_jax.scanning.sequences import (
    as_arrays,
    check_bool,
    check_first_step,
    checked_flags,
    is_batch,
    leading_shape,
    step_keys,
    typed_key,
)
from rnn_jax.types import Array, Bool, Carry, Cell, Inputs, Int, Key, Params


def scan_cell(
    cell: Cell,
    params: Params,
    xs: Inputs,
    *,
    mask: Bool[Array, "*B T"] | Int[Array, "*B T"] | None = None,
    resets: Bool[Array, "*B T"] | Int[Array, "*B T"] | None = None,
    carry: Carry | None = None,
    start: Carry | None = None,
    key: Key | None = None,
    first_step: int | Int[Array, ""] = 0,
    reverse: bool = False,
    return_states: bool = False,
    batched: bool | None = None,
    backend: Backend | str = "auto",
) -> Any:
    """Runs a cell over time: xs (T, D) or (B, T, D) → (carry, ys), ys (T, H) or (B, T, H).

    xs may be any pytree of arrays that begin with (T,) or (B, T): images (B, T, height, width, channels), a pair of
    values and times, tokens; so may ys. `batched` says whether there is a B, where the shape does not: for all but
    arrays of floats with two or three axes, and without a mask, which is (T,) or (B, T).

    The carry is that after each row's last real step (the first, if `reverse`); its leaves have a leading B for a
    batch. With `return_states`, returns (carry, ys, states): the carry after every step, leaves (…, T, …), as the
    mask left it.

    `start` is the carry that sequences start from and resets go back to, one a row as `carry` is, in place of the
    cell's initial one; its gradient is whole. `carry` is where the scan itself begins, `start` by default.

    `key` is for cells that draw at every step (zoneout): it is folded by the number of the row and of the step, which
    count from 0 and from `first_step`; or it is one key a row, (B,), which a single sequence's key is too. So a chunk
    that begins at step 100 draws with `first_step=100` what the whole sequence would. Rows that `jax.vmap` or devices
    that `jax.shard_map` maps over count from 0 each: give them keys of their own. Without a key such a cell computes
    the expectation.

    `backend` is how it is computed, a name or a `Backend` with settings. By default a cell that is a `SplitCell` gets
    the deferred gradient, and everything else `lax.scan`'s own ("plain"). The deferred gradient is for reverse mode:
    for `jax.jvp` or `jax.jacfwd` of the scan itself say backend="plain"; `jax.jvp` of its gradient (Hessian-vector
    products) works with both.

    Raises:
      ValueError: arrays of xs, mask or resets that do not begin alike, an xs that leaves open whether there is a batch,
        params that are not those of this cell and xs, a carry that is not one of this cell and batch, or a backend that
        cannot compute this.
      TypeError: the cell is none, or not hashable; mask or resets hold floating-point numbers; or
        forward-mode differentiation of a scan whose gradient is deferred.
    """
    check_cell("cell", cell)
    drawing = draws(cell)
    check_bool("reverse", reverse)
    params, xs = jax.tree.map(jnp.asarray, params), as_arrays(xs)
    mask, resets = (None if flags is None else jnp.asarray(flags) for flags in (mask, resets))
    batched = is_batch(xs, mask, resets, batched)
    shape = leading_shape(xs, batched)
    x = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[len(shape) :], leaf.dtype), xs)
    like = carry_structs(cell, params, x)
    carry = None if carry is None else checked_carry("carry", carry, like, shape[:-1])
    start = None if start is None else checked_carry("start", start, like, shape[:-1])
    mask, resets = checked_flags("mask", mask, shape), checked_flags("resets", resets, shape)
    key = typed_key(key) if key is not None and drawing else None
    check_first_step(first_step)
    if not batched:  # from here on there is always a batch, here of one
        lift = lambda leaf: jnp.asarray(leaf)[None]  # noqa: E731
        xs, mask, resets, carry, start, key = jax.tree.map(lift, (xs, mask, resets, carry, start, key))
    plan = Plan(cell, choose_backend(backend, cell, params, xs), reverse, return_states, join_steps())
    try:
        out = _scan(params, xs, mask, resets, key, first_step, carry, start, plan=plan)
    except TypeError as error:
        if plan.backend.name == "deferred" and "custom_vjp" in str(error):
            error.add_note('scan_cell: jax.jvp and jax.jacfwd of a scan need scan_cell(…, backend="plain").')
        raise
    return out if batched else jax.tree.map(lambda leaf: leaf[0], out)


# Jitted, so that a call outside of jit, or its gradient, compiles once and not at every call.
@functools.partial(jax.jit, static_argnames="plan")
def _scan(params, xs, mask, resets, key, first_step, carry, start, *, plan: Plan) -> Any:
    if plan.backend.name == "cudnn":
        return scan_cudnn(plan, params, xs, mask, resets, start if carry is None else carry)
    initial = initial_carry(plan.cell, params, xs) if start is None else rows_of(xs, start)
    x = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[2:], leaf.dtype), xs)
    carry = cast_like(initial if carry is None else rows_of(xs, carry), carry_structs(plan.cell, params, x))
    flags = Flags(mask, resets, None if key is None else step_keys(key, xs, first_step))
    everything = params, initial, carry, xs, flags
    params, initial, carry, xs, flags = varying_like(everything, everything)
    xs, flags = _swap_axes((xs, flags))
    run = scan_deferred if plan.backend.name == "deferred" else _scan_plain
    carry, ys, states = run(plan, params, initial, carry, xs, flags)
    ys, states = _swap_axes((ys, states))
    return (carry, ys, states) if plan.return_states else (carry, ys)


def _scan_plain(plan, params, initial, carry, xs, flags):
    step = rows(plan.cell.step)

    def body(carry, inputs):
        x, flags = inputs
        carry = reset(flags, initial, carry)
        # Zeros in place of the padding before the step, not only after it: the step's derivative at a NaN is NaN, and
        # the zero cotangent that `where` sends back would not cancel it.
        after, y = step(params, carry, real(flags, x), **flags.key(plan.cell.step))
        if flags.mask is not None:
            after, y = select(flags.mask, after, carry), select(flags.mask, y, zeros_like(y))
        return after, (y, after if plan.return_states else None)

    if jax.tree.leaves(xs)[0].shape[0] == 1:  # no loop of one iteration
        carry, out = body(carry, jax.tree.map(lambda leaf: leaf[0], (xs, flags)))
        return carry, *jax.tree.map(lambda leaf: leaf[None], out)
    carry, (ys, states) = jax.lax.scan(body, carry, (xs, flags), reverse=plan.reverse, unroll=plan.backend.unroll)
    return carry, ys, states


def _swap_axes(tree: Any) -> Any:
    """(B, T, …) ⇄ (T, B, …)."""
    return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), tree)
