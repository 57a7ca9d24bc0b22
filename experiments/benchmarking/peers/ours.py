"""Our own layers, in their defaults, and with the engine's options one by one."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmarking.jax_program import JaxProgram
from experiments.benchmarking.problems import CELLS, Problem, Unsupported, directions_of
from rnn_jax import Backend, lengths_to_mask, scan_cell

# The ablation: keyword arguments of `scan_cell` by the name of the rung, from the plain scan to all levers.
LADDER: dict[str, dict[str, Any]] = {
    "ladder_plain": {"backend": "plain"},
    "ladder_deferred_whole": {"backend": Backend("deferred", project="step", chunk_size=1 << 30)},
    "ladder_deferred_chunks": {"backend": Backend("deferred", project="step")},
    "ladder_project_chunks": {"backend": Backend("deferred", project="chunk")},
    "ladder_save_carries": {"backend": Backend("deferred", save="carries")},
    "ladder_save_borders": {"backend": Backend("deferred", save="borders")},
}

# bfloat16 has 8 bits of precision, and the steps' roundings add up along the sequence.
BFLOAT16_TOLERANCE = 0.1


def _mask(lengths, xs):
    return None if lengths is None else lengths_to_mask(lengths, xs.shape[1])


def ours(problem: Problem, *, name: str = "ours", **program: Any) -> JaxProgram:
    """`Stack.apply`; rows are ragged by its mask. `program`: arguments of JaxProgram."""

    def apply(params, xs, lengths):
        return problem.stack.apply(params, xs, mask=_mask(lengths, xs)).ys

    return JaxProgram(name, problem, problem.params, apply, directions_of, **program)


def ours_bf16(problem: Problem) -> JaxProgram:
    """Activations in bfloat16, params and gradients in float32: what torch calls autocast."""
    if jax.default_backend() == "cpu":
        raise Unsupported("bfloat16 is for accelerators")
    return ours(problem, name="ours_bf16", tolerance=BFLOAT16_TOLERANCE, xs_dtype=jnp.bfloat16)


def with_options(name: str, problem: Problem, **options: Any) -> JaxProgram:
    """`scan_cell` with these options, without the layers around it."""
    cell = CELLS[problem.cell](problem.shape.hidden_size)

    def apply(params, xs, lengths):
        for ways in directions_of(params):
            outputs = [
                scan_cell(cell, weights, xs, mask=_mask(lengths, xs), reverse=way == 1, **options)[1]
                for way, weights in enumerate(ways)
            ]
            xs = jnp.concatenate(outputs, axis=-1)
        return xs

    return JaxProgram(name, problem, problem.params, apply, directions_of)


def ours_cudnn(problem: Problem) -> JaxProgram:
    """cuDNN's LSTM behind `scan_cell`."""
    if problem.cell != "lstm" or problem.lengths is not None:
        raise Unsupported("only has the LSTM, and rows of one length")
    if jax.default_backend() != "gpu":
        raise Unsupported("cuDNN needs a GPU")
    return with_options("ours_cudnn", problem, backend="cudnn")


def rungs() -> dict[str, Any]:
    """The ladder's rungs as peers."""
    return {name: functools.partial(with_options, name, **options) for name, options in LADDER.items()}
