"""How much of a loss's gradient is left so many steps before it: the vanishing- and exploding-gradient picture.

A loss L of the last output y_T alone reaches the carry s_t after step t along one path only, step by step:

    δ_{T−1} = (∂y_T/∂s_{T−1})ᵀ ∂L/∂y_T        δ_{t−1} = (∂s_t/∂s_{t−1})ᵀ δ_t

so that δ_t = ∂L/∂s_t is ∂L/∂y_T times a product of Jacobians, one a step. Its norm goes as λ^(T − t), with λ a typical
gain of one step: it vanishes or explodes. ∂L/∂w and ∂L/∂x_t are made of δ_t: what has vanished there, no weight learns.

Sources: Hochreiter (1991); Bengio, Simard & Frasconi (1994); Pascanu, Mikolov & Bengio (2013), eq. 5.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.layers import as_layer
from rnn_jax.layers.base import Sequence, end
from rnn_jax.masking import as_flags
from rnn_jax.numerics import norm_parts
from rnn_jax.scanning.carries import select, zeros_like
from rnn_jax.scanning.sequences import as_arrays, is_batch, leading_shape
from rnn_jax.types import Array, Bool, Cell, Float, Inputs, Int, Layer, Params

Loss = Callable[[Float[Array, "B F"]], Float[Array, ""]]
"""From the last outputs of a batch to one number: a sum over the rows, so that each row has the gradient of its own."""

QUANTITIES = ("carry", "input")


def gradient_norms(
    layer: Layer | Cell,
    params: Params,
    xs: Inputs,
    *,
    mask: Bool[Array, "*B T"] | Int[Array, "*B T"] | None = None,
    loss: Loss | None = None,
    of: str = "carry",
    batched: bool | None = None,
) -> Float[Array, "*B T"]:
    """The gradient's norm in each row by distance d = 0, 1, …, T − 1 to the loss, in steps.

    of="carry": ‖∂L/∂s_{T−d}‖ over the whole state s, be it h alone, h and c, or those of all layers of a stack; entry 0
    is ‖∂L/∂y_T‖, what comes from the loss itself. (For the built-in cells y_T is the h of s_T, so it is no exception.)
    of="input": ‖∂L/∂x_{T−d}‖, which compares states of different make at the same place.

    With a mask, y_T is the output at a row's last real step, and only real steps count; entries past a row's first
    step are NaN. `layer` is a cell, a recurrent layer or a stack, with its params; `loss` is Σ y_T by default.
    float32 ends at 1e-38: for long sequences give float64 params and xs. `batched` as in `scan_cell`.

    Raises:
      ValueError: a layer that reads backwards, or `of` is neither of the two.
    """
    if of not in QUANTITIES:
        raise ValueError(f"The gradient of {of!r}? It can be that of: {', '.join(QUANTITIES)}.")
    xs, mask = as_arrays(xs), None if mask is None else jnp.asarray(mask)
    batched = is_batch(xs, mask, None, batched)
    shape = leading_shape(xs, batched)
    mask = jnp.ones(shape, dtype=bool) if mask is None else as_flags("mask", mask, shape)
    if batched:
        return _gradient_norms(layer, params, xs, mask, loss, of)
    xs, mask = jax.tree.map(lambda leaf: leaf[None], (xs, mask))
    return _gradient_norms(layer, params, xs, mask, loss, of)[0]


def gradient_by_distance(
    layer: Layer | Cell,
    params: Params,
    xs: Inputs,
    *,
    mask: Bool[Array, "*B T"] | Int[Array, "*B T"] | None = None,
    loss: Loss | None = None,
    of: str = "carry",
    batched: bool | None = None,
) -> Float[Array, " T"]:
    """The mean of `gradient_norms` over the rows that are long enough; NaN where none is. Of one sequence, its own.

    Raises:
      ValueError: as `gradient_norms`.
    """
    norms = gradient_norms(layer, params, xs, mask=mask, loss=loss, of=of, batched=batched)
    return norms if norms.ndim == 1 else jnp.nanmean(norms, axis=0)


def _gradient_norms(layer, params, xs, mask, loss: Loss | None, of: str) -> Float[Array, "B T"]:
    layer = as_layer(layer)
    swap = lambda tree: jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), tree)  # noqa: E731
    steps = swap((select(mask, xs, zeros_like(xs)), mask))  # as in a scan, padding is read as zeros
    step = functools.partial(as_layer(layer).step, params, batched=True)
    first = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[2:], leaf.dtype), xs)

    def forward(carry, inputs):
        x, real = inputs
        after, y = step(carry, x)
        return select(real, after, carry), (carry, y)

    after_all, (before, ys) = jax.lax.scan(forward, layer.initial_carry(params, len(mask), x=first), steps)
    last = end(swap(ys), Sequence(mask, None, 0, True), first=False)
    y_bar = jax.grad(loss or _sum)(last)

    def backward(delta, inputs):
        carry, x, real, is_last = inputs
        from_loss = select(is_last, y_bar, zeros_like(y_bar))
        _, pull_back = jax.vjp(lambda carry, x: step(carry, x), carry, x)
        delta_before, x_bar = pull_back((delta, from_loss))
        norm = row_norms((delta, from_loss) if of == "carry" else x_bar)  # of delta and from_loss, one is zero
        return select(real, delta_before, delta), norm

    distance = jnp.cumsum(mask[:, ::-1], axis=1)[:, ::-1] - 1  # of a real step: how many real ones come after it
    is_last = mask & (distance == 0)
    _, norms = jax.lax.scan(backward, zeros_like(after_all), (before, *steps, is_last.T), reverse=True)
    return _by_distance(norms.T, mask, distance)


def _sum(ys: Any) -> Float[Array, ""]:
    return sum((jnp.sum(leaf) for leaf in jax.tree.leaves(ys)), jnp.zeros(()))


def row_norms(tree: Any) -> Float[Array, " B"]:
    """√ of the sum of squares of all numbers in each row of a pytree, whose leaves begin with B."""
    scale, norm = norm_parts(jax.tree.leaves(tree), num_kept=1)
    return scale * norm


def _by_distance(norms: Float[Array, "B T"], mask: Bool[Array, "B T"], distance: Array) -> Float[Array, "B T"]:
    rows = jnp.arange(len(norms))[:, None]
    lengths = mask.sum(axis=1, keepdims=True)
    sorted_norms = jnp.zeros_like(norms).at[rows, distance].add(jnp.where(mask, norms, 0))
    return jnp.where(jnp.arange(norms.shape[1])[None] < lengths, sorted_norms, jnp.nan)
