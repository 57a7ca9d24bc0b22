"""Frames of a video → the frames that come next."""

from collections.abc import Iterable, Iterator
from typing import Any

import jax
from flax import nnx

from experiments.video import EXPERIMENT, METRICS, Config
from rnn_jax.data.parts import Data
from rnn_jax.data.video.codec import VideoCodec
from rnn_jax.data.video.parts import VideoPart, read_video_part, read_videos
from rnn_jax.models.make_video_predictor import make_image_stack, make_video_predictor
from rnn_jax.models.video_answers import answers, drawn_clips
from rnn_jax.models.video_predictor import VideoPredictor
from rnn_jax.models.video_report import report, verdict
from rnn_jax.models.video_score import VideoScores, score_part
from rnn_jax.training.forecast_plots import plot_steps_ahead
from rnn_jax.training.run import Run
from rnn_jax.training.task import Scored, Sums, Task, Trained
from rnn_jax.training.video_plots import plot_clips

_DRAWN = 4  # clips


def read(config: Config, known: VideoCodec | None) -> Data:
    return read_videos(config.data, config.run.seed, known)


def read_part(config: Config, codec: VideoCodec, name: str) -> VideoPart:
    return read_video_part(config.data, codec, name)


def make_model(config: Config, codec: VideoCodec, rngs: nnx.Rngs) -> VideoPredictor:
    return make_video_predictor(config.model, codec, rngs)


def loss(model: VideoPredictor, batch: dict[str, jax.Array], carry: Any, key: jax.Array) -> tuple[Sums, Any]:
    """Nats, or the squared error, a pixel."""
    return {"loss": model.loss(batch["frames"], batch["weights"], key)}, carry


def score(trained: Trained, part: VideoPart) -> Scored:
    """Every clip once, beside the baselines in the final score."""
    scores = score_part(trained, part, trained.config.model.score_batch_size, with_baselines=trained.is_final)
    return Scored(scores.summary(), scores)


def answer(trained: Trained, inputs: Iterable[str]) -> Iterator[dict]:
    """The frames that follow the videos in each file, written beside it."""
    return answers(trained, trained.codec, trained.config.model.score_batch_size, inputs)


def illustrate(trained: Trained, name: str, part: VideoPart, scores: VideoScores, run: Run) -> None:
    run.say(verdict(part.name, scores))
    run.write(f"report_{name}.md", report(part, scores))
    run.draw(plot_clips, drawn_clips(trained, part, _DRAWN), f"frames_{name}.png")
    run.draw(plot_steps_ahead, scores.errors, "squared error of a frame", f"steps_ahead_{name}.png")


TASK = Task(
    EXPERIMENT, Config, VideoCodec, METRICS, read, make_model, loss, score, answer,
    check=lambda config: make_image_stack(config.model, (1, 1)), read_part=read_part, illustrate=illustrate,
    unit="clips",
)  # fmt: skip
