"""The knobs of where videos come from, or how they are made of the images of a dataset, and how they are cut."""

import dataclasses

from rnn_jax.config import GIVEN, NOT_GIVEN, knob, when
from rnn_jax.data.parts_config import PartsConfig

NOT_MADE = when(train_file=NOT_GIVEN, objects_dataset=NOT_GIVEN)
MADE = when(objects_dataset=GIVEN)


@dataclasses.dataclass(frozen=True)
class VideoConfig(PartsConfig):
    """Where videos come from, and how they are cut."""

    dataset: str = knob(
        "synthetic_videos",
        "TFDS name with one video of a fixed frame, as moving_mnist/two_digits; embedded: synthetic_videos",
        only_if=when(train_file=NOT_GIVEN),
        short=True,
    )
    train_split: str = knob("train", "split to train on, slices such as train[:10%] included", only_if=NOT_MADE)
    validation_split: str = knob(
        "",
        "split that chooses the checkpoint (default: the data's, else cut from train)",
        only_if=when(train_file=NOT_GIVEN, validation_file=NOT_GIVEN, objects_dataset=NOT_GIVEN),
    )
    train_file: str = knob(
        "", "array of videos (.npy: (N, T, H, W) or (N, T, H, W, C)) to train on, instead of --dataset", short=True,
        only_if=when(objects_dataset=NOT_GIVEN),
    )  # fmt: skip
    validation_file: str = knob(
        "", "array of videos that chooses the checkpoint (default: cut from --train_file)",
        only_if=when(objects_dataset=NOT_GIVEN),
    )  # fmt: skip
    test_file: str = knob("", "array of videos to score once at the end", short=True)
    video_field: str = knob("", "feature with the video (default: the only one that fits)")
    num_context_frames: int = knob(10, "frames that are read", minimum=2, short=True)
    num_future_frames: int = knob(10, "frames that are predicted after them", minimum=1, short=True)
    largest_value: float = knob(
        0.0, "of a pixel, which becomes 1 (0 = the largest integer of the type; 1 for real numbers)", minimum=0.0
    )
    objects_dataset: str = knob(
        "",
        "TFDS name with one image, as mnist: train on videos made of its training images, which bounce in a square"
        " (Srivastava et al. 2015); --dataset gives the test part alone",
        short=True,
    )
    objects_split: str = knob("train", "split with the images that move", only_if=MADE)
    image_field: str = knob("", "feature with the image that moves (default: the only one that fits)", only_if=MADE)
    num_objects: int = knob(2, "images that move in a video", minimum=1, only_if=MADE)
    canvas_size: int = knob(64, "side of the square that they move in, in pixels", minimum=2, only_if=MADE)
    num_validation_videos: int = knob(
        200, "made of the images that --validation_fraction keeps apart", minimum=1, only_if=MADE
    )
    batch_size: int = knob(16, "videos in a batch", minimum=1, short=True)
