"""What a search is after: the number that it goes by, and the configurations that it chooses from."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from optuna import TrialPruned

from rnn_jax.errors import UserError
from rnn_jax.sweeps.experiment_module import check
from rnn_jax.sweeps.rows import Sweep
from rnn_jax.sweeps.sweep_file import apply_overrides

Space = Callable[[Any], Any]  # from optuna's trial to a dict of overrides, as users write it


class Goal(NamedTuple):
    """metric: name in result.json and metrics.jsonl; the sweep says whether more of it is better. base: configuration
    that the overrides of the space start from.
    """

    sweep: Sweep
    metric: str
    space: Space
    base: Any


def validation_metric(metric: str) -> str:
    """The number of the validation data that stands for a sweep's metric; UserError if there is none."""
    part, _, name = metric.partition("/")
    if part not in ("test", "validation") or not name:
        raise UserError(
            f"METRIC = {metric!r}: a search goes by a number of the validation data, such as validation/accuracy"
        )
    return f"validation/{name}"


def draw(goal: Goal, trial: Any) -> dict[str, Any]:
    """What the space says for the trial; UserError where it fails. optuna.TrialPruned passes through."""
    where = f"{goal.sweep.path}: space(trial)"
    try:
        overrides = goal.space(trial)
    except (TrialPruned, UserError):
        raise
    except Exception as error:
        raise UserError(f"{where} failed: {type(error).__name__}: {error}") from error
    if not isinstance(overrides, Mapping) or not all(isinstance(name, str) for name in overrides):
        raise UserError(f"{where} gave {overrides!r}: expected a dict from fields to values, such as {{'cell': 'gru'}}")
    return dict(overrides)


def configuration_of(goal: Goal, overrides: Mapping[str, Any]) -> Any:
    """The experiment's configuration with these overrides; UserError where it doesn't take them."""
    try:
        config = apply_overrides(goal.base, overrides)
        check(importlib.import_module(goal.sweep.module), config)
    except UserError as error:
        raise UserError(f"{goal.sweep.path}: space(trial) gave {dict(overrides)!r}: {error}") from None
    return config
