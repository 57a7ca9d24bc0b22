"""A run before anything is computed: its data read, its network described; and the state that it starts from."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from rnn_jax.data.parts import Data
from rnn_jax.data.sources import Source
from rnn_jax.metrics.directions import rank
from rnn_jax.models.pretrained import Pretrained
from rnn_jax.training.build import Network, Program, build, initial_params
from rnn_jax.training.devices import data_mesh
from rnn_jax.training.layer_rates import layer_rates, said_of_layers
from rnn_jax.training.optimizer import make_optimizer, make_schedule
from rnn_jax.training.optimizer_config import RATES
from rnn_jax.training.plan import Plan, introduction
from rnn_jax.training.run import Run
from rnn_jax.training.session import Session
from rnn_jax.training.state import TrainState, create_state
from rnn_jax.training.task import Task
from rnn_jax.training.trained import load_donor

PyTree = Any


class Prepared(NamedTuple):
    """A run before anything is computed."""

    task: Task
    config: Any
    donor: Pretrained | None
    data: Data
    network: Network
    source: Source
    plan: Plan
    program: Program

    def session(self, run: Run) -> Session:
        """The bookkeeping of this run."""
        return Session(self.task, self.config, run, self.plan, self.data.codec, self.source.digest())


def prepare(task: Task, config: Any, run: Run | None = None) -> Prepared:
    """Reads the data; the network, the batches, how many there will be, and the program of an update.

    run: that it is for, where there is one: a run that has begun needs --init_from's no more.

    Raises:
      UserError: whatever is wrong with the configuration or the data.
    """
    task.check(config)
    rank(task.metrics, {}, config.run.select_by)
    donor = load_donor(task, config, run)
    data = task.read(config, donor and donor.codec)
    source, network = data.train(), build(task, config, data.codec)
    total_steps = config.run.num_steps or config.run.num_epochs * source.steps_per_epoch
    make_optimizer(config.optimizer, total_steps)  # UserError where there is none, in a dry run as well
    plan = Plan(source.steps_per_epoch, total_steps, make_schedule(config.optimizer, total_steps))
    layers = layer_rates(config.optimizer, network.shapes, network.layers, source.steps_per_epoch)
    program = Program(network.graph, task.loss, network.config.optimizer, total_steps, data_mesh(), layers)
    return Prepared(task, config, donor, data, network, source, plan, program)


def first_state(prepared: Prepared, step: int = 0) -> tuple[TrainState, tuple[str, ...]]:
    """The state before the first update, and what the user should know of the run.

    step: where the run goes on. Batches that it does not need are not read, as of an epoch that would be sorted for it.
    """
    config, source, plan = prepared.config, prepared.source, prepared.plan
    params, notes = initial_params(prepared.task, config, prepared.data, prepared.network, prepared.donor)
    knobs, layers = config.optimizer, prepared.program.layer_rates
    optimizer = make_optimizer(knobs, plan.total_steps, layers=layers)
    state = create_state(params, optimizer, knobs.ema_decay, knobs.nonmonotone_interval)
    state = state._replace(
        carry=_empty_carry(prepared.program, params, source.batch(min(step, plan.total_steps - 1))),
        key=jax.random.key_data(jax.random.fold_in(jax.random.key(config.run.seed), 1)),  # the key itself drew params
        rates={name: jnp.float32(getattr(knobs, name)) for name in RATES},
    )
    if layers is not None:
        notes = (*notes, said_of_layers(layers, params, plan.total_steps))
    return state, (*prepared.data.notes, *notes, *introduction(config, params, plan, source))


def _empty_carry(program: Program, params: PyTree, batch: PyTree) -> PyTree:
    """Zeros in the form of the carry that a batch leaves: the first batch resets them."""

    def carry_after(params: PyTree, batch: PyTree) -> PyTree:
        return program.loss(nnx.merge(program.graph, params), batch, None, jax.random.key(0))[1]

    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(carry_after, params, batch))
