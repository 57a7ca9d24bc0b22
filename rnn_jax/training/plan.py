"""What --dry_run prints: what a run would do, before it does it."""

import json
from typing import Any

import jax
import optax

from rnn_jax.config import config_to_dict
from rnn_jax.training.state import create_state
from rnn_jax.training.steps import Steps
from rnn_jax.training.summary import memory_estimate, parameter_table, shape_table


def describe_plan(
    config: Any,
    steps: Steps,
    optimizer: optax.GradientTransformation,
    *,
    total_steps: int,
    waste: float,
    longest: dict[str, Any],
) -> str:
    """Configuration, parameter table, the arrays of the longest batch, memory, steps, and the share of padding."""
    knobs = json.dumps(config_to_dict(config), indent=2, ensure_ascii=False)
    state = jax.eval_shape(lambda: create_state(steps.init(), optimizer, config.ema_decay))
    return (
        f"{knobs}\n\n{parameter_table(steps.shapes)}\n\nThe longest batch:\n{shape_table(longest)}\n\n"
        f"Memory: {memory_estimate(steps.train, state, longest)}.\n"
        f"{total_steps} steps; padding is {waste:.1%} of a batch on average."
    )
