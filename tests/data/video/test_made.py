"""Videos made of a dataset's images, beside a dataset that has a test part alone."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from data.builders import prepare

from rnn_jax.data.video.parts import read_videos
from rnn_jax.data.video_config import VideoConfig
from rnn_jax.errors import UserError

SIZE = {"num_context_frames": 3, "num_future_frames": 2, "canvas_size": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images that hold their number, and videos of the same square."""
    folder = tmp_path_factory.mktemp("tfds")
    images = [{"picture": np.full((4, 4, 1), i + 1, np.uint8), "label": i % 2} for i in range(30)]
    features = {
        "picture": tfds.features.Tensor(shape=(4, 4, 1), dtype=np.uint8),
        "label": tfds.features.ClassLabel(num_classes=2),
    }
    prepare(folder, "numbers", features, {"train": images})
    videos = [{"video": np.full((6, 8, 8), i, np.uint8), "labels": np.zeros(2, np.int64)} for i in range(3)]
    features = {
        "video": tfds.features.Tensor(shape=(6, 8, 8), dtype=np.uint8),
        "labels": tfds.features.Tensor(shape=(2,), dtype=np.int64),
    }
    prepare(folder, "moving", features, {"validation": videos})
    return str(folder)


def config(folder, **more):
    made = {"objects_dataset": "numbers", "num_validation_videos": 7, "batch_size": 5, "num_objects": 1}
    return VideoConfig(**({"dataset": "moving", "data_dir": folder, "test_split": "validation"} | SIZE | made | more))


def test_training_and_validation_move_other_images(folder):
    data = read_videos(config(folder), 0, None)
    assert data.parts["validation"].clips.frames.shape == (7, 5, 8, 8, 1)
    kept_apart = set(data.parts["validation"].clips.frames.max(axis=(1, 2, 3, 4)))
    source = data.train()
    seen = {clip.max() for step in range(source.steps_per_epoch) for clip in source.batch(step)["frames"]}
    assert len(seen) == 25 and 1 <= len(kept_apart) <= 3 and not seen & kept_apart
    assert len(data.parts["test"].clips.frames) == 6  # two pieces of each of three videos


def test_validation_videos_are_those_of_every_seed(folder):
    one, other = (read_videos(config(folder), seed, None) for seed in (0, 1))
    np.testing.assert_array_equal(*(data.parts["validation"].clips.frames for data in (one, other)))
    assert not np.array_equal(*(data.train().batch(0)["frames"] for data in (one, other)))


def test_a_test_part_that_is_not_there_is_said(folder):
    data = read_videos(config(folder, test_split="test"), 0, None)
    assert "test" not in data.parts and "--test_split can be validation" in data.notes[0]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"canvas_size": 9}, "moving validation: frames of 8 × 8 × 1, and the model reads 9 × 9 × 1"),
        ({"objects_dataset": "moving", "objects_split": "validation"}, "no field can be the image"),
        ({"image_field": "label"}, "no image field 'label'; --image_field can be: picture"),
        ({"num_objects": 31}, "num_objects=31"),
    ],
)
def test_what_is_refused(folder, more, words):
    with pytest.raises(UserError, match=words):
        read_videos(config(folder, **more), 0, None)
