"""A training loop as a generator: it asks for updates, and whoever runs it has them computed.

    def train(config, run) -> Updates:
        …
        for batch in batches:
            state, metrics = yield Update(steps, state, arrays, step)
            …
        return result

The loop says what a step is made of and what happens after it. `run_alone` computes the updates one by one;
`training/together.py` runs many such loops at once, seeds of one configuration say, and computes their updates as one
program.
"""

from collections.abc import Generator
from typing import Any, NamedTuple

from rnn_jax.training.devices import data_mesh, shard_batch
from rnn_jax.training.state import TrainState
from rnn_jax.training.steps import Metrics, Steps


class Update(NamedTuple):
    """One update of `state`, the one after `step` others, from the arrays of a batch. The state is used up."""

    steps: Steps
    state: TrainState
    arrays: dict[str, Any]
    step: int


Updates = Generator[Update, tuple[TrainState, Metrics], dict[str, Any]]


def run_alone(loop: Updates) -> dict[str, Any]:
    """Computes each update that the loop asks for; returns what the loop returns."""
    mesh = data_mesh()
    try:
        asked = next(loop)
        while True:
            asked = loop.send(asked.steps.train(asked.state, shard_batch(asked.arrays, mesh)))
    except StopIteration as end:
        return end.value
    finally:
        loop.close()
