"""The embedded videos: what a still picture knows of the frames to come is little."""

import numpy as np

from rnn_jax.data.synthetic.videos import FRAMES, SHAPE, SIDE, shapes
from rnn_jax.data.video.reading import read_clip_split
from rnn_jax.data.video_config import VideoConfig

FRAMES_OF_TEST = read_clip_split("test", VideoConfig()).frames[..., 0] / 255


def test_shapes_are_those_of_the_docstring():
    ring, cross, square, triangle = (shape[..., 0] > 0 for shape in shapes())
    assert not ring[2:4, 2:4].any() and ring[0, 2] and cross[2].all() and cross[:, 3].all() and not cross[0, 0]
    np.testing.assert_array_equal(square, np.pad(np.ones((4, 4), bool), 1))
    np.testing.assert_array_equal(triangle, np.tri(SHAPE, dtype=bool).T[::-1, ::-1])


def test_two_shapes_are_in_every_frame():
    assert FRAMES_OF_TEST.shape == (100, FRAMES, SIDE, SIDE) and set(np.unique(FRAMES_OF_TEST)) == {0, 1}
    sizes = sorted(int((shape > 0).sum()) for shape in shapes())
    counts = FRAMES_OF_TEST.sum(axis=(2, 3))
    assert sizes[0] <= counts.min() and counts.max() <= 2 * sizes[-1]


def test_the_last_frame_is_soon_worse_than_none():
    """Ten frames later it is no better than nothing, and one frame later it is."""
    future, last = FRAMES_OF_TEST[:, 10:], FRAMES_OF_TEST[:, 9:10]
    copied, none = (np.square(future - guess).sum(axis=(2, 3)).mean(axis=0) for guess in (last, 0))
    assert copied[0] < 0.7 * none[0] and copied[-1] > none[-1]
