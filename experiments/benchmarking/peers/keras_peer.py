"""Keras on its JAX backend: LSTM, GRU(reset_after=True) and SimpleRNN, called by `stateless_call` under jit.

Gates of the LSTM as ours; of the GRU in the order z r n, with two biases, of which the recurrent one is our b_hn.
"""

import os
from typing import Any

import jax.numpy as jnp

from experiments.benchmarking.jax_program import JaxProgram, mask_of
from experiments.benchmarking.problems import Problem, Unsupported, directions_of, map_cells
from rnn_jax.cells.elman import ElmanParams
from rnn_jax.cells.gru import GRUParams
from rnn_jax.cells.lstm import LSTMParams

os.environ.setdefault("KERAS_BACKEND", "jax")  # read once, at the import

import keras as keras_package

LAYERS = {
    "elman": keras_package.layers.SimpleRNN,
    "lstm": keras_package.layers.LSTM,
    "gru": keras_package.layers.GRU,
}


def swap_reset_and_update(array: Any) -> Any:
    """r z n ⇄ z r n."""
    first, second, candidate = jnp.split(jnp.asarray(array), 3, axis=-1)
    return jnp.concatenate([second, first, candidate], axis=-1)


def from_ours(weights: Any) -> list[Any]:
    """kernel, recurrent kernel, bias."""
    if not isinstance(weights, GRUParams):
        return [weights.w_x, weights.w_h, weights.b]
    recurrent_bias = jnp.zeros_like(weights.b).at[-weights.w_h.shape[0] :].set(weights.b_hn)
    bias = jnp.stack([swap_reset_and_update(weights.b), recurrent_bias])
    return [swap_reset_and_update(weights.w_x), swap_reset_and_update(weights.w_h), bias]


def to_ours(cell: str, kernel: Any, recurrent: Any, bias: Any) -> Any:
    """The inverse of `from_ours`."""
    if cell != "gru":
        return {"lstm": LSTMParams, "elman": ElmanParams}[cell](kernel, recurrent, bias)
    shared = map(swap_reset_and_update, (kernel, recurrent, bias[0]))
    return GRUParams(*shared, bias[1, -recurrent.shape[0] :])


def make_model(problem: Problem) -> Any:
    """The layers as a Sequential model, built."""
    shape, layers = problem.shape, []
    for _ in range(shape.num_layers):
        options = {"reset_after": True} if problem.cell == "gru" else {}
        layer = LAYERS[problem.cell](shape.hidden_size, return_sequences=True, **options)
        layers.append(keras_package.layers.Bidirectional(layer) if shape.bidirectional else layer)
    model = keras_package.Sequential(layers)
    model.build((shape.batch, shape.time, shape.input_size))
    return model


def keras(problem: Problem) -> JaxProgram:
    """Every cell; ragged rows by Keras' own mask."""
    if keras_package.backend.backend() != "jax":
        raise Unsupported(f"the backend is {keras_package.backend.backend()}: set KERAS_BACKEND=jax")
    model = make_model(problem)
    rest = [variable.value for variable in model.non_trainable_variables]
    params = [array for ways in map_cells(from_ours, problem.params) for cell in ways for array in cell]

    def apply(params, xs, lengths):
        if lengths is None:
            return model.stateless_call(params, rest, xs)[0]
        mask = mask_of(lengths, xs)
        return jnp.where(mask[..., None], model.stateless_call(params, rest, xs, mask=mask)[0], 0)

    def ours_of(params):
        arrays = iter(params)
        return [
            [to_ours(problem.cell, *(next(arrays) for _ in range(3))) for _ in ways]
            for ways in directions_of(problem.params)
        ]

    return JaxProgram("keras", problem, params, apply, ours_of)
