"""Splits of TFDS datasets and arrays in files → clips; the field is found by the types of features, never by a name."""

from typing import Any

import numpy as np
from etils import epy

from rnn_jax.data.compressed import ending
from rnn_jax.data.datasets import open_split, read_examples
from rnn_jax.data.fields import field_values, flat_features, pick_field
from rnn_jax.data.once import once
from rnn_jax.data.signals.from_dataset import COLOURS, holds_numbers, in_steps
from rnn_jax.data.video.clips import Clips, cut
from rnn_jax.data.video_config import VideoConfig
from rnn_jax.errors import UserError

with epy.lazy_imports():
    import tensorflow_datasets as tfds

_VIDEOS_AXES = 4  # of an array of grey videos (N, T, H, W)


@once
def read_clip_split(split: str, config: VideoConfig) -> Clips:
    """Reads a split of config.dataset.

    Raises:
      UserError: as `open_split`; no field or several hold a video (names the candidates); as `cut`.
    """
    source = open_split(config.dataset, split, config.data_dir)
    features = flat_features(source.dataset_info.features)
    candidates = [name for name, feature in features.items() if _is_video(feature)]
    field = pick_field(config.video_field, candidates, "video", config.dataset, features)
    videos = [in_steps(value, features[field]) for value in field_values(read_examples(source), field)]
    return cut(f"{config.dataset} {split}", videos, config.num_context_frames + config.num_future_frames)


@once
def read_images(config: VideoConfig) -> np.ndarray:
    """The images (n, H, W, C) of config.objects_dataset.

    Raises:
      UserError: as `open_split`; no field or several hold an image; images of different shapes.
    """
    source = open_split(config.objects_dataset, config.objects_split, config.data_dir)
    features = flat_features(source.dataset_info.features)
    candidates = [name for name, feature in features.items() if _is_image(feature)]
    field = pick_field(config.image_field, candidates, "image", config.objects_dataset, features)
    images = [np.asarray(value) for value in field_values(read_examples(source), field)]
    if len(shapes := {image.shape for image in images}) > 1:
        listed = ", ".join(map(str, sorted(shapes)[:4]))
        raise UserError(f"{config.objects_dataset}: images of different shapes, {listed}: bring them to one shape.")
    joined = np.stack(images)
    return joined[..., None] if joined.ndim < _VIDEOS_AXES else joined


def read_clip_file(path: str, config: VideoConfig) -> Clips:
    """Reads an array (N, T, H, W) or (N, T, H, W, C); errors as `read_array` and `cut`."""
    return cut(path, list(with_channels(read_array(path))), config.num_context_frames + config.num_future_frames)


def read_array(path: str) -> np.ndarray:
    """Videos (N, T, H, W, C), or grey ones (N, T, H, W), of a .npy file.

    Raises:
      UserError: no such file, or no array of numbers with four or five axes.
    """
    if ending(path) != ".npy":
        raise UserError(f"{path}: an array of videos is needed, in a file that ends in .npy (numpy.save).")
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"Cannot read the array {path}: {error}.") from error
    if array.ndim not in (_VIDEOS_AXES, _VIDEOS_AXES + 1) or array.dtype.kind not in "iufb" or not array.size:
        raise UserError(
            f"{path}: numbers of the shape (videos, frames, height, width) or (videos, frames, height, width, channels)"
            f" are needed; it holds {array.dtype} of {array.shape}."
        )
    return array.astype(np.float32) if array.dtype == bool else array


def with_channels(videos: np.ndarray) -> np.ndarray:
    """Videos (N, T, H, W, C)."""
    return videos[..., None] if videos.ndim == _VIDEOS_AXES else videos


def _is_video(feature: Any) -> bool:
    if isinstance(feature, tfds.features.Video):
        return True
    if isinstance(feature, tfds.features.Sequence):
        return _is_image(feature.feature)
    axes = len(feature.shape or ())
    return holds_numbers(feature) and (axes == 4 or (axes == 3 and feature.shape[-1] not in COLOURS))


def _is_image(feature: Any) -> bool:
    if isinstance(feature, tfds.features.Image):
        return True
    axes = len(feature.shape or ())
    return holds_numbers(feature) and (axes == 2 or (axes == 3 and feature.shape[-1] in COLOURS))
