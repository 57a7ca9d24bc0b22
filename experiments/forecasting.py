r"""Forecasts of numeric series: one or many, with covariates, as numbers or with intervals.

    ./launch.sh forecasting                                 # embedded synthetic series, about a minute
    ./launch.sh forecasting --flagfile=experiments/recipes/etth1.flags --data_dir=DIR --workdir=runs/etth1
    ./launch.sh forecasting --train_file=sales.csv --time_column=month --horizon=12 --workdir=runs/sales
    ./launch.sh forecasting --mode=predict --workdir=runs/sales --input=sales.csv > next_year.csv
    ./launch.sh forecasting --mode=eval --workdir=runs/sales --backtest=5

The report's first line says whether a naive forecast wins. Expect that the best one's MSE on synthetic_series is more
than twice the model's. README.md has the results table.
Running the same command again continues an interrupted run, or prints the result of a finished one.
"""

import dataclasses

from rnn_jax.config import group
from rnn_jax.data.series_config import SeriesConfig
from rnn_jax.metrics.directions import MINIMISE
from rnn_jax.models.backtest_config import BacktestConfig
from rnn_jax.models.forecaster_config import ForecasterConfig
from rnn_jax.models.recurrent_config import RecurrentConfig
from rnn_jax.training.app import run_app
from rnn_jax.training.optimizer_config import OptimizerConfig
from rnn_jax.training.run_config import RunConfig

EXPERIMENT = "forecasting"
METRICS = dict.fromkeys(("mse", "mae", "smape", "mase", "owa", "quantile_loss"), MINIMISE)


@dataclasses.dataclass(frozen=True)
class Config:
    """Every knob of this experiment."""

    data: SeriesConfig = group(SeriesConfig, "data", context_length=168)
    encoder: RecurrentConfig = group(RecurrentConfig, "model", cell=("gru",))
    model: ForecasterConfig = group(
        ForecasterConfig, "model", decoder="segments", segment_length=24, output="quantiles"
    )
    optimizer: OptimizerConfig = group(
        OptimizerConfig, "optimiser", learning_rate=3e-3, schedule="cosine", clip_global_norm=1.0
    )
    run: RunConfig = group(RunConfig, "run", num_epochs=8)
    scoring: BacktestConfig = group(BacktestConfig, "scoring")


def task():
    """The task; it takes seconds to import what it computes with."""
    from experiments.tasks.forecasting import TASK

    return TASK


if __name__ == "__main__":
    run_app(task, Config, EXPERIMENT)
