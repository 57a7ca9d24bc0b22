"""Videos in files → the frames that come next, in files."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnn_jax.data.video.codec import VideoCodec
from rnn_jax.data.video.parts import VideoPart
from rnn_jax.data.video.reading import read_array, with_channels
from rnn_jax.errors import UserError
from rnn_jax.files import explain_write_errors
from rnn_jax.models.apply import Apply
from rnn_jax.models.video_score import predict

_ENDING = ".next.npy"


class DrawnClip(NamedTuple):
    """Frames (T, H, W, C) in 0 … 1: those that were read, those that came, and those that were predicted."""

    context: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray


def drawn_clips(apply: Apply, part: VideoPart, count: int) -> list[DrawnClip]:
    """The first clips of a part."""
    codec, frames = part.codec, part.clips.frames[:count]
    predicted = next_frames(apply, codec, frames[:, : codec.num_context], len(frames))
    split = np.split(frames / codec.divisor, [codec.num_context], axis=1)
    return [DrawnClip(*one) for one in zip(*split, predicted, strict=True)]


def next_frames(apply: Apply, codec: VideoCodec, context: np.ndarray, batch_size: int) -> np.ndarray:
    """Frames (n, T, H, W, C) in 0 … 1 that follow the context (n, S, H, W, C)."""
    found = []
    for first in range(0, len(context), batch_size):
        own = context[first : first + batch_size]
        filled = np.concatenate([own, np.zeros((batch_size - len(own), *own.shape[1:]), own.dtype)])
        found.append(np.asarray(apply(predict, filled, num_future=codec.num_future))[: len(own)])
    return np.concatenate(found)


def answers(apply: Apply, codec: VideoCodec, batch_size: int, paths: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Of each array of videos that a line names, the next frames of each: in a file beside it, whose name is said.

    The last frames of a video are read. What is written has the dtype and the axes of what was read.

    Raises:
      UserError: a file cannot be read, has other frames than the model's, or too few; none can be written beside it.
    """
    for path in (line.strip() for line in paths):
        given = read_array(path)
        videos = with_channels(given)
        codec.require_same(videos, path)
        if videos.shape[1] < codec.num_context:
            raise UserError(f"{path}: {videos.shape[1]} frames, and the model reads {codec.num_context}.")
        size = min(batch_size, len(videos))
        frames = codec.in_units(next_frames(apply, codec, videos[:, -codec.num_context :], size))
        written = Path(path).with_suffix(_ENDING)
        with explain_write_errors(written.parent):
            np.save(written, frames if given.ndim == videos.ndim else frames[..., 0])
        yield {"path": path, "frames": str(written), "videos": len(videos), "predicted": codec.num_future}
