"""Ablation sweeps: rows of overrides, run anywhere, compared honestly. Start with `experiments/sweep.py`."""

from rnn_jax.errors import require
from rnn_jax.sweeps.space import (
    choice,
    equal_parameters,
    grid,
    integers,
    log_uniform,
    one_at_a_time,
    random_search,
    uniform,
    zipped,
)

require("rnn_jax.sweeps", "absl, Rich, SciPy and more", "sweep", "absl", "rich")  # jobs elsewhere do without SciPy

__all__ = [
    "choice",
    "equal_parameters",
    "grid",
    "integers",
    "log_uniform",
    "one_at_a_time",
    "random_search",
    "uniform",
    "zipped",
]
