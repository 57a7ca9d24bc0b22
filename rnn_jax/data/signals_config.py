"""The knobs of where labelled signals come from, how they are cut and scaled, and how they become steps."""

import dataclasses

from rnn_jax.config import ABOVE_ZERO, GIVEN, knob, when
from rnn_jax.data.parts_config import NO_FILE, PartsConfig

SCALINGS = ("standard", "sequence", "none")
MISSING = ("refuse", "hold")
CLASS_WEIGHTS = ("none", "square_root", "balanced")
IMAGE_ORDERS = ("rows", "pixels", "patches")
FRONT_ENDS = ("none", *IMAGE_ORDERS, "frames", "log_mel")
WITH_LOG_MEL = when(front_end="log_mel")


@dataclasses.dataclass(frozen=True)
class SignalConfig(PartsConfig):
    """Where labelled signals come from, and what a batch of them is."""

    dataset: str = knob(
        "synthetic_signals",
        "TFDS name with one signal (numbers in time, image, audio, video) and one class label, as mnist; embedded:"
        " synthetic_signals",
        only_if=NO_FILE,
        short=True,
    )
    train_file: str = knob(
        "",
        "to train on, instead of --dataset: a long table (CSV, TSV, Parquet: a row a step), a table of WAV files with"
        " their labels (columns path, label), or a folder with a folder of WAV files for each label",
        short=True,
    )
    signal_field: tuple[str, ...] = knob(
        (), "feature with the signal, or columns of a table (default: the only one that fits; all that hold numbers)"
    )
    label_field: str = knob("", "feature or column with the label (default: the only class label; label)")
    id_field: str = knob("id", "column of a long table that says which sequence a row belongs to")
    group_field: str = knob(
        "", "feature or column of who or what was recorded: validation gets whole groups, and leaks are told of"
    )
    static_fields: tuple[str, ...] = knob((), "features or columns with one number a sequence, joined at the head")
    static_by_group: bool = knob(
        False,
        "beside each static feature, its ratio to its mean over the group",
        only_if=when(group_field=GIVEN, static_fields=GIVEN),
    )
    sample_rate: float = knob(0.0, "of sound, in hertz (0 = as the data says)", minimum=0.0)
    window: int = knob(0, "cut longer recordings into windows of so many steps (0 = off)", minimum=0, short=True)
    window_step: int = knob(
        0, "steps from one window to the next (0 = half a window)", minimum=0, only_if=when(window=ABOVE_ZERO)
    )
    missing: str = knob(
        "refuse", "missing values: refuse them, or hold the last known one", choices=MISSING, short=True
    )
    scaling: str = knob(
        "standard",
        "each channel to mean 0 and deviation 1: over the training part, or each sequence by itself; none: integers"
        " become fractions of their range, real numbers stay",
        choices=SCALINGS,
        short=True,
    )
    class_weights: str = knob(
        "none",
        "weight of each example in the loss; balanced: classes weigh the same in all; square_root: each as the root of "
        "its size, in between",
        choices=CLASS_WEIGHTS,
    )
    balanced_batches: bool = knob(
        False, "draw as many examples of each class", only_if=when(class_weights="none"), short=True
    )
    batch_size: int = knob(64, "sequences in a batch", minimum=1, short=True)
    num_buckets: int = knob(6, "lengths that batches are padded to; each is compiled once", minimum=1)


@dataclasses.dataclass(frozen=True)
class FrontEndConfig:
    """How a signal becomes a sequence of vectors."""

    front_end: str = knob(
        "none",
        "none: the numbers of a step; rows, pixels, patches: of an image; frames: a small 2-D convolution of each frame"
        " of a video; log_mel: spectrogram of sound",
        choices=FRONT_ENDS,
        short=True,
    )
    patch_size: int = knob(4, "side of a patch, in pixels", minimum=1, only_if=when(front_end="patches"))
    permute: int = knob(
        0,
        "order of the rows, pixels or patches: 0 as they are, else a permutation drawn by this seed",
        minimum=0,
        only_if=when(front_end=IMAGE_ORDERS),
    )
    frame_sizes: tuple[int, ...] = knob(
        (16, 32), "features of each 3×3 convolution of a frame; each halves its sides", minimum=1,
        only_if=when(front_end="frames"),
    )  # fmt: skip
    num_mels: int = knob(40, "bands of the spectrogram", minimum=1, only_if=WITH_LOG_MEL)
    mel_window_ms: float = knob(25.0, "window of the spectrogram", above=0.0, only_if=WITH_LOG_MEL)
    mel_hop_ms: float = knob(10.0, "from one window to the next", above=0.0, only_if=WITH_LOG_MEL)
