"""Which way a metric is better: what the best checkpoint, early stopping, sweeps and searches go by."""

import math
from collections.abc import Mapping
from typing import Literal

from rnn_jax.errors import UserError

Direction = Literal["maximise", "minimise"]
Metrics = Mapping[str, Direction]
MAXIMISE: Direction = "maximise"
MINIMISE: Direction = "minimise"


def rank(metrics: Metrics, scores: Mapping[str, float], select_by: str = "") -> tuple[float, ...]:
    """What checkpoints are compared by, higher is better: the score chosen by, then the other declared ones as ties.

    metrics: name → direction. A declared metric that an evaluation does not have is left out, one that is NaN is the
    lowest. select_by: the metric that comes first (default: the first declared one).

    Raises:
      UserError: select_by is not declared.
    """
    if select_by and select_by not in metrics:
        raise UserError(f"--select_by={select_by}: allowed: {', '.join(metrics)}")
    names = [select_by, *metrics] if select_by else [*metrics]
    return tuple(_signed(scores[name], metrics[name]) for name in dict.fromkeys(names) if name in scores)


def _signed(score: float, direction: Direction) -> float:
    if math.isnan(score):
        return -math.inf  # NaN has no place in an order
    return score if direction == MAXIMISE else -score
