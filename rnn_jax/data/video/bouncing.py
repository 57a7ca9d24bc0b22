"""Videos made of images that bounce in a square, as Moving MNIST is (Srivastava et al. 2015, and their code).

With the room s = side − size of the image, all objects at once, position p and direction v in both axes:

p_0 ~ U[0, 1)²,  v_0 = (sin θ, cos θ), θ ~ U[0, 2π)
p_t = p_{t−1} + 0.1 v,  and where it leaves [0, 1] it stops at the edge and that part of v turns round
the image lies at ⌊s p_t⌋, t = 1 … T; where two overlap, the larger value is seen
"""

import math

import numpy as np

from rnn_jax.data.batching import permutation, uniform
from rnn_jax.data.digest import digest_of
from rnn_jax.data.sources import Batch
from rnn_jax.errors import UserError

_STEP = 0.1  # of the room, a frame
_IMAGES, _PATHS = 0, 1  # streams of a seed


class BouncingImages:
    """Videos without end: batch(step) is a pure function of (seed, step).

    images (n, H, W, C). An epoch is as many videos as show every image once: n / num_objects. In each epoch the images
    come in a new order.

    Raises:
      UserError: an image that does not fit into the square; fewer images than a video has objects.
    """

    def __init__(
        self, images: np.ndarray, batch_size: int, *, num_objects: int, num_frames: int, canvas_size: int, seed: int
    ):
        if max(images.shape[1:3]) > canvas_size:
            raise UserError(f"--canvas_size={canvas_size}: images of {images.shape[1]} × {images.shape[2]} do not fit.")
        if len(images) < num_objects:
            raise UserError(f"--num_objects={num_objects}: there are {len(images)} images to take them from.")
        self._images, self._batch_size, self._num_objects = images, batch_size, num_objects
        self._num_frames, self._canvas_size, self._seed = num_frames, canvas_size, seed
        self._epoch: tuple[int, np.ndarray] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """How many batches show every image once, but for a remainder."""
        return max(len(self._images) // (self._num_objects * self._batch_size), 1)

    def batch(self, step: int) -> Batch:
        """frames (B, T, side, side, C) of the images' dtype; weights (B,)."""
        rows = self._rows(step).reshape(self._batch_size, self._num_objects)
        drawn = uniform(3 * rows.size, self._seed, step, _PATHS).reshape(3, rows.size)
        room = np.array(self._canvas_size) - self._images.shape[1:3]
        places = np.floor(paths(drawn[:2].T, 2 * math.pi * drawn[2], self._num_frames) * room).astype(np.int64)
        frames = show(self._images, rows, places.reshape(*rows.shape, -1, 2), self._canvas_size)
        return {"frames": frames, "weights": np.ones(self._batch_size, np.float32)}

    def _rows(self, step: int) -> np.ndarray:
        count = self._batch_size * self._num_objects
        if count > len(self._images):  # an image may come twice in a batch
            return (uniform(count, self._seed, step, _IMAGES) * len(self._images)).astype(np.int64)
        epoch, number = divmod(step, self.steps_per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = epoch, permutation(len(self._images), self._seed, epoch, _IMAGES)
        return self._epoch[1][number * count : (number + 1) * count]

    def digest(self) -> str:
        """Of the images and of what is made of them."""
        return digest_of(self._images, np.array([self._num_objects, self._num_frames, self._canvas_size]))


def paths(start: np.ndarray, angles: np.ndarray, num_frames: int) -> np.ndarray:
    """Positions (n, T, 2) in [0, 1]² after each step from `start` (n, 2), in the directions of the angles (n,)."""
    position, direction = start.copy(), np.stack([np.sin(angles), np.cos(angles)], axis=1)
    found = np.empty((len(start), num_frames, 2))
    for step in range(num_frames):
        position = position + _STEP * direction
        direction = np.where((position <= 0) | (position >= 1), -direction, direction)
        position = np.clip(position, 0.0, 1.0)
        found[:, step] = position
    return found


def show(images: np.ndarray, rows: np.ndarray, places: np.ndarray, side: int) -> np.ndarray:
    """Videos (B, T, side, side, C) of the images rows (B, K), whose upper left corners are at places (B, K, T, 2)."""
    (height, width, channels), (batch, _, steps, _) = images.shape[1:], places.shape
    videos = np.zeros((batch, steps, side, side, channels), images.dtype)
    for (video, number), row in np.ndenumerate(rows):
        for step, (y, x) in enumerate(places[video, number]):
            part = videos[video, step, y : y + height, x : x + width]
            np.maximum(part, images[row], out=part)
    return videos
