"""The deferred gradient of a cell over time: what must be sequential stays in the loop, the rest is large matmuls.

For a cell whose step is  a_t = preactivate(carry_{t−1}, project(x_t)),  carry_t, y_t = activate(carry_{t−1}, a_t):

  backward loop, step by step:  ∂a_t and ∂carry_{t−1} from ∂carry_t and ∂y_t       (one matmul with W_hᵀ)
  after every chunk of steps:   ∂W_x, ∂W_h, ∂b and ∂x from the ∂a of the chunk     (matmuls over steps × batch)

`lax.scan`'s own gradient computes the second line at every step, in matmuls over B rows whose results are added to all
the weights' derivatives each time. cuDNN, Haste and FlashRNN do the same by hand for one cell; here both lines are
`jax.vjp`s of the cell's own functions, and the compiler removes what a derivative does not need.

Everything here is time-major: xs (T, B, D), flags (T, B).
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.scanning.backend import Backend
from rnn_jax.scanning.carries import select, zeros_like
from rnn_jax.types import Array, Carry, Params

PyTree = Any


class Flags(NamedTuple):
    """mask and resets, (T, B) or (B,), or None where there are none."""

    mask: Array | None
    resets: Array | None


class Plan(NamedTuple):
    """What is fixed when the scan is compiled."""

    cell: Any
    backend: Backend
    reverse: bool
    return_states: bool
    joined: bool  # see `_steps`


class Saved(NamedTuple):
    """What the forward pass kept: of every step the carry before it and the preactivations, or of every chunk its first
    carry.
    """

    carries: PyTree = None
    preactivations: PyTree = None
    borders: PyTree = None


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def scan_deferred(
    plan: Plan, params: Params, initial: Carry, carry: Carry, xs: Array, flags: Flags
) -> tuple[Carry, Array, Carry | None]:
    """The carry after the last step, ys (T, B, H), and with `plan.return_states` the carry after every step (T, B, …).

    `initial` is the carry that resets go back to, a constant.
    """
    return _forward(plan, params, initial, carry, xs, flags, save=None)[0]


def _forward_and_save(plan, params, initial, carry, xs, flags):
    outputs, saved = _forward(plan, params, initial, carry, xs, flags, save=plan.backend.save)
    return outputs, (params, initial, xs, flags, saved)


def _forward(plan, params, initial, carry, xs, flags, *, save: str | None):
    """(carry, ys, states) and what `save` asks for."""

    def chunk(carry, inputs, _):
        keep = save in ("carries", "preactivations")
        after, (ys, states, before, preactivations) = _forward_chunk(plan, params, initial, carry, *inputs, keep=keep)
        kept = before, preactivations if save == "preactivations" else None
        return after, (ys, states, kept), carry if save == "borders" else None

    # By what would be saved, also if nothing is: vmap needs the same loops, and so the same place of its axis in the
    # outputs, of `scan_deferred` and `_forward_and_save`; it takes the first one's for both.
    in_chunks = plan.backend.save == "borders" or plan.backend.project == "chunk"
    size = plan.backend.chunk_size if in_chunks else xs.shape[0]
    carry, (ys, states, kept), borders = _over_chunks(chunk, carry, (xs, flags), None, size, plan.reverse)
    return (carry, ys, states), Saved(kept[0], kept[1], borders)


def _forward_chunk(plan, params, initial, carry, xs, flags, *, keep: bool):
    """The carry after some steps, and of each step y, the carry after it, the carry before it and its preactivations;
    the last two if `keep`.
    """
    cell = plan.cell
    xs = _real(flags, xs)
    in_step = plan.backend.project == "step"
    zs = xs if in_step else _steps(plan, cell.project)(params, xs)

    def step(carry, inputs):
        z, flags = inputs
        if flags.resets is not None:
            carry = select(flags.resets, initial, carry)
        z = _rows(cell.project)(params, z) if in_step else z
        preactivations = _rows(cell.preactivate)(params, carry, z)
        after, y = _rows(cell.activate)(params, carry, preactivations)
        if flags.mask is not None:
            after, y = select(flags.mask, after, carry), select(flags.mask, y, zeros_like(y))
        state = after if plan.return_states else None
        return after, (y, state, *((carry, preactivations) if keep else (None, None)))

    return jax.lax.scan(step, carry, (zs, flags), reverse=plan.reverse, unroll=plan.backend.unroll)


def _gradient(plan, residuals, cotangents):
    params, initial, xs, flags, saved = residuals
    d_carry, d_ys, d_states = cotangents

    def preactivate(params, carry, x):
        return plan.cell.preactivate(params, carry, plan.cell.project(params, x))

    back = functools.partial(_backward_step, plan.cell, params, _rows(preactivate))

    def chunk(state, inputs, border):
        xs, flags, d_ys, d_states, carries, preactivations = inputs
        if carries is None:
            repeated = _forward_chunk(plan, params, initial, border, xs, flags, keep=True)
            _, (_, _, carries, preactivations) = repeated
        xs = _real(flags, xs)
        if preactivations is None:
            preactivations = _steps(plan, preactivate)(params, carries, xs)
        steps = xs, flags, d_ys, d_states, carries, preactivations
        (d_carry, d_params), d_preactivations = jax.lax.scan(
            back, state, steps, reverse=not plan.reverse, unroll=plan.backend.unroll
        )
        _, transpose = jax.vjp(lambda params, xs: _steps(plan, preactivate)(params, carries, xs), params, xs)
        d_params_of_chunk, d_xs = transpose(d_preactivations)
        d_params = jax.tree.map(jnp.add, d_params, d_params_of_chunk)
        return (d_carry, d_params), _real(flags, d_xs), None

    state = d_carry, zeros_like(params)
    steps = xs, flags, d_ys, d_states, saved.carries, saved.preactivations
    (d_carry, d_params), d_xs, _ = _over_chunks(
        chunk, state, steps, saved.borders, plan.backend.chunk_size, not plan.reverse
    )
    return d_params, None, d_carry, d_xs, None


scan_deferred.defvjp(_forward_and_save, _gradient)


def _backward_step(cell, params, preactivations_of: Callable, state, step):
    """∂carry before the step from ∂carry after it and ∂y; adds to ∂params what `activate` itself read of them."""
    d_after, d_params = state
    x, flags, d_y, d_state, carry, preactivations = step
    if d_state is not None:
        d_after = jax.tree.map(jnp.add, d_after, d_state)
    skipped = None
    if flags.mask is not None:
        skipped = select(flags.mask, zeros_like(d_after), d_after)
        d_after, d_y = select(flags.mask, (d_after, d_y), zeros_like((d_after, d_y)))
    # The weights that only `preactivate` reads have a derivative of zero here, which the compiler removes.
    _, transpose = jax.vjp(_rows(cell.activate), params, carry, preactivations)
    d_activate, d_carry, d_preactivations = transpose((d_after, d_y))
    d_params = jax.tree.map(jnp.add, d_params, d_activate)
    _, transpose = jax.vjp(lambda carry: preactivations_of(params, carry, x), carry)
    d_carry = jax.tree.map(jnp.add, d_carry, transpose(d_preactivations)[0])
    if skipped is not None:
        d_carry = jax.tree.map(jnp.add, d_carry, skipped)
    if flags.resets is not None:
        d_carry = select(flags.resets, zeros_like(d_carry), d_carry)
    return (d_carry, d_params), d_preactivations


def _over_chunks(chunk: Callable, carry: PyTree, steps: PyTree, borders: PyTree, size: int, reverse: bool):
    """`lax.scan` of chunk(carry, steps (size, …), border) → (carry, outputs (size, …), border) over all the steps.

    The last chunk in time is the shorter one. Outputs come back as (T, …), borders as (chunks, …).
    """
    time = jax.tree.leaves(steps)[0].shape[0]
    full, rest = divmod(time, size)
    if full == 1 and not rest:  # no loop of one iteration
        carry, outputs, border = chunk(carry, steps, jax.tree.map(lambda leaf: leaf[0], borders))
        return carry, outputs, jax.tree.map(lambda leaf: leaf[None], border)

    def many(carry):
        split = jax.tree.map(lambda leaf: leaf[: full * size].reshape(full, size, *leaf.shape[1:]), steps)

        def body(carry, inputs):
            carry, outputs, border = chunk(carry, *inputs)
            return carry, (outputs, border)

        scanned = split, jax.tree.map(lambda leaf: leaf[:full], borders)
        carry, (outputs, border) = jax.lax.scan(body, carry, scanned, reverse=reverse)
        return carry, jax.tree.map(lambda leaf: leaf.reshape(full * size, *leaf.shape[2:]), outputs), border

    def last(carry):
        tail = jax.tree.map(lambda leaf: leaf[full * size :], steps)
        return chunk(carry, tail, jax.tree.map(lambda leaf: leaf[full], borders))

    if not rest:
        return many(carry)
    if reverse:
        carry, later, border = last(carry)
        carry, earlier, first_borders = many(carry)
    else:
        carry, earlier, first_borders = many(carry)
        carry, later, border = last(carry)
    outputs = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), earlier, later)
    return carry, outputs, jax.tree.map(lambda a, b: jnp.concatenate([a, b[None]]), first_borders, border)


def _rows(function: Callable) -> Callable:
    """A cell's function of params and one example as one of a batch."""

    def on_rows(params, *rows):
        return jax.vmap(function, in_axes=(None, *(0 for _ in rows)))(params, *rows)

    return on_rows


def join_steps() -> bool:
    """Whether steps and batch become one axis for the matmuls over a chunk: on a single CPU device.

    There XLA's matmuls are faster for it (the LSTM's gradient at B T D H = 32 200 128 128: 48 against 63 ms). A batch
    that lies on several devices could not be split along the joined axis: each would gather and compute everything.
    """
    mesh = jax.sharding.get_abstract_mesh()
    on_one = jax.device_count() == 1 or (not mesh.empty and mesh.are_all_axes_manual)  # inside of a shard_map
    return jax.default_backend() == "cpu" and on_one


def _steps(plan: Plan, function: Callable) -> Callable:
    """A cell's function as one of several steps of a batch, (K, B, …): one matmul over both axes."""

    def on_steps(params, *steps):
        if not plan.joined:
            return _rows(_rows(function))(params, *steps)
        shape = jax.tree.leaves(steps)[0].shape[:2]
        joined = jax.tree.map(lambda leaf: leaf.reshape(math.prod(shape), *leaf.shape[2:]), steps)
        outputs = _rows(function)(params, *joined)
        return jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), outputs)

    return on_steps


def _real(flags: Flags, xs: Array) -> Array:
    """xs with zeros in place of the padding, whatever it holds."""
    return xs if flags.mask is None else select(flags.mask, xs, jnp.zeros_like(xs))
