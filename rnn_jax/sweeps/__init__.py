"""Ablation sweeps: rows of overrides, run anywhere, compared honestly. Start with `experiments/sweep.py`."""

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
