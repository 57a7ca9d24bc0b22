r"""The frames that come next in a video: ConvLSTMs that read some frames and predict as many more.

    ./launch.sh video                                       # embedded synthetic videos, about a minute
    ./launch.sh video --flagfile=experiments/recipes/moving_mnist.flags --data_dir=DIR --workdir=runs/moving_mnist
    ./launch.sh video --train_file=clips.npy --largest_value=1 --workdir=runs/mine
    echo clips.npy | ./launch.sh video --mode=predict --workdir=runs/mine

The report's first line says whether a baseline wins: no pixel at all, the mean frame, the last frame. On
synthetic_videos expect a squared error of 23 a frame, where the mean frame has 30. README.md has the results table.
Running the same command again continues an interrupted run, or prints the result of a finished one.
"""

import dataclasses

from rnn_jax.config import group
from rnn_jax.data.video_config import VideoConfig
from rnn_jax.metrics.directions import MINIMISE
from rnn_jax.models.video_config import VideoModelConfig
from rnn_jax.training.app import run_app
from rnn_jax.training.optimizer_config import OptimizerConfig
from rnn_jax.training.run_config import RunConfig

EXPERIMENT = "video"
METRICS = dict.fromkeys(("squared_error", "loss"), MINIMISE)


@dataclasses.dataclass(frozen=True)
class Config:
    """Every knob of this experiment."""

    data: VideoConfig = group(VideoConfig, "data")
    model: VideoModelConfig = group(VideoModelConfig, "model", hidden_size=(32,), patch_size=2, shared_weights=True)
    optimizer: OptimizerConfig = group(
        OptimizerConfig, "optimiser", learning_rate=3e-3, schedule="cosine", clip_global_norm=1.0
    )
    run: RunConfig = group(RunConfig, "run", num_epochs=12)


def task():
    """The task; it takes seconds to import what it computes with."""
    from experiments.tasks.video import TASK

    return TASK


if __name__ == "__main__":
    run_app(task, Config, EXPERIMENT)
