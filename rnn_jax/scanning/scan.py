"""From one time step to a sequence: what mask, resets, reverse and carry mean, whatever the backend.

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

from rnn_jax.scanning.backend import Backend, choose_backend
from rnn_jax.scanning.carries import checked_carry, initial_carry, one_step, select
from rnn_jax.scanning.cudnn import scan_cudnn
from rnn_jax.scanning.deferred import Flags, Plan, join_steps, scan_deferred
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
    return_states: bool = False,
    backend: Backend | str = "auto",
) -> Any:
    """Runs a cell over time: xs (T, D) or (B, T, D) → (carry, ys), ys (T, H) or (B, T, H).

    The carry is that after each row's last real step (the first, if `reverse`); its leaves have a leading B for a
    batch. With `return_states`, returns (carry, ys, states): the carry after every step, leaves (…, T, …), as the
    mask left it.

    `backend` is how it is computed, a name or a `Backend` with settings. By default a cell whose step is made of
    `project`, `preactivate` and `activate` gets the deferred gradient, and everything else `lax.scan`'s own ("plain").
    The deferred gradient is for reverse mode: for `jax.jvp`, `jax.jacfwd` or `jax.linearize` of the scan itself say
    backend="plain"; `jax.jvp` of its gradient (Hessian-vector products) works with both.
    (Inside of an outer jit, and for `jax.linearize`, the refusal is JAX's own message about custom_vjp.)

    Raises:
      ValueError: xs is neither (T, D) nor (B, T, D), mask or resets do not have its leading shape, the carry is not
        one of this cell and batch, or the backend cannot compute this.
      TypeError: the cell is not hashable; xs is not of floating-point numbers; or forward-mode differentiation of a
        scan whose gradient is deferred.
    """
    _check_shapes(xs, mask, resets)
    try:
        hash(cell)
    except TypeError as error:
        raise TypeError(f"A cell is hashable, as a frozen dataclass is; {type(cell).__name__} is not.") from error
    backend = choose_backend(backend, cell, params, xs.shape, xs.dtype)
    if backend.name == "cudnn":
        return scan_cudnn(cell, params, xs, mask, resets, carry, reverse=reverse, return_states=return_states)
    plan = Plan(cell, backend, reverse, return_states, joined=join_steps())
    try:
        return _scan(params, xs, mask, resets, carry, plan=plan)
    except TypeError as error:
        if backend.name != "deferred" or "forward-mode" not in str(error):
            raise
        raise TypeError(
            "scan_cell has a custom gradient, for reverse mode only: jax.jvp, jacfwd and linearize of the scan "
            'itself need scan_cell(…, backend="plain"), or Recurrent(cell, backend="plain").'
        ) from error


# Jitted, so that a call outside of jit compiles once and not at every call; inside of jit it leaves no trace.
@functools.partial(jax.jit, static_argnames="plan", inline=True)
def _scan(params, xs, mask, resets, carry, *, plan: Plan) -> Any:
    initial = initial_carry(plan.cell, params, xs)
    carry = initial if carry is None else checked_carry(carry, initial)
    lifted = plan.backend.name == "deferred" and xs.ndim == 2  # a batch of one
    if lifted:
        xs, mask, resets, initial, carry = jax.tree.map(lambda leaf: leaf[None], (xs, mask, resets, initial, carry))
    xs, flags = jnp.moveaxis(xs, -2, 0), Flags(_time_first(mask), _time_first(resets))
    run = scan_deferred if plan.backend.name == "deferred" else _scan_plain
    carry, ys, states = run(plan, params, initial, carry, xs, flags)
    if xs.ndim == 3:
        ys, states = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), (ys, states))
    if lifted:
        carry, ys, states = jax.tree.map(lambda leaf: leaf[0], (carry, ys, states))
    return (carry, ys, states) if plan.return_states else (carry, ys)


def _scan_plain(plan, params, initial, carry, xs, flags):
    step = jax.vmap(plan.cell.step, in_axes=(None, 0, 0)) if xs.ndim == 3 else plan.cell.step

    def body(carry, inputs):
        x, (real, reset) = inputs
        if reset is not None:
            carry = select(reset, initial, carry)
        if real is None:
            carry, y = step(params, carry, x)
        else:
            # Zeros in place of the padding before the step, not only after it: the step's derivative at a NaN is NaN,
            # and the zero cotangent that `where` sends back would not cancel it.
            proposed, y = step(params, carry, jnp.where(real[..., None], x, 0))
            carry, y = select(real, proposed, carry), jnp.where(real[..., None], y, 0)
        return carry, (y, carry if plan.return_states else None)

    carry, (ys, states) = jax.lax.scan(body, carry, (xs, flags), reverse=plan.reverse, unroll=plan.backend.unroll)
    return carry, ys, states


def _time_first(flags: Array | None) -> Array | None:
    return None if flags is None else jnp.moveaxis(flags, -1, 0)


def output_size(cell: Cell, input_size: int) -> int:
    """How many numbers a step of `cell` returns for inputs of `input_size` numbers; nothing is computed."""
    y = jax.eval_shape(lambda key: one_step(cell, cell.init(key, input_size), jnp.zeros(input_size)), _key_shape())[1]
    return y.shape[-1]


def _key_shape() -> jax.ShapeDtypeStruct:
    return jax.eval_shape(lambda: jax.random.key(0))


def _check_shapes(xs: Array, mask: Array | None, resets: Array | None) -> None:
    if xs.ndim not in (2, 3):
        raise ValueError(f"xs is (T, D) or (B, T, D); got shape {xs.shape}.")
    if not jnp.issubdtype(xs.dtype, jnp.floating):
        raise TypeError(f"xs holds floating-point numbers; got {xs.dtype}. Give xs.astype(jnp.float32), or embed ids.")
    for name, array in (("mask", mask), ("resets", resets)):
        if array is not None and array.shape != xs.shape[:-1]:
            raise ValueError(f"{name} has the shape of xs without its last axis, {xs.shape[:-1]}; got {array.shape}.")
