"""The forecasting experiment, small enough for tests; and the tables that it reads."""

import numpy as np
from experiment_runs import ExperimentRuns, metrics_of

from experiments import forecasting

SMALL = (
    "--hidden_size=8",
    "--segment_length=6",
    "--context_length=24",
    "--horizon=12",
    "--batch_size=16",
    "--log_every_steps=20",
)
RUNS = ExperimentRuns(forecasting, SMALL, SMALL)
run_here, is_refused, run = RUNS.run_here, RUNS.is_refused, RUNS.run

HOURS = 240


def load(hours=HOURS):
    """A wave of a day with another of half the length, and a drop that comes and goes: (hours,)."""
    steps = np.arange(hours)
    return 20 + 6 * np.sin(2 * np.pi * steps / 24) + 2 * np.sin(2 * np.pi * steps / 12 + 1) + 0.02 * steps


def times(first, count):
    """So many hours from the first hour of 2024 on."""
    hours = np.datetime64("2024-01-01T00:00") + np.arange(first, first + count) * np.timedelta64(60, "m")
    return [str(hour).replace("T", " ") for hour in hours]


def write_table(path, columns):
    """A CSV file of columns by name; NaN is an empty cell."""
    rows = zip(*columns.values(), strict=True)
    cells = (",".join("" if value != value else str(value) for value in row) for row in rows)
    path.write_text("\n".join([",".join(columns), *cells]) + "\n")
    return path


__all__ = ["HOURS", "RUNS", "SMALL", "is_refused", "load", "metrics_of", "run", "run_here", "times", "write_table"]
