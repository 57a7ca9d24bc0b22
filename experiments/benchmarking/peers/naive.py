"""The textbook's step under `jax.lax.scan`, as one would write it by hand; also the reference in float64."""

import jax
import jax.numpy as jnp

from experiments.benchmarking.jax_program import JaxProgram, mask_of
from experiments.benchmarking.problems import Problem, directions_of


def elman(weights, carry, x):
    """h_t = tanh(x_t W_x + h_{t−1} W_h + b)."""
    (h,) = carry
    h = jnp.tanh(x @ weights.w_x + h @ weights.w_h + weights.b)
    return (h,), h


def lstm(weights, carry, x):
    """Gates in the order i f g o."""
    h, c = carry
    i, f, g, o = jnp.split(x @ weights.w_x + h @ weights.w_h + weights.b, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def gru(weights, carry, x):
    """Gates in the order r z n; the reset gate acts after the recurrent matmul."""
    (h,) = carry
    x_r, x_z, x_n = jnp.split(x @ weights.w_x + weights.b, 3, axis=-1)
    h_r, h_z, h_n = jnp.split(h @ weights.w_h, 3, axis=-1)
    r, z = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
    h = (1 - z) * jnp.tanh(x_n + r * (h_n + weights.b_hn)) + z * h
    return (h,), h


STEPS = {"elman": (elman, 1), "lstm": (lstm, 2), "gru": (gru, 1)}  # and how many arrays the carry has


def run(cell: str, weights, xs, lengths, *, reverse: bool = False):
    """One direction of one layer: xs (B, T, D) → ys (B, T, H), zeros past each row's length."""
    step, size = STEPS[cell]
    zeros = jnp.zeros((xs.shape[0], weights.w_h.shape[0]), xs.dtype)

    def body(carry, x):
        return step(weights, carry, x)

    def masked_body(carry, inputs):
        x, real = inputs
        proposed, y = step(weights, carry, x)
        carry = jax.tree.map(lambda new, old: jnp.where(real[:, None], new, old), proposed, carry)
        return carry, jnp.where(real[:, None], y, 0)

    steps = jnp.swapaxes(xs, 0, 1)
    if lengths is None:
        _, ys = jax.lax.scan(body, (zeros,) * size, steps, reverse=reverse)
    else:
        _, ys = jax.lax.scan(masked_body, (zeros,) * size, (steps, mask_of(lengths, xs).T), reverse=reverse)
    return jnp.swapaxes(ys, 0, 1)


def apply(cell: str, params, xs, lengths):
    """All layers: params in our layout."""
    for ways in directions_of(params):
        xs = jnp.concatenate([run(cell, w, xs, lengths, reverse=way == 1) for way, w in enumerate(ways)], axis=-1)
    return xs


def naive(problem: Problem) -> JaxProgram:
    """Every cell, ragged rows too."""
    return JaxProgram(
        "naive",
        problem,
        problem.params,
        lambda params, xs, lengths: apply(problem.cell, params, xs, lengths),
        directions_of,
    )
