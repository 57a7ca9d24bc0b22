"""What a model reads videos with: the form of a frame, what becomes 1, and the mean frame of the training part."""

import dataclasses

import numpy as np

from rnn_jax.data.codec import Codec
from rnn_jax.data.video.clips import Clips
from rnn_jax.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class VideoCodec(Codec):
    """frame: (H, W, C). dtype: of the data. divisor: the value that becomes 1. mean_frame: (H, W, C), in 0 … 1."""

    frame: tuple[int, ...]
    num_context: int
    num_future: int
    dtype: str
    divisor: float
    mean_frame: np.ndarray

    def require_same(self, frames: np.ndarray, name: str) -> None:
        """UserError where other data (…, H, W, C) has frames of another form, or values outside of 0 … divisor."""
        if frames.shape[-3:] != self.frame:
            raise UserError(
                f"{name}: frames of {_by(frames.shape[-3:])}, and the model reads {_by(self.frame)} (height × width ×"
                " channels)."
            )
        if (frames.dtype.kind == "f") != (np.dtype(self.dtype).kind == "f"):
            raise UserError(f"{name}: pixels are {frames.dtype}, and those trained on {self.dtype}: convert them.")
        require_range(frames, self.divisor, name)

    def in_units(self, frames: np.ndarray) -> np.ndarray:
        """Frames in 0 … 1 as the data has them: in its dtype, integers rounded."""
        values = frames * self.divisor
        return (np.rint(values) if np.dtype(self.dtype).kind in "iu" else values).astype(self.dtype)


def fit_video_codec(train: Clips, num_context: int, num_future: int, largest: float) -> VideoCodec:
    """The codec of the training clips, or of some of them.

    Raises:
      UserError: values outside of 0 … `largest`.
    """
    kind = train.frames.dtype
    divisor = largest or (1.0 if kind.kind == "f" else float(np.iinfo(kind).max))
    require_range(train.frames, divisor, train.name)
    mean = train.frames.mean(axis=(0, 1), dtype=np.float64) / divisor
    return VideoCodec(train.frames.shape[2:], num_context, num_future, str(kind), divisor, mean.astype(np.float32))


def require_range(frames: np.ndarray, divisor: float, name: str) -> None:
    """UserError where a pixel is missing, infinite, below 0 or above what becomes 1."""
    low, high = float(frames.min()), float(frames.max())
    if not (low >= 0 and high <= divisor):  # NaN as well
        raise UserError(
            f"{name}: pixels lie in {low:g} … {high:g}, and 0 … {divisor:g} become 0 … 1. Say with --largest_value what"
            " becomes 1; no pixel is negative, missing or infinite."
        )


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
