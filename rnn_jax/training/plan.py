"""How a run will go: batch shapes, number of steps, optimiser; and what --dry_run prints of it."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from rnn_jax.config import config_to_dict
from rnn_jax.data.batching import Batch, Ragged, bucket_lengths, num_batches, ordered_batches, padding_waste
from rnn_jax.data.streaming import training_batches
from rnn_jax.errors import UserError
from rnn_jax.training.devices import data_mesh
from rnn_jax.training.optimizer import make_optimizer, make_schedule
from rnn_jax.training.state import create_state
from rnn_jax.training.steps import Steps
from rnn_jax.training.summary import memory_estimate, parameter_table, shape_table


class TrainingPlan(NamedTuple):
    """shapes: batch_size, buckets and tokens_per_batch. learning_rate: of update t = 0, 1, …

    waste: share of the positions of the batches that hold no token.
    """

    shapes: dict[str, Any]
    steps_per_epoch: int
    total_steps: int
    optimizer: optax.GradientTransformation
    learning_rate: optax.Schedule
    waste: float

    def batches(self, rows: Ragged, first_step: int, *, seed: int) -> Iterator[Batch]:
        """The batches from step `first_step` to the end: a function of seed and step alone."""
        return training_batches(
            rows, first_step, self.total_steps, seed=seed, rows_multiple_of=data_mesh().size, **self.shapes
        )

    def longest_batch(self, rows: Ragged) -> Batch:
        """A batch of the longest bucket."""
        *_, longest = ordered_batches(rows, rows_multiple_of=data_mesh().size, **self.shapes)
        return longest


def plan_training(
    config: Any, lengths: np.ndarray, *, multiple_of: int, tokens_per_batch: int | None = None
) -> TrainingPlan:
    """The plan for rows of these lengths, padded to at most `num_buckets` lengths that are multiples of `multiple_of`.

    config: has the knobs of RunConfig and OptimizerConfig, batch_size and num_buckets.

    Raises:
      UserError: no rows, or as `make_optimizer`.
    """
    if not len(lengths):
        raise UserError("There is nothing to train on: the training part is empty.")
    buckets = bucket_lengths(lengths, num_buckets=config.num_buckets, multiple_of=multiple_of)
    shapes = {"batch_size": config.batch_size, "buckets": buckets, "tokens_per_batch": tokens_per_batch}
    steps_per_epoch = num_batches(lengths, **shapes)
    total_steps = config.num_steps or config.num_epochs * steps_per_epoch
    return TrainingPlan(
        shapes,
        steps_per_epoch,
        total_steps,
        make_optimizer(config, total_steps),
        make_schedule(config, total_steps),
        padding_waste(lengths, **shapes),
    )


def describe_plan(config: Any, steps: Steps, plan: TrainingPlan, longest: dict[str, Any]) -> str:
    """Configuration, parameter table, the arrays of the longest batch, memory, steps, and the share of padding."""
    knobs = json.dumps(config_to_dict(config), indent=2, ensure_ascii=False)
    state = jax.eval_shape(lambda: create_state(steps.init(), plan.optimizer, config.ema_decay))
    return (
        f"{knobs}\n\n{parameter_table(steps.shapes)}\n\nThe longest batch:\n{shape_table(longest)}\n\n"
        f"Memory: {memory_estimate(steps.compiled_update, state, longest, steps.numbers)}.\n"
        f"{plan.total_steps} steps; padding is {plan.waste:.1%} of a batch on average."
    )
