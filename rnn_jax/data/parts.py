"""The training, validation and test parts of a dataset, each from a split or from a file; what a task makes of them."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np

from rnn_jax.data.batching import permutation
from rnn_jax.data.codec import Codec
from rnn_jax.data.datasets import split_names, splits_overlap
from rnn_jax.data.memory import require_memory
from rnn_jax.data.parts_config import PartsConfig
from rnn_jax.data.sources import Source
from rnn_jax.errors import UserError

PyTree = Any
_PARTS = ("train", "validation", "test")
_VALIDATION_SPLITS = ("validation", "dev", "valid")


@runtime_checkable
class Part(Protocol):
    """Labelled examples and the name of where they came from."""

    @property
    def name(self) -> str:
        """A file, or dataset and split."""

    @property
    def num_examples(self) -> int:
        """How many have labels."""

    def take(self, rows: Sequence[int] | np.ndarray) -> Any:
        """The part that has only these rows."""


P = TypeVar("P", bound=Part)


@dataclasses.dataclass(frozen=True)
class Parts(Generic[P]):
    """The parts as the data has them; None where it lacks one with labels. `notes` are worth telling the user."""

    train: P
    validation: P | None
    test: P | None
    notes: tuple[str, ...]

    def train_and_validation(self, fraction: float, seed: int) -> tuple[P, P]:
        """Both parts; where the data has no validation part, a random fraction of the training part is cut off for it.

        Raises:
          UserError: nothing can be cut off.
        """
        return (self.train, self.validation) if self.validation else _cut(self.train, fraction, seed)


def read_parts(config: PartsConfig, read_file: Callable[[str], P], read_split: Callable[[str], P]) -> Parts[P]:
    """Reads each part from its file if one is given, else from the dataset.

    A train_file leaves the dataset out altogether. The validation split, unless named, is the one called validation,
    dev or valid, if there is one that shares nothing with the others.

    Raises:
      UserError: as `open_split` and the readers; nothing with labels to train on or to validate with; more than the
        machine's memory.
    """
    files = {"train": config.train_file, "validation": config.validation_file, "test": config.test_file}
    splits = _choose_splits(config, files)
    require_memory(filter(None, files.values()), config.dataset, filter(None, splits.values()), config.data_dir)
    train, validation, test = (
        read_file(files[part]) if files[part] else read_split(splits[part]) if splits[part] else None
        for part in ("train", "validation", "test")
    )
    if train is None or not train.num_examples:
        name = train.name if train else config.dataset
        raise UserError(f"{name}: no example has a label or target, so there is nothing to train on.")
    if validation is not None and not validation.num_examples:
        raise UserError(f"{validation.name}: no example has a label or target; choose another --validation_split.")
    notes = list(_overlap_notes(config, splits))
    if test is None:
        notes.insert(0, f"{config.train_file or config.dataset} comes without a test part: no test/… is reported.")
    elif not test.num_examples:
        notes.insert(0, f"The labels of {test.name} are hidden: no test/… is reported.")
        test = None
    return Parts(train, validation, test, tuple(notes))


def _choose_splits(config: PartsConfig, files: dict[str, str]) -> dict[str, str]:
    """The split of each part; "" for one that comes from a file, is cut from train or doesn't exist."""
    splits = {"train": config.train_split, "validation": config.validation_split, "test": config.test_split}
    if files["train"]:
        if splits["validation"]:
            raise UserError("--validation_split belongs to --dataset; with --train_file, give a --validation_file.")
        return dict.fromkeys(splits, "")
    available = split_names(config.dataset, config.data_dir)
    chosen = {part: "" if files[part] else split for part, split in splits.items()}
    if chosen["test"] == "test" and "test" not in available:
        chosen["test"] = ""
    if not files["validation"] and not chosen["validation"]:
        taken = [split for split in (chosen["train"], chosen["test"]) if split]
        for name in _VALIDATION_SPLITS:
            if name in available and not any(
                splits_overlap(config.dataset, config.data_dir, name, split) for split in taken
            ):
                chosen["validation"] = name
                break
    return chosen


def _overlap_notes(config: PartsConfig, splits: dict[str, str]) -> list[str]:
    pairs = [("train", "validation"), ("train", "test"), ("validation", "test")]
    return [
        f"The {a} split {splits[a]} and the {b} split {splits[b]} share examples: the scores are too good."
        for a, b in pairs
        if splits[a] and splits[b] and splits_overlap(config.dataset, config.data_dir, splits[a], splits[b])
    ]


def _cut(train: P, fraction: float, seed: int) -> tuple[P, P]:
    """(the rest, a random fraction) of the training part, both in their old order."""
    if not 0 < fraction < 1:
        raise UserError(
            f"--validation_fraction={fraction} leaves no data for training, or none for validation, which chooses the"
            " checkpoint: give a share above 0 and up to 0.9, or name validation data."
        )
    num_examples = train.num_examples
    if num_examples < 2:
        raise UserError(f"{train.name}: one example cannot be divided into training and validation data.")
    size = min(max(round(fraction * num_examples), 1), num_examples - 1)
    order = permutation(num_examples, seed, 0, 2)  # streams 0 and 1 of a seed order the batches
    return train.take(np.sort(order[size:])), train.take(np.sort(order[:size]))


class Data(NamedTuple):
    """What reading the data of a task gives: the training data, parts to score, and the codec.

    train: makes the source that training reads; evaluation and prediction never ask for it.
    parts: "validation" first, then the tests: whatever `score` takes. train_part: makes one of the training data.
    notes: what the user should know of the data.
    start: of fresh parameters those to begin with, where the data brings some (pretrained word vectors).
    """

    train: Callable[[], Source]
    parts: Mapping[str, Any]
    codec: Codec
    notes: tuple[str, ...] = ()
    start: Callable[[PyTree], PyTree] = lambda params: params
    train_part: Callable[[], Any] = lambda: None


def choose_part(
    config: PartsConfig, name: str, own: Callable[[], Data], other: Callable[[str], Any]
) -> tuple[str, Any]:
    """What --part names: a part of the run, by default its test part; or a file, or another split, read alone.

    own: reads the run's data.

    Raises:
      UserError: the run has no such part.
    """
    if is_file(name) or (name not in ("", *_PARTS) and not config.train_file):
        return name, other(name)
    data = own()
    name = name or ("test" if "test" in data.parts else "validation")
    if name == "train":
        return name, data.train_part()
    if name not in data.parts:
        raise UserError(f"--part={name}: the run has train, {', '.join(data.parts)}; a file can be scored as well.")
    return name, data.parts[name]


def is_file(name: str) -> bool:
    """True for the name of a file (or of two, with a comma between); a file called "test" needs a path: ./test."""
    if name in ("", *_PARTS):
        return False
    suffix = Path(name).suffix.removeprefix(".")
    return "," in name or Path(name).is_file() or (suffix.isalnum() and not suffix.isdecimal())
