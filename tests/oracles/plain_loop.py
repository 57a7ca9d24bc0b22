"""What running a cell over a sequence means: a Python loop with `if`s, and its gradient by the chain rule.

Nothing is batched, masked by `where` or scanned here, and padding is never looked at: that makes it the definition
that the compiled engine is held against. Only a single step is differentiated by JAX; the sum over time is ours.
Everything but that step is numpy, which compiles nothing.
"""

import functools
import inspect
from typing import Any, NamedTuple

import jax
import numpy as np

from oracles.jitting import quick_jit


class Result(NamedTuple):
    """What a run returns, and its cotangents (∂L/∂· is ·_bar) for given ∂L/∂carry, ∂L/∂ys and ∂L/∂states."""

    carry: Any
    ys: Any
    states: Any
    params_bar: Any
    xs_bar: Any
    carry_bar: Any
    start_bar: Any = None


def run_row(
    cell, params, xs, carry, mask, resets, cotangents, *, keys=None, starts=None, reverse=False, cuts=()
) -> Result:
    """One row: xs (T, …), mask, resets and keys of the steps (T,), cotangents of (carry, ys, states).

    `starts` is what resets go back to, in place of the cell's initial carry; then its cotangent is returned as well.
    At the steps in `cuts` the gradient does not flow into the step before: truncated BPTT.
    """
    step, step_vjp = _compiled(cell)
    final_bar, ys_bar, states_bar = cotangents
    time, of_time = len(mask), lambda tree, t: jax.tree.map(lambda leaf: leaf[t], tree)
    steps = list(range(time))[:: -1 if reverse else 1]
    key = (lambda t: ()) if keys is None else (lambda t: (keys[t],))
    initial, initial_vjp = jax.vjp(lambda params: _start(cell, params), params)
    initial = initial if starts is None else starts
    start_bar = None if starts is None else jax.tree.map(np.zeros_like, starts)
    typed = jax.tree.map(lambda leaf, like: np.asarray(leaf, like.dtype), initial, carry)
    nothing = jax.tree.map(np.zeros_like, of_time(ys_bar, 0))
    before, ys, states = {}, [nothing] * time, [None] * time
    for t in steps:
        if resets[t]:
            carry = typed
        if mask[t]:
            before[t] = carry
            carry, ys[t] = step(params, carry, of_time(xs, t), *key(t))
        states[t] = carry

    params_bar, bar = jax.tree.map(np.zeros_like, params), final_bar
    xs_bar = [jax.tree.map(np.zeros_like, of_time(xs, 0))] * time
    for t in reversed(steps):
        bar = _add(bar, of_time(states_bar, t))
        if mask[t]:
            bars = (bar, of_time(ys_bar, t))
            from_step, bar, xs_bar[t] = step_vjp(params, before[t], of_time(xs, t), *bars, *key(t))
            params_bar = _add(params_bar, from_step)
        if resets[t]:
            as_drawn = jax.tree.map(lambda leaf, like: np.asarray(leaf, like.dtype), bar, initial)
            if starts is None:
                params_bar = _add(params_bar, initial_vjp(as_drawn)[0])
            else:
                start_bar = _add(start_bar, as_drawn)
        if resets[t] or t in cuts:
            bar = jax.tree.map(np.zeros_like, bar)
    return Result(carry, stack(ys), stack(states), params_bar, stack(xs_bar), bar, start_bar)


def run_batch(cell, params, xs, carry, mask, resets, cotangents, **options) -> Result:
    """Row after row, stacked; the params' gradient is the sum over rows."""
    rows = run_rows(cell, params, xs, carry, mask, resets, cotangents, **options)
    params_bar = functools.reduce(_add, [row.params_bar for row in rows])
    return stack(rows)._replace(params_bar=params_bar)


def run_rows(cell, params, xs, carry, mask, resets, cotangents, *, keys=None, starts=None, **options) -> list[Result]:
    """A `Result` a row."""
    return [
        run_row(
            cell,
            params,
            *(take(tree, row) for tree in (xs, carry, mask, resets, cotangents)),
            keys=None if keys is None else keys[row],
            starts=None if starts is None else take(starts, row),
            **options,
        )
        for row in range(len(mask))
    ]


def take(tree, index):
    """Row `index` of every leaf, or whatever else numpy indexes by."""
    return jax.tree.map(lambda leaf: (leaf if isinstance(leaf, jax.core.Tracer) else np.asarray(leaf))[index], tree)


def stack(trees):
    """One tree, whose leaves have a new leading axis."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def _add(a, b):
    return jax.tree.map(np.add, a, b)


def _start(cell, params):
    """The initial carry, whichever way the cell writes it."""
    return cell.initial_carry(params) if inspect.signature(cell.initial_carry).parameters else cell.initial_carry()


@functools.cache
def _compiled(cell):
    def step_vjp(params, carry, x, carry_bar, y_bar, *key):
        return jax.vjp(lambda *arguments: cell.step(*arguments, *key), params, carry, x)[1]((carry_bar, y_bar))

    return quick_jit(cell.step), quick_jit(step_vjp)
