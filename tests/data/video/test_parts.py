"""Clips of videos: what is read of datasets and files, how it is cut, and what is refused."""

import dataclasses

import numpy as np
import pytest

from rnn_jax.data.video.clips import Clips, cut
from rnn_jax.data.video.codec import fit_video_codec
from rnn_jax.data.video.parts import VideoPart, read_video_part, read_videos
from rnn_jax.data.video.reading import read_array
from rnn_jax.data.video_config import VideoConfig
from rnn_jax.errors import UserError

SOME = VideoConfig(train_split="train[:20]", test_split="test[:5]", batch_size=4)


def numbered(*lengths, shape=(2, 2, 1)):
    """Videos whose frames hold their numbers."""
    frames = np.arange(sum(lengths), dtype=np.uint8).reshape(-1, 1, 1, 1) * np.ones(shape, np.uint8)
    return np.split(frames, np.cumsum(lengths)[:-1])


def save(path, array):
    np.save(path, array)
    return str(path)


def test_long_videos_are_cut_end_to_end():
    clips = cut("some", numbered(3, 7), 3)
    np.testing.assert_array_equal(clips.frames[..., 0, 0, 0], [[0, 1, 2], [3, 4, 5], [6, 7, 8], [7, 8, 9]])
    np.testing.assert_array_equal(clips.take([3]).frames[0, :, 1, 1, 0], [7, 8, 9])


@pytest.mark.parametrize(
    ("videos", "words"),
    [
        (numbered(4, 2), "some: video 1 has 2 frames, and 3 .*--num_future_frames"),
        ([*numbered(3), *numbered(3, shape=(2, 3, 1))], "video 1 has frames of .2, 3, 1"),
    ],
)
def test_videos_that_cannot_be_cut(videos, words):
    with pytest.raises(UserError, match=words):
        cut("some", videos, 3)


def test_the_embedded_dataset_in_parts():
    data = read_videos(SOME, 0, None)
    assert {name: len(part.clips.frames) for name, part in data.parts.items()} == {"validation": 64, "test": 5}
    assert data.codec.frame == (16, 16, 1) and data.codec.divisor == 255
    train = data.train_part().clips.frames
    np.testing.assert_allclose(data.codec.mean_frame, train.reshape(-1, 16, 16, 1).mean(axis=0) / 255, rtol=1e-5)
    source = data.train()
    assert source.steps_per_epoch == 5 and source.batch(0)["frames"].shape == (4, 20, 16, 16, 1)
    alone = read_video_part(SOME, data.codec, "test[:5]")
    np.testing.assert_array_equal(alone.clips.frames, data.parts["test"].clips.frames)


def test_the_last_batch_is_filled():
    data = read_videos(SOME, 0, None)
    part = data.parts["test"]
    (first, _), (rest, batch) = part.batches(4)
    assert (first, rest) == (4, 1) and batch["weights"].tolist() == [1, 0, 0, 0]
    np.testing.assert_array_equal(batch["frames"][0], part.clips.frames[4])
    assert not batch["frames"][1:].any()


def test_videos_of_users_files(tmp_path):
    rng = np.random.default_rng(0)
    videos = rng.random((10, 4, 6, 6)).astype(np.float32)
    path = save(tmp_path / "videos.npy", videos)
    config = VideoConfig(train_file=path, num_context_frames=2, num_future_frames=2)
    data = read_videos(config, 0, None)
    assert data.codec.frame == (6, 6, 1) and data.codec.dtype == "float32" and data.codec.divisor == 1
    assert len(data.parts["validation"].clips.frames) == 1 and len(data.train_part().clips.frames) == 9
    colours = save(tmp_path / "colours.npy", rng.integers(0, 9, (3, 5, 4, 4, 3)))
    assert read_array(colours).shape == (3, 5, 4, 4, 3)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 6, 6), np.uint8), r"\(videos, frames, height, width\).*uint8 of \(4, 6, 6\)"),
        (np.full((3, 4, 6, 6), "a"), "numbers of the shape"),
        (np.full((3, 4, 6, 6), 3.5), "3.5 .*--largest_value"),
        (np.full((3, 4, 6, 6), np.nan), "missing"),
        (np.full((3, 4, 6, 6), -1), "-1 … -1"),
    ],
)
def test_arrays_that_are_refused(array, words, tmp_path):
    config = VideoConfig(train_file=save(tmp_path / "videos.npy", array), num_context_frames=2, num_future_frames=2)
    with pytest.raises(UserError, match=words):
        read_videos(config, 0, None)


def test_what_becomes_1_can_be_said(tmp_path):
    config = VideoConfig(
        train_file=save(tmp_path / "videos.npy", np.ones((9, 4, 2, 2), np.uint8)), num_context_frames=2,
        num_future_frames=2,
    )  # fmt: skip
    data = read_videos(config, 0, None)
    assert data.codec.divisor == 255 and "--largest_value=1" in data.notes[-2]
    data = read_videos(dataclasses.replace(config, largest_value=1.0), 0, None)
    np.testing.assert_array_equal(data.codec.mean_frame, np.ones((2, 2, 1)))


def test_predictions_come_back_in_units():
    train = Clips("some", np.full((1, 4, 2, 2, 1), 255, np.uint8))
    codec = fit_video_codec(train, 2, 2, 0.0)
    np.testing.assert_array_equal(codec.in_units(np.array([0.0, 0.5, 1.0])), np.array([0, 128, 255], np.uint8))


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (np.zeros((1, 4, 2, 3, 1), np.uint8), "2 × 3 × 1, and the model reads 2 × 2 × 1"),
        (np.zeros((1, 4, 2, 2, 1), np.float32), "float32, and those trained on uint8"),
    ],
)
def test_parts_of_another_form(frames, words):
    codec = fit_video_codec(Clips("some", np.zeros((1, 4, 2, 2, 1), np.uint8)), 2, 2, 0.0)
    with pytest.raises(UserError, match=words):
        codec.require_same(frames, "other")
    assert VideoPart(Clips("other", frames), codec).name == "other"
