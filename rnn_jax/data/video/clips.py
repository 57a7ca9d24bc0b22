"""Clips: videos cut into pieces of so many frames, whatever they were read from."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rnn_jax.data.signals.sequences import Sequences
from rnn_jax.errors import UserError


class Clips(NamedTuple):
    """n clips of T frames: frames (n, T, H, W, C), as the data has them."""

    name: str
    frames: np.ndarray

    @property
    def num_examples(self) -> int:
        """How many clips."""
        return len(self.frames)

    def take(self, rows: Sequence[int] | np.ndarray) -> "Clips":
        """Those of these rows."""
        return self._replace(frames=self.frames[np.asarray(rows, np.int64)])


def cut(name: str, videos: Sequence[np.ndarray], num_frames: int) -> Clips:
    """Videos (T_i, H, W, C) in pieces of `num_frames` frames, end to end; the last piece of a video ends with it.

    Raises:
      UserError: a video is shorter; frames of different shapes.
    """
    for number, video in enumerate(videos):
        if len(video) < num_frames:
            raise UserError(
                f"{name}: video {number} has {len(video)} frames, and {num_frames} are read and predicted: give fewer"
                " with --num_context_frames and --num_future_frames, or leave it out."
            )
        if video.shape[1:] != videos[0].shape[1:]:
            raise UserError(
                f"{name}: video {number} has frames of {video.shape[1:]}, and the first of {videos[0].shape[1:]}: bring"
                " them to one shape first."
            )
    pieces, _ = Sequences.from_rows(videos).windows(num_frames, num_frames)
    return Clips(name, pieces.values[pieces.starts[:, None] + np.arange(num_frames)])
