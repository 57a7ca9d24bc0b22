"""The anomaly experiment, small enough for tests; and the tables that it reads."""

import numpy as np
from experiment_runs import ExperimentRuns, metrics_of
from forecasting_runs import write_table

from experiments import anomaly

SMALL = ("--hidden_size=8", "--bptt=20", "--warm_up=3", "--batch_size=8", "--log_every_steps=20", "--stride=10")
RUNS = ExperimentRuns(anomaly, SMALL, SMALL)
run_here, is_refused = RUNS.run_here, RUNS.is_refused
ROWS = 300


def wave(rows=ROWS, *, at=(), seed=0):
    """A noisy wave (rows,), with jumps in the rows `at`; and marks of these."""
    values = np.sin(np.arange(rows) * 2 * np.pi / 12) + 0.05 * np.random.default_rng(seed).normal(size=rows)
    marks = np.zeros(rows, int)
    for row in at:
        values[row : row + 3] += 1.5
        marks[row : row + 3] = 1
    return np.round(values, 4), marks


__all__ = ["ROWS", "RUNS", "SMALL", "is_refused", "metrics_of", "run_here", "wave", "write_table"]
