"""Videos as batches to train on, and as parts to score: of a dataset, of files, or made of images that bounce."""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from rnn_jax.data.datasets import split_names
from rnn_jax.data.parts import Data, is_file, read_parts
from rnn_jax.data.sources import Batch, Rows, Source
from rnn_jax.data.video.bouncing import BouncingImages
from rnn_jax.data.video.clips import Clips
from rnn_jax.data.video.codec import VideoCodec, fit_video_codec
from rnn_jax.data.video.reading import read_clip_file, read_clip_split, read_images
from rnn_jax.data.video_config import VideoConfig
from rnn_jax.errors import UserError

_MADE_FOR_THE_MEAN = 256  # videos that the mean frame of made ones is taken of


class VideoPart(NamedTuple):
    """Clips, and the codec that says how many of their frames are read."""

    clips: Clips
    codec: VideoCodec

    @property
    def name(self) -> str:
        """Where the clips are from."""
        return self.clips.name

    def batches(self, batch_size: int) -> Iterator[tuple[int, Batch]]:
        """Every clip once, in order: (how many are real, a batch); the last one is filled with clips of weight 0."""
        frames = self.clips.frames
        size = min(batch_size, len(frames))
        for first in range(0, len(frames), size):
            own = frames[first : first + size]
            filled = np.zeros((size, *frames.shape[1:]), frames.dtype)
            filled[: len(own)] = own
            yield len(own), {"frames": filled, "weights": (np.arange(size) < len(own)).astype(np.float32)}


def read_videos(config: VideoConfig, seed: int, known: VideoCodec | None) -> Data:
    """Reads all parts, or the images that videos are made of; the codec is fitted on the training part.

    Raises:
      UserError: as `read_parts` and the readers; parts whose frames differ.
    """
    if config.objects_dataset:
        return _made(config, seed, known)
    read = read_parts(config, lambda path: read_clip_file(path, config), lambda split: read_clip_split(split, config))
    train, validation = read.train_and_validation(config.validation_fraction, seed)
    scored = {"validation": validation} | ({"test": read.test} if read.test else {})
    codec = known or _codec(config, train)
    source = functools.partial(Rows, {"frames": train.frames}, config.batch_size, seed=seed)
    intro = f"{train.name}: {len(train.frames):,} clips to train on, {len(validation.frames):,} to validate"
    return _data(codec, train, scored, source, (*read.notes, *_notes(train, codec)), intro)


def read_video_part(config: VideoConfig, codec: VideoCodec, name: str) -> VideoPart:
    """One file or split."""
    return _part(codec, read_clip_file(name, config) if is_file(name) else read_clip_split(name, config))


def _made(config: VideoConfig, seed: int, known: VideoCodec | None) -> Data:
    """Training videos made as they are needed; validation videos made of images that training does not see."""
    images = read_images(config)
    size = min(max(round(config.validation_fraction * len(images)), config.num_objects), len(images) - 1)
    if size < 1:
        raise UserError(f"{config.objects_dataset}: one image cannot be divided into training and validation images.")
    name = f"{config.objects_dataset} {config.objects_split}, bouncing"
    validation = _some(config, images[-size:], f"{name}, images kept apart", config.num_validation_videos)
    train = _some(config, images[:-size], name, _MADE_FOR_THE_MEAN)
    notes, scored = [], {"validation": validation}
    if config.test_file:
        scored["test"] = read_clip_file(config.test_file, config)
    elif config.test_split in (splits := split_names(config.dataset, config.data_dir)):
        scored["test"] = read_clip_split(config.test_split, config)
    else:
        notes.append(
            f"{config.dataset} has no split {config.test_split!r}: no test/… is reported; --test_split can be"
            f" {', '.join(splits)}."
        )
    codec = known or _codec(config, train)
    source = functools.partial(_bouncing, config, images[:-size], config.batch_size, seed)
    intro = f"{name}: {len(images) - size:,} images move in training, {size:,} others to validate"
    return _data(codec, train, scored, source, tuple(notes), intro)


def _some(config: VideoConfig, images: np.ndarray, name: str, count: int) -> Clips:
    """Made videos that are the same for every seed of a run."""
    return Clips(name, _bouncing(config, images, count, 0).batch(0)["frames"])


def _bouncing(config: VideoConfig, images: np.ndarray, batch_size: int, seed: int) -> BouncingImages:
    return BouncingImages(
        images, batch_size, num_objects=config.num_objects, canvas_size=config.canvas_size, seed=seed,
        num_frames=config.num_context_frames + config.num_future_frames,
    )  # fmt: skip


def _codec(config: VideoConfig, train: Clips) -> VideoCodec:
    return fit_video_codec(train, config.num_context_frames, config.num_future_frames, config.largest_value)


def _data(
    codec: VideoCodec,
    train: Clips,
    scored: dict[str, Clips],
    source: Callable[[], Source],
    notes: tuple[str, ...],
    intro: str,
) -> Data:
    parts = {name: _part(codec, clips) for name, clips in scored.items()}
    shape = " × ".join(map(str, codec.frame))
    said = f"{intro}; frames of {shape}, {codec.num_context} to read and {codec.num_future} to predict."
    return Data(source, parts, codec, (*notes, said), train_part=lambda: _part(codec, train))


def _part(codec: VideoCodec, clips: Clips) -> VideoPart:
    codec.require_same(clips.frames, clips.name)
    return VideoPart(clips, codec)


def _notes(train: Clips, codec: VideoCodec) -> Iterator[str]:
    if codec.divisor > 1 and train.frames.max() <= 1:
        yield f"{train.name}: no pixel is above 1. If these are frames of two values, give --largest_value=1."
