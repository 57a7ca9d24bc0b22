"""The TFDS dataset `synthetic_videos`: small shapes that bounce in a square."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from rnn_jax.data.video.bouncing import BouncingImages

SIDE, SHAPE, FRAMES = 16, 6, 20
_VIDEOS = {"train": 400, "validation": 64, "test": 100}
_OBJECTS = 2


class SyntheticVideos(tfds.core.GeneratorBasedBuilder):
    """Videos of 20 frames, 16 × 16 pixels: two of four shapes, a ring, a cross, a square and a triangle, that bounce.

    They move as the digits of Moving MNIST do (`data.video.bouncing`), a pixel a frame.
    """

    VERSION = tfds.core.Version("1.0.0")  # Prepared folders are found by it: values that change need a new one.

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Two small shapes that bounce in a square.",
            features=tfds.features.FeaturesDict(
                {"video": tfds.features.Tensor(shape=(FRAMES, SIDE, SIDE), dtype=np.uint8)}
            ),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager  # Nothing is downloaded.
        return {split: self._generate_examples(number, split) for number, split in enumerate(_VIDEOS)}

    def _generate_examples(self, seed: int, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        size = {"num_objects": _OBJECTS, "num_frames": FRAMES, "canvas_size": SIDE}
        videos = BouncingImages(shapes(), _VIDEOS[split], seed=seed, **size).batch(0)["frames"]
        for number, video in enumerate(videos[..., 0]):
            yield number, {"video": video}


def shapes() -> np.ndarray:
    """The four shapes (4, 6, 6, 1)."""
    y, x = np.mgrid[:SHAPE, :SHAPE] - (SHAPE - 1) / 2
    distance = np.hypot(y, x)
    drawn = [(distance > 1.5) & (distance < 3), np.minimum(abs(x), abs(y)) < 1, np.maximum(abs(x), abs(y)) < 2, x <= y]
    return (255 * np.stack(drawn)).astype(np.uint8)[..., None]
