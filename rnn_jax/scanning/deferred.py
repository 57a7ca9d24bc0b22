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
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.scanning.carries import cast_like, select, zeros_like
from rnn_jax.scanning.plan import Flags, Plan, real, reset, rows, steps
from rnn_jax.types import Carry, Inputs, Outputs, Params

PyTree = Any


class Saved(NamedTuple):
    """What the forward pass kept: of every step the carry before it and the preactivations, or of every chunk its first
    carry.
    """

    carries: PyTree = None
    preactivations: PyTree = None
    borders: PyTree = None


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def scan_deferred(
    plan: Plan, params: Params, initial: Carry, carry: Carry, xs: Inputs, flags: Flags
) -> tuple[Carry, Outputs, Carry | None]:
    """The carry after the last step, ys (T, B, …), and with `plan.return_states` the carry after every step.

    `initial` is the carry that resets go back to, (B, …).
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
    size = plan.backend.chunk_size if in_chunks else jax.tree.leaves(xs)[0].shape[0]
    carry, (ys, states, kept), borders = _over_chunks(chunk, carry, (xs, flags), None, size, plan.reverse)
    return (carry, ys, states), Saved(kept[0], kept[1], borders)


def _forward_chunk(plan, params, initial, carry, xs, flags, *, keep: bool):
    """The carry after some steps, and of each step y, the carry after it, the carry before it and its preactivations;
    the last two if `keep`.
    """
    cell = plan.cell
    xs = real(flags, xs)
    in_step = plan.backend.project == "step"
    zs = xs if in_step else steps(plan, cell.project)(params, xs)

    def step(carry, inputs):
        z, flags = inputs
        carry = reset(flags, initial, carry)
        z = rows(cell.project)(params, z) if in_step else z
        preactivations = rows(cell.preactivate)(params, carry, z, **flags.key(cell.preactivate))
        after, y = rows(cell.activate)(params, carry, preactivations, **flags.key(cell.activate))
        if flags.mask is not None:
            after, y = select(flags.mask, after, carry), select(flags.mask, y, zeros_like(y))
        state = after if plan.return_states else None
        return after, (y, state, *((carry, preactivations) if keep else (None, None)))

    return jax.lax.scan(step, carry, (zs, flags), reverse=plan.reverse, unroll=plan.backend.unroll)


def _gradient(plan, residuals, cotangents):
    params, initial, xs, flags, saved = residuals
    d_carry, d_ys, d_states = cotangents

    def preactivate(params, carry, x, **key):
        return plan.cell.preactivate(params, carry, plan.cell.project(params, x), **key)

    back = functools.partial(_backward_step, plan.cell, params, rows(preactivate))

    def chunk(state, inputs, border):
        xs, flags, d_ys, d_states, carries, preactivations = inputs
        if carries is None:
            repeated = _forward_chunk(plan, params, initial, border, xs, flags, keep=True)
            _, (_, _, carries, preactivations) = repeated
        xs = real(flags, xs)
        if preactivations is None:
            preactivations = steps(plan, preactivate)(params, carries, xs, **flags.key(plan.cell.preactivate))
        inputs = xs, flags, d_ys, d_states, carries, preactivations
        state, d_preactivations = jax.lax.scan(
            back, state, inputs, reverse=not plan.reverse, unroll=plan.backend.unroll
        )
        key = flags.key(plan.cell.preactivate)
        of_chunk = lambda params, xs: steps(plan, preactivate)(params, carries, xs, **key)  # noqa: E731
        d_params_of_chunk, d_xs = jax.vjp(of_chunk, params, xs)[1](d_preactivations)
        state = state._replace(params=jax.tree.map(jnp.add, state.params, d_params_of_chunk))
        return state, real(flags, d_xs), None

    d_initial = None if flags.resets is None else zeros_like(initial)
    state = _Derivatives(d_carry, zeros_like(params), d_initial)
    inputs = xs, flags, d_ys, d_states, saved.carries, saved.preactivations
    state, d_xs, _ = _over_chunks(chunk, state, inputs, saved.borders, plan.backend.chunk_size, not plan.reverse)
    return state.params, state.initial, state.carry, d_xs, None


scan_deferred.defvjp(_forward_and_save, _gradient)


class _Derivatives(NamedTuple):
    """What the backward loop carries: ∂carry after the step, and the sums ∂params and, with resets, ∂initial."""

    carry: Carry
    params: Params
    initial: Carry | None


def _backward_step(cell, params, preactivations_of: Callable, state: _Derivatives, inputs):
    """∂carry before the step from ∂carry after it and ∂y; adds to ∂params what `activate` itself read of them."""
    d_after = state.carry
    x, flags, d_y, d_state, carry, preactivations = inputs
    if d_state is not None:
        d_after = jax.tree.map(jnp.add, d_after, d_state)
    skipped = None
    if flags.mask is not None:
        skipped = select(flags.mask, zeros_like(d_after), d_after)
        d_after, d_y = select(flags.mask, (d_after, d_y), zeros_like((d_after, d_y)))
    # The weights that only `preactivate` reads have a derivative of zero here, which the compiler removes.
    activate = functools.partial(rows(cell.activate), **flags.key(cell.activate))
    d_activate, d_carry, d_preactivations = jax.vjp(activate, params, carry, preactivations)[1]((d_after, d_y))
    _, transpose = jax.vjp(lambda carry: preactivations_of(params, carry, x, **flags.key(cell.preactivate)), carry)
    d_carry = jax.tree.map(jnp.add, d_carry, transpose(d_preactivations)[0])
    if skipped is not None:
        d_carry = jax.tree.map(jnp.add, d_carry, skipped)
    d_initial = state.initial
    if flags.resets is not None:
        d_initial, d_carry = _at_resets(flags.resets, d_initial, d_carry)
    return _Derivatives(d_carry, jax.tree.map(jnp.add, state.params, d_activate), d_initial), d_preactivations


def _at_resets(resets, d_initial: Carry, d_carry: Carry) -> tuple[Carry, Carry]:
    """Where a sequence starts, the carry's derivative goes to the initial one, summed in its dtype, and no further."""
    nothing = zeros_like(d_carry)
    here = cast_like(select(resets, d_carry, nothing), d_initial)
    return jax.tree.map(jnp.add, d_initial, here), select(resets, nothing, d_carry)


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
