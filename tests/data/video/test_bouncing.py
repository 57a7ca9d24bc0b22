"""Images that bounce, against a loop as their authors wrote it, one object and one axis at a time."""

import numpy as np
import pytest

from rnn_jax.data.synthetic.videos import shapes
from rnn_jax.data.video.bouncing import BouncingImages, paths, show
from rnn_jax.errors import UserError


def made(batch_size=3, seed=0, num_objects=2, images=None):
    images = np.concatenate([shapes()] * 5) if images is None else images
    size = {"num_objects": num_objects, "num_frames": 7, "canvas_size": 12}
    return BouncingImages(images, batch_size, seed=seed, **size)


def trajectory(start, direction, num_frames):
    """One coordinate, as in GetRandomTrajectory of Srivastava et al. (2015)."""
    found = []
    for _ in range(num_frames):
        start += direction * 0.1
        if start <= 0:
            start, direction = 0.0, -direction
        if start >= 1.0:
            start, direction = 1.0, -direction
        found.append(start)
    return found


def test_paths_follow_the_published_rule():
    rng = np.random.default_rng(0)
    start, angles = rng.random((20, 2)), 2 * np.pi * rng.random(20)
    found = paths(start, angles, 40)
    for one, (y, x), angle in zip(found, start, angles, strict=True):
        np.testing.assert_allclose(one[:, 0], trajectory(y, np.sin(angle), 40), atol=1e-12)
        np.testing.assert_allclose(one[:, 1], trajectory(x, np.cos(angle), 40), atol=1e-12)
    assert {0.0, 1.0} <= set(found.ravel())  # some were at the edges


def test_a_path_by_hand():
    """Straight down from 0.75: 0.85, 0.95, then it stops at 1 and comes back."""
    np.testing.assert_allclose(
        paths(np.array([[0.75, 0.5]]), np.array([np.pi / 2]), 5)[0, :, 0], [0.85, 0.95, 1, 0.9, 0.8]
    )


def test_the_larger_value_is_seen():
    images = np.array([[[1, 1], [1, 1]], [[3, 0], [0, 3]]], np.uint8)[..., None]
    (video,) = show(images, np.array([[0, 1]]), np.array([[[[0, 0]], [[1, 1]]]]), 3)
    np.testing.assert_array_equal(video[0, ..., 0], [[1, 1, 0], [1, 3, 0], [0, 0, 3]])


def test_a_batch_is_a_function_of_seed_and_step():
    one, other = made(), made()
    later = [one.batch(step)["frames"] for step in range(12)]  # over an epoch's end
    np.testing.assert_array_equal(other.batch(11)["frames"], later[11])
    np.testing.assert_array_equal(other.batch(2)["frames"], later[2])
    assert one.batch(0)["frames"].shape == (3, 7, 12, 12, 1) and one.batch(0)["frames"].dtype == np.uint8
    assert not np.array_equal(later[0], later[1]) and not np.array_equal(made(seed=1).batch(0)["frames"], later[0])
    assert one.digest() == made().digest() != made(num_objects=1).digest()


def test_an_epoch_shows_every_image_once():
    """Images of one pixel, each of another value, alone: the largest of a video says which it was."""
    images = np.arange(1, 13, dtype=np.uint8).reshape(12, 1, 1, 1)
    source = made(batch_size=4, num_objects=1, images=images)
    assert source.steps_per_epoch == 3
    orders = [
        [video.max() for step in epoch for video in source.batch(step)["frames"]] for epoch in ((0, 1, 2), (3, 4, 5))
    ]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(1, 13)) and orders[0] != orders[1]
    assert made(batch_size=20, num_objects=1, images=images).batch(0)["frames"].shape[0] == 20


@pytest.mark.parametrize(("fields", "words"), [({"canvas_size": 5}, "6 × 6"), ({"num_objects": 5}, "4 images")])
def test_what_cannot_be_made(fields, words):
    with pytest.raises(UserError, match=words):
        BouncingImages(shapes(), 1, **({"num_objects": 1, "num_frames": 2, "canvas_size": 8} | fields), seed=0)
