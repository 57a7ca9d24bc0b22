"""From a configuration and a codec to a network, split into what is compiled and the parameters that it reads."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
from flax import nnx
from jax.sharding import Mesh

from rnn_jax.data.codec import Codec
from rnn_jax.data.parts import Data
from rnn_jax.models.pretrained import Pretrained
from rnn_jax.models.sizes import solve_width
from rnn_jax.training.adopt import adopt_params, array_name
from rnn_jax.training.devices import data_mesh, everywhere
from rnn_jax.training.layer_rates import LayerRates
from rnn_jax.training.optimizer_config import OptimizerConfig
from rnn_jax.training.same_program import shared
from rnn_jax.training.task import Task

PyTree = Any


class Network(NamedTuple):
    """graph: the network without its parameters; shapes: of these; config: what it was made from, see `shared`.

    layers: names below which arrays lie, from the head down; empty where the network does not say.
    """

    graph: Any
    shapes: PyTree
    config: Any
    layers: tuple[tuple[str, ...], ...]


@dataclasses.dataclass(frozen=True)
class Program:
    """All that an update is compiled from: equal programs share their code, whatever the seed and the learning rate.

    mesh: the devices that a batch is split over; None where the caller places everything (`train_in_step`).
    layer_rates: where layers do not learn alike.
    """

    graph: Any
    loss: Any
    optimizer: OptimizerConfig
    total_steps: int
    mesh: Mesh | None
    layer_rates: LayerRates | None = None

    @functools.cached_property
    def _hash(self) -> int:
        return hash((self.graph, self.loss, self.optimizer, self.total_steps, self.mesh, self.layer_rates))

    def __hash__(self) -> int:
        return self._hash  # every step asks for it


def build(task: Task, config: Any, codec: Codec) -> Network:
    """The network; nothing is computed. UserError where the configuration describes none."""
    common = solve_width(shared(config), codec, task.make_model)
    model = nnx.eval_shape(lambda: task.make_model(common, codec, nnx.Rngs(0)))
    return Network(*nnx.split(model), common, getattr(model, "LAYERS", ()))


def initial_params(
    task: Task, config: Any, data: Data, network: Network, donor: Pretrained | None
) -> tuple[PyTree, tuple[str, ...]]:
    """Fresh parameters, a function of the seed, but for what the data or the run of --init_from gives; notes on it."""
    params = data.start(_draw(task.make_model, network.config, data.codec, jax.random.key(config.run.seed)))
    if donor is None or donor.params is None:
        return params, ()
    has_its_classes = task.classes(data.codec) == task.classes(donor.codec)
    replaceable = (*task.heads, *donor.lacks)
    params, fresh = adopt_params(params, donor.params, replaceable=replaceable, keep_fresh=not has_its_classes)
    along = {array_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)} - set(fresh)
    parts = ", ".join(sorted({name.split(".")[0] for name in along}))
    anew = ", ".join(fresh) or "nothing"
    return params, (f"Starting from {config.run.init_from}: vocabulary, {parts}; initialised anew: {anew}.",)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _draw(make_model: Any, config: Any, codec: Codec, key: jax.Array) -> PyTree:
    return everywhere(nnx.split(make_model(config, codec, nnx.Rngs(key)))[1], data_mesh())
