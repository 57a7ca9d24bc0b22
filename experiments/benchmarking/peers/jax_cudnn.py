"""`jax.experimental.rnn`: cuDNN's LSTM, on a GPU only. All weights are one array, in cuDNN's layout.

It has two biases, as torch; the second stays at zero and its gradient is left out of the comparison.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import rnn

from experiments.benchmarking.jax_program import JaxProgram, zeros_past_lengths
from experiments.benchmarking.problems import Problem, Unsupported, directions_of
from rnn_jax.cells.lstm import LSTMParams


def pack(problem: Problem) -> np.ndarray:
    """All matrices, W_ih before W_hh, layer by layer and direction by direction; then all biases."""
    cells = [cell for ways in directions_of(problem.params) for cell in ways]
    matrices = [array.T.ravel() for cell in cells for array in (cell.w_x, cell.w_h)]
    return np.concatenate([*matrices, *(array for cell in cells for array in (cell.b, np.zeros_like(cell.b)))])


def unpack(problem: Problem, weights: jax.Array) -> list[list[LSTMParams]]:
    """Our layout, without the second biases."""
    shape = problem.shape
    w_x, w_h, b, _ = rnn.unpack_lstm_weights(
        weights, shape.input_size, shape.hidden_size, shape.num_layers, shape.bidirectional
    )
    cells = [LSTMParams(w_x[i].T, w_h[i].T, b[i]) for i in range(len(b))]
    ways = 1 + shape.bidirectional
    return [cells[start : start + ways] for start in range(0, len(cells), ways)]


def jax_cudnn(problem: Problem) -> JaxProgram:
    """The LSTM."""
    if problem.cell != "lstm":
        raise Unsupported("only has the LSTM")
    if jax.default_backend() != "gpu":
        raise Unsupported("cuDNN needs a GPU")
    shape = problem.shape
    options = {
        "input_size": shape.input_size,
        "hidden_size": shape.hidden_size,
        "num_layers": shape.num_layers,
        "dropout": 0.0,
        "bidirectional": shape.bidirectional,
        "precision": jax.config.jax_default_matmul_precision,
    }

    def apply(weights, xs, lengths):
        zeros = jnp.zeros((shape.num_layers * (1 + shape.bidirectional), xs.shape[0], shape.hidden_size), xs.dtype)
        steps = jnp.full(xs.shape[0], xs.shape[1], jnp.int32) if lengths is None else lengths
        ys, _, _ = rnn.lstm(xs, zeros, zeros, weights, steps, **options)
        return zeros_past_lengths(ys, lengths)

    return JaxProgram("jax_cudnn", problem, pack(problem), apply, lambda weights: unpack(problem, weights))
