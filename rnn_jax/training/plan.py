"""How a run will go, said before it does."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import optax

from rnn_jax.config import config_to_dict
from rnn_jax.models.sizes import describe_network, num_parameters
from rnn_jax.training.summary import parameter_table, shape_table

PyTree = Any


class Plan(NamedTuple):
    """learning_rate: of update t = 0, 1, …, before any plateau."""

    steps_per_epoch: int
    total_steps: int
    learning_rate: optax.Schedule


def introduction(config: Any, params: PyTree, plan: Plan, source: Any) -> Iterator[str]:
    """What is about to be trained."""
    yield from getattr(source, "notes", ())
    yield f"{describe_network(config)}{num_parameters(params):,} parameters, {plan.total_steps:,} steps."
    if (waste := getattr(source, "padding_waste", None)) is not None:
        yield f"Padding is {waste:.1%} of the training batches."


def describe(config: Any, shapes: PyTree, plan: Plan, source: Any) -> str:
    """Configuration, parameter table, the arrays of the longest batch, steps."""
    knobs = json.dumps(config_to_dict(config), indent=2, ensure_ascii=False)
    lines = [knobs, "", parameter_table(shapes), "", "The longest batch:", shape_table(longest_batch(source)), ""]
    return "\n".join([*lines, *introduction(config, shapes, plan, source)])


def longest_batch(source: Any) -> dict[str, Any]:
    """A batch of the largest shape, of a source whose batches differ; else the first one."""
    return source.longest() if hasattr(source, "longest") else source.batch(0)
