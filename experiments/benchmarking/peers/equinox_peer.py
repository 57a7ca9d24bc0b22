"""Equinox: LSTMCell and GRUCell under `lax.scan` for one sequence, and that under `vmap`, as its examples do."""

import equinox as eqx
import jax
import jax.numpy as jnp

from experiments.benchmarking.jax_program import JaxProgram, zero_padding
from experiments.benchmarking.problems import Problem, Unsupported, map_cells
from rnn_jax.cells.gru import GRUParams
from rnn_jax.cells.lstm import LSTMParams

CELLS = {"lstm": eqx.nn.LSTMCell, "gru": eqx.nn.GRUCell}


def scan_one(cell, xs, *, reverse: bool):
    """One sequence: xs (T, D) → ys (T, H)."""
    zeros = jnp.zeros(cell.hidden_size, xs.dtype)

    def step(carry, x):
        carry = cell(x, carry)
        return carry, carry[0] if isinstance(carry, tuple) else carry

    carry = (zeros, zeros) if isinstance(cell, eqx.nn.LSTMCell) else zeros
    return jax.lax.scan(step, carry, xs, reverse=reverse)[1]


def run(layers, xs):
    """All layers on one sequence: xs (T, D) → ys (T, F)."""
    for ways in layers:
        xs = jnp.concatenate([scan_one(cell, xs, reverse=way == 1) for way, cell in enumerate(ways)], axis=-1)
    return xs


def equinox(problem: Problem) -> JaxProgram:
    """LSTMCell or GRUCell."""
    if problem.cell not in CELLS:
        raise Unsupported("has no Elman cell")

    def from_ours(weights):
        cell = CELLS[problem.cell](*weights.w_x.shape[:1], weights.w_h.shape[0], key=jax.random.key(0))
        names, arrays = ["weight_ih", "weight_hh", "bias"], [weights.w_x.T, weights.w_h.T, weights.b]
        if problem.cell == "gru":
            names, arrays = [*names, "bias_n"], [*arrays, weights.b_hn]
        return eqx.tree_at(lambda cell: [getattr(cell, name) for name in names], cell, list(map(jnp.asarray, arrays)))

    def to_ours(cell):
        shared = cell.weight_ih.T, cell.weight_hh.T, cell.bias
        return GRUParams(*shared, cell.bias_n) if problem.cell == "gru" else LSTMParams(*shared)

    def apply(layers, xs):
        return jax.vmap(run, in_axes=(None, 0))(layers, xs)

    layers = map_cells(from_ours, problem.params)
    return JaxProgram(
        "equinox", problem, layers, zero_padding(problem, apply), lambda ls: [[to_ours(c) for c in ways] for ways in ls]
    )
