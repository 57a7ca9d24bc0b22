"""A model as compiled pure functions: initialise, train one step, predict. Plain `jax.jit` of split parameters.

Parameters are replicated over all devices and batches split over them, so that the compiler inserts the sums between
devices; the same code runs on one. What a run brings along as numbers (its seed, its learning rate, its dropout rates)
are arguments of the compiled functions: runs that differ in nothing else share them, one after the other in a process,
through the compilation cache between processes, or as one program of many seeds (`training/together.py`).
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from rnn_jax.data.inputs import Inputs
from rnn_jax.training.devices import data_mesh, replicate, replicated
from rnn_jax.training.optimizer import make_optimizer
from rnn_jax.training.state import TrainState, apply_gradients
from rnn_jax.training.summary import num_parameters
from rnn_jax.training.traced import lost_rates, shared_config, traced_names, with_numbers

PyTree = Any
Metrics = dict[str, jax.Array]
Forward = Callable[[Any, dict[str, jax.Array], jax.Array | None], tuple[tuple[jax.Array, jax.Array], PyTree]]
"""(model, arrays of a batch, dropout key or None) → ((loss total, weight total), outputs)."""
MakeModel = Callable[[Any, Any], nnx.Module]
"""(configuration, inputs) → model, its parameters drawn from the configuration's seed: a number or a key."""


class Steps(NamedTuple):
    """shapes: of the parameters. init() → params. train(state, arrays) → (state, metrics).

    predict(params, arrays) → ((loss total, weight total), outputs).
    compiled(function) makes of function(model, arrays) a compiled function(params, arrays).
    update(state, arrays, numbers) is what `compiled_update` compiles, and `train` calls with this run's `numbers`.
    """

    shapes: PyTree
    init: Callable[[], PyTree]
    train: Callable[[TrainState, PyTree], tuple[TrainState, Metrics]]
    predict: Callable[[PyTree, PyTree], tuple[tuple[jax.Array, jax.Array], PyTree]]
    compiled: Callable[[Callable[[Any, PyTree], PyTree]], Callable[[PyTree, PyTree], PyTree]]
    update: Callable[[TrainState, PyTree, PyTree], tuple[TrainState, Metrics]]
    compiled_update: Any
    numbers: PyTree


def make_steps(config: Any, inputs: Inputs, make_model: MakeModel, forward: Forward, total_steps: int = 0) -> Steps:
    """What training (for `total_steps` updates) and prediction need; compiled on first use.

    make_model and forward are functions of a module: what they compile to is kept, and found again by them, by what is
    the same in all runs of a program, and by the inputs. The dropout key of a step is a function of seed and step, so
    that a resumed run draws the same.
    """
    common, held = shared_config(config), _Held(inputs)
    model = _model(common, held, make_model, forward)
    if model.lost:  # made into something else by the model: no argument, but a part of the program
        common = dataclasses.replace(common, **{name: getattr(config, name) for name in model.lost})
        model = _model(common, held, make_model, forward)
    update, compiled_update = _training(common, held, make_model, forward, total_steps)
    seed = jax.random.key_data(jax.random.key(config.seed))
    numbers = {name: jnp.float32(getattr(config, name)) for name in traced_names(common)}
    run_numbers = replicate({"seed": seed, **numbers}, data_mesh())
    return Steps(
        model.shapes,
        init=lambda: model.init(run_numbers["seed"]),
        train=lambda state, arrays: compiled_update(state, arrays, run_numbers),
        predict=model.predict,
        compiled=model.compiled,
        update=update,
        compiled_update=compiled_update,
        numbers=run_numbers,
    )


class _Held:
    """Inputs as a key: equal where they encode alike, which is what `digest` says."""

    def __init__(self, inputs: Inputs):
        self.inputs, self._digest = inputs, inputs.digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)


class _Model(NamedTuple):
    graph: Any
    shapes: PyTree
    lost: frozenset[str]
    init: Callable[[jax.Array], PyTree]
    predict: Any
    compiled: Any


@functools.lru_cache(maxsize=8)
def _model(config: Any, held: _Held, make_model: MakeModel, forward: Forward) -> _Model:
    graph, shapes = nnx.split(nnx.eval_shape(lambda: make_model(config, held.inputs)))
    everywhere = replicated(data_mesh())

    def init(seed: jax.Array) -> PyTree:
        drawn_from = dataclasses.replace(config, seed=jax.random.wrap_key_data(seed))
        return nnx.split(make_model(drawn_from, held.inputs))[1]

    @functools.cache  # or every call of a caller's would compile anew
    def compiled(function: Callable[[Any, PyTree], PyTree]) -> Callable[[PyTree, PyTree], PyTree]:
        return jax.jit(lambda params, arrays: function(nnx.merge(graph, params), arrays), out_shardings=everywhere)

    return _Model(
        graph,
        shapes,
        lost_rates(lambda own: make_model(own, held.inputs), config),
        init=jax.jit(init, out_shardings=everywhere),
        predict=compiled(lambda model, arrays: forward(model, arrays, None)),
        compiled=compiled,
    )


@functools.lru_cache(maxsize=8)
def _training(config: Any, held: _Held, make_model: MakeModel, forward: Forward, total_steps: int) -> tuple[Any, Any]:
    graph = _model(config, held, make_model, forward).graph

    def update(state: TrainState, arrays: PyTree, numbers: PyTree) -> tuple[TrainState, Metrics]:
        optimizer = make_optimizer(config, total_steps, numbers)
        dropout_key = jax.random.fold_in(jax.random.wrap_key_data(numbers["seed"]), 1)

        def mean_loss(params: PyTree) -> jax.Array:
            key = jax.random.fold_in(dropout_key, state.step)
            model = with_numbers(nnx.merge(graph, params), numbers)
            (total, count), _ = forward(model, arrays, key)
            return total / jnp.maximum(count, 1)

        loss, grads = jax.value_and_grad(mean_loss)(state.params)
        state, metrics = apply_gradients(state, grads, optimizer, config.ema_decay)
        return state, {"loss": loss, **metrics}

    return update, jax.jit(update, donate_argnums=0, out_shardings=replicated(data_mesh()))


def count_parameters(make_model: Callable[..., nnx.Module], *arguments: Any) -> int:
    """The number of parameters of make_model(*arguments); nothing is computed."""
    return num_parameters(nnx.split(nnx.eval_shape(functools.partial(make_model, *arguments)))[1])
