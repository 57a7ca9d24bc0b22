"""The update of every task, and the loop around it."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rnn_jax.data.prefetch import prefetch
from rnn_jax.training.build import Program
from rnn_jax.training.devices import data_mesh, keep_layout, place_state, shard_batch
from rnn_jax.training.optimizer import make_optimizer
from rnn_jax.training.prepare import Prepared, first_state
from rnn_jax.training.run import Run
from rnn_jax.training.state import TrainState, apply_gradients, evaluation_params
from rnn_jax.training.task import Scored, Sums, Trained

PyTree = Any


def update(program: Program, state: TrainState, batch: PyTree) -> tuple[TrainState, Sums]:
    """One update: w ← w − rule(∇ total / weight) of the task's "loss". Returns (new state, named sums of the batch)."""
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)

    def mean_loss(params: PyTree) -> tuple[jax.Array, Any]:
        sums, carry = program.loss(nnx.merge(program.graph, params), batch, state.carry, key)
        total, weight = sums["loss"]
        return total / jnp.where(weight == 0, 1, weight), (sums, carry)

    (_, (sums, carry)), grads = jax.value_and_grad(mean_loss, has_aux=True)(state.params)
    optimizer = make_optimizer(program.optimizer, program.total_steps, state.rates, program.layer_rates)
    factor, _ = sums.get("rate_factor", (None, None))
    state, norms = apply_gradients(state, grads, optimizer, program.optimizer.ema_decay, factor)
    state = keep_layout(state._replace(carry=carry), program.mesh)
    return state, sums | {name: (norm, jnp.ones_like(norm)) for name, norm in norms.items()}


train_step = jax.jit(update, static_argnums=0, donate_argnums=1)


def train(prepared: Prepared, run: Run) -> None:
    """Trains to the end, from the run's last checkpoint if it has one; its checkpoints hold what comes of it."""
    program, source = prepared.program, prepared.source

    def batch_of(step: int) -> tuple[int, PyTree]:
        batch = source.batch(step)
        return int(np.count_nonzero(batch["weights"])), shard_batch(batch, data_mesh())

    with prepared.session(run) as session:
        state, notes = first_state(prepared, session.latest_step())
        state = place_state(session.restore(state), data_mesh())
        session.begin(notes)
        with prefetch(batch_of, range(session.step, program.total_steps)) as batches:
            for count, batch in batches:
                if session.exhausted:
                    break
                state, sums = train_step(program, state, batch)
                session.count(sums, count)
                if any(due := session.due()):
                    state = session.after(state, due, functools.partial(evaluate, prepared))


def evaluate(prepared: Prepared, state: TrainState) -> Scored:
    """The scores of the validation part, between two updates."""
    task, config, data = prepared.task, prepared.config, prepared.data
    params = _averaged(state, config.optimizer.ema_decay)
    trained = Trained(task, config, data.codec, prepared.network.graph, params, is_final=False)
    return task.score(trained, data.parts["validation"])


_averaged = jax.jit(evaluation_params, static_argnums=1)
