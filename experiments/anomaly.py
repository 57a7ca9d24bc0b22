r"""Anomalies in numeric series: a network learns what is normal; what it does not expect gets a high score.

    ./launch.sh anomaly                                     # embedded synthetic series, about a minute
    ./launch.sh anomaly --flagfile=experiments/recipes/msl.flags --data_dir=DIR --workdir=runs/msl
    ./launch.sh anomaly --train_file=normal.csv --test_file=marked.csv --mark_column=fault --workdir=runs/pump
    ./launch.sh anomaly --train_file=load.csv --train_share=0.3 --workdir=runs/load     # its first rows are normal
    ./launch.sh anomaly --mode=predict --workdir=runs/pump --input=today.csv > flags.csv
    tail -f pump.csv | ./launch.sh anomaly --mode=predict --workdir=runs/pump --stream

The report's first line says whether a baseline ranks rows better. Expect that on synthetic_anomalies the VUS-PR of the
model is far above that of the best baseline. README.md has the results table.
Running the same command again continues an interrupted run, or prints the result of a finished one.
"""

import dataclasses

from rnn_jax.config import group
from rnn_jax.data.anomaly_config import AnomalyConfig
from rnn_jax.metrics.directions import MAXIMISE, MINIMISE
from rnn_jax.models.anomaly_config import DetectorConfig, WatcherConfig, WatchingConfig
from rnn_jax.models.recurrent_config import RecurrentConfig
from rnn_jax.training.app import run_app
from rnn_jax.training.optimizer_config import OptimizerConfig
from rnn_jax.training.run_config import RunConfig

EXPERIMENT = "anomaly"
METRICS = {"loss": MINIMISE} | dict.fromkeys(
    ("vus_pr", "auc_pr", "range_f1", "affiliation_f1", "span_f1", "nab_standard"), MAXIMISE
)


@dataclasses.dataclass(frozen=True)
class Config:
    """Every knob of this experiment."""

    data: AnomalyConfig = group(AnomalyConfig, "data")
    encoder: RecurrentConfig = group(RecurrentConfig, "model", cell=("gru",), hidden_size=(64,))
    model: WatcherConfig = group(WatcherConfig, "model")
    detector: DetectorConfig = group(DetectorConfig, "scoring")
    answers: WatchingConfig = group(WatchingConfig, "answers")
    optimizer: OptimizerConfig = group(
        OptimizerConfig, "optimiser", learning_rate=1e-2, schedule="cosine", clip_global_norm=1.0
    )
    run: RunConfig = group(RunConfig, "run", num_epochs=50)


def task():
    """The task; it takes seconds to import what it computes with."""
    from experiments.tasks.anomaly import TASK

    return TASK


if __name__ == "__main__":
    run_app(task, Config, EXPERIMENT)
