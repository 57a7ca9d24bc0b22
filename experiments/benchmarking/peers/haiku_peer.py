"""Haiku: LSTM under `dynamic_unroll`. Its gates are in the order i g f o, and 1 is added to the forget gate's.

Its GRU applies the reset gate before the recurrent matmul and its VanillaRNN has relu: other mathematics than ours.
"""

from typing import Any

import haiku as hk
import jax.numpy as jnp

from experiments.benchmarking.jax_program import JaxProgram, zero_padding
from experiments.benchmarking.problems import Problem, Unsupported, map_cells
from rnn_jax.cells.lstm import LSTMParams

REASONS = {"gru": "its GRU resets before the recurrent matmul", "elman": "its VanillaRNN has relu"}


def from_ours(weights: LSTMParams) -> dict[str, Any]:
    """One matrix for [x, h], and the forget gate's bias less the built-in 1."""

    def reorder(array):
        i, f, g, o = jnp.split(jnp.asarray(array), 4, axis=-1)
        return jnp.concatenate([i, g, f, o], axis=-1)

    size = weights.w_h.shape[0]
    built_in = jnp.zeros(4 * size).at[2 * size : 3 * size].set(1)
    return {"w": reorder(jnp.concatenate([weights.w_x, weights.w_h])), "b": reorder(weights.b) - built_in}


def to_ours(theirs: Any, hidden_size: int) -> LSTMParams:
    """Gradients in our layout; params too, but for the 1."""

    def reorder(array):
        i, g, f, o = jnp.split(array, 4, axis=-1)
        return jnp.concatenate([i, f, g, o], axis=-1)

    return LSTMParams(reorder(theirs["w"][:-hidden_size]), reorder(theirs["w"][-hidden_size:]), reorder(theirs["b"]))


def haiku(problem: Problem) -> JaxProgram:
    """The LSTM."""
    if problem.cell in REASONS:
        raise Unsupported(REASONS[problem.cell])
    shape, layers = problem.shape, map_cells(from_ours, problem.params)
    params = {f"cell_{layer}_{way}/linear": one for layer, ways in enumerate(layers) for way, one in enumerate(ways)}

    def forward(xs):
        for layer in range(shape.num_layers):
            cores = [hk.LSTM(shape.hidden_size, name=f"cell_{layer}_{way}") for way in range(1 + shape.bidirectional)]
            outputs = [
                hk.dynamic_unroll(core, xs, core.initial_state(xs.shape[0]), time_major=False, reverse=way == 1)[0]
                for way, core in enumerate(cores)
            ]
            xs = jnp.concatenate(outputs, axis=-1)
        return xs

    transformed = hk.without_apply_rng(hk.transform(forward))

    def ours_of(params):
        ways = range(1 + shape.bidirectional)
        names = [[f"cell_{layer}_{way}/linear" for way in ways] for layer in range(shape.num_layers)]
        return [[to_ours(params[name], shape.hidden_size) for name in layer] for layer in names]

    return JaxProgram("haiku", problem, params, zero_padding(problem, transformed.apply), ours_of)
