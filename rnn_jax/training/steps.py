"""A model as compiled pure functions: initialise, train one step, predict. Plain `jax.jit` of split parameters.

Parameters are replicated over all devices and batches split over them, so that the compiler inserts the sums between
devices; the same code runs on one.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from rnn_jax.training.devices import data_mesh, replicated
from rnn_jax.training.state import TrainState, apply_gradients
from rnn_jax.training.summary import num_parameters

PyTree = Any
Forward = Callable[[Any, dict[str, jax.Array], jax.Array | None], tuple[tuple[jax.Array, jax.Array], PyTree]]
"""(model, arrays of a batch, dropout key or None) → ((loss total, weight total), outputs)."""


class Steps(NamedTuple):
    """shapes: of the parameters. init() → params. train(state, arrays) → (state, metrics).

    predict(params, arrays) → ((loss total, weight total), outputs).
    compiled(function) makes of function(model, arrays) a compiled function(params, arrays).
    """

    shapes: PyTree
    init: Callable[[], PyTree]
    train: Callable[[TrainState, PyTree], tuple[TrainState, dict[str, jax.Array]]]
    predict: Callable[[PyTree, PyTree], tuple[tuple[jax.Array, jax.Array], PyTree]]
    compiled: Callable[[Callable[[Any, PyTree], PyTree]], Callable[[PyTree, PyTree], PyTree]]


def make_steps(
    make_model: Callable[[], nnx.Module],
    forward: Forward,
    optimizer: optax.GradientTransformation | None = None,
    *,
    ema_decay: float = 0.0,
    seed: int = 0,
) -> Steps:
    """Compiles (on first use) what training and prediction need; `optimizer` is for training only.

    The dropout key of a step is a function of seed and step, so that a resumed run draws the same.
    """
    graph, shapes = nnx.split(nnx.eval_shape(make_model))
    dropout_key = jax.random.fold_in(jax.random.key(seed), 1)

    def train_step(state: TrainState, arrays: PyTree):
        def mean_loss(params: PyTree) -> jax.Array:
            key = jax.random.fold_in(dropout_key, state.step)
            (total, count), _ = forward(nnx.merge(graph, params), arrays, key)
            return total / jnp.maximum(count, 1)

        assert optimizer is not None
        loss, grads = jax.value_and_grad(mean_loss)(state.params)
        state, metrics = apply_gradients(state, grads, optimizer, ema_decay)
        return state, {"loss": loss, **metrics}

    everywhere = replicated(data_mesh())

    @functools.cache  # or every call of a caller's would compile anew
    def compiled(function: Callable[[Any, PyTree], PyTree]) -> Callable[[PyTree, PyTree], PyTree]:
        return jax.jit(lambda params, arrays: function(nnx.merge(graph, params), arrays), out_shardings=everywhere)

    return Steps(
        shapes,
        init=jax.jit(lambda: nnx.split(make_model())[1], out_shardings=everywhere),
        train=jax.jit(train_step, donate_argnums=0, out_shardings=everywhere),
        predict=compiled(lambda model, arrays: forward(model, arrays, None)),
        compiled=compiled,
    )


def count_parameters(make_model: Callable[..., nnx.Module], *arguments: Any) -> int:
    """The number of parameters of make_model(*arguments); nothing is computed."""
    return num_parameters(nnx.split(nnx.eval_shape(functools.partial(make_model, *arguments)))[1])
