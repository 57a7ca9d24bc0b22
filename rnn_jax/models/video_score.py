"""How good predicted frames are, beside what is known without a model."""

from typing import Any, NamedTuple

import jax
import numpy as np

from rnn_jax.data.video.codec import VideoCodec
from rnn_jax.data.video.parts import VideoPart
from rnn_jax.models.apply import Apply
from rnn_jax.models.video_predictor import VideoPredictor
from rnn_jax.types import Array

MODEL = "model"


class VideoScores(NamedTuple):
    """Squared errors of frames, summed over pixels in 0 … 1: the mean over clips, of each step ahead (T,).

    errors: by predictor, the model first. loss: of what training minimises.
    """

    errors: dict[str, np.ndarray]
    loss: float

    def summary(self) -> dict[str, float]:
        """squared_error, the mean over steps, and that of every baseline; loss."""
        means = {name: float(values.mean()) for name, values in self.errors.items()}
        others = {f"squared_error_{name}": mean for name, mean in means.items() if name != MODEL}
        return {"squared_error": means[MODEL], "loss": self.loss} | others


def judge(model: VideoPredictor, batch: dict[str, Array], *, num_future: int) -> Any:
    """The predicted frames (B, T, H, W, C), and the loss and its weight."""
    return model.predict(batch["frames"], num_future), *model.loss(batch["frames"], batch["weights"])


def predict(model: VideoPredictor, frames: Array, *, num_future: int) -> Array:
    """The frames that follow, (B, T, H, W, C)."""
    return model.predict(frames, num_future)


def baselines(codec: VideoCodec, context: np.ndarray) -> dict[str, np.ndarray]:
    """What needs no model, as frames that are broadcast to (B, T, H, W, C); context (B, S, H, W, C) in 0 … 1.

    zeros; mean_frame: of the training part; mean_context: of the frames that are read; copy_last: the last of them.
    """
    return {
        "zeros": np.zeros(1),
        "mean_frame": codec.mean_frame,
        "mean_context": context.mean(axis=1, keepdims=True),
        "copy_last": context[:, -1:],
    }


def score_part(apply: Apply, part: VideoPart, batch_size: int, *, with_baselines: bool) -> VideoScores:
    """Every clip once. A prediction that is no number makes the model's error NaN: nothing is left out of it."""
    codec, loss = part.codec, np.zeros(2)
    sums: dict[str, np.ndarray] = {}
    for real, batch in part.batches(batch_size):
        found, total, weight = jax.device_get(apply(judge, batch, num_future=codec.num_future))
        loss += total, weight
        frames = batch["frames"][:real].astype(np.float64) / codec.divisor
        context, truth = np.split(frames, [codec.num_context], axis=1)
        others = baselines(codec, context) if with_baselines else {}
        for name, predicted in ({MODEL: found[:real]} | others).items():
            errors = np.square(predicted - truth).sum(axis=(0, 2, 3, 4))
            sums[name] = sums.get(name, np.zeros(codec.num_future)) + errors
    count = len(part.clips.frames)
    return VideoScores({name: total / count for name, total in sums.items()}, float(loss[0] / loss[1]))
