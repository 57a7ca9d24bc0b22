r"""Labels for signals: sequences of numbers, images, sound, frames of video.

    ./launch.sh signals                                     # embedded synthetic chirps, about a minute
    ./launch.sh signals --flagfile=experiments/recipes/hapt.flags --data_dir=DIR --workdir=runs/hapt
    ./launch.sh signals --dataset=ucr/gun_point --data_dir=DIR --workdir=runs/gun
    ./launch.sh signals --train_file=steps.csv --id_field=id --label_field=label --workdir=runs/mine
    ./launch.sh signals --train_file=sounds/ --front_end=log_mel --workdir=runs/sounds
    echo one.wav | ./launch.sh signals --mode=predict --workdir=runs/sounds [--stream_every=800]

Expect test/accuracy above 0.9 on synthetic_signals (statistics of a signal do not tell its classes apart: 0.25).
Running the same command again continues an interrupted run, or prints the result of a finished one.
"""

import dataclasses

from rnn_jax.config import group
from rnn_jax.data.signals_config import FrontEndConfig, SignalConfig
from rnn_jax.metrics.directions import MAXIMISE, MINIMISE
from rnn_jax.models.recurrent_config import RecurrentConfig
from rnn_jax.models.signal_config import SignalModelConfig, StreamConfig
from rnn_jax.training.app import run_app
from rnn_jax.training.optimizer_config import OptimizerConfig
from rnn_jax.training.run_config import RunConfig

EXPERIMENT = "signals"
METRICS = {
    "accuracy": MAXIMISE,
    "loss": MINIMISE,
    "macro_f1": MAXIMISE,
    "balanced_accuracy": MAXIMISE,
    "recording_accuracy": MAXIMISE,
    "recording_vote_accuracy": MAXIMISE,
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Every knob of this experiment."""

    data: SignalConfig = group(SignalConfig, "data")
    front_end: FrontEndConfig = group(FrontEndConfig, "model")
    encoder: RecurrentConfig = group(RecurrentConfig, "model", hidden_size=(64,))
    model: SignalModelConfig = group(SignalModelConfig, "model", pooling="mean_max")
    answers: StreamConfig = group(StreamConfig, "answers")
    optimizer: OptimizerConfig = group(
        OptimizerConfig, "optimiser", learning_rate=4e-3, schedule="cosine", clip_global_norm=1.0
    )
    run: RunConfig = group(RunConfig, "run", num_epochs=8)


def task():
    """The task; it takes seconds to import what it computes with."""
    from experiments.tasks.signals import TASK

    return TASK


if __name__ == "__main__":
    run_app(task, Config, EXPERIMENT)
