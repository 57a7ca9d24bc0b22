"""Labelled texts for classification, from any TFDS dataset whose features fit or from the user's files."""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32

from rnn_jax.data.batching import permutation
from rnn_jax.data.labelled import UNLABELLED, LabelledPart, read_file, read_split
from rnn_jax.data.source import split_names, splits_overlap
from rnn_jax.errors import UserError

_VALIDATION_SPLITS = ("validation", "dev", "valid")


class LabelledTexts(NamedTuple):
    """n texts with their classes, as indices into the names of the labels."""

    texts: list[str]
    labels: Int32[np.ndarray, " n"]


@dataclasses.dataclass(frozen=True)
class ClassificationData:
    """The parts of a dataset; `test` is None where it has none with labels. `notes` are worth telling the user."""

    label_names: tuple[str, ...]
    train: LabelledTexts
    validation: LabelledTexts
    test: LabelledTexts | None
    notes: tuple[str, ...] = ()


def load_classification(
    *,
    dataset: str = "synthetic_reviews",
    data_dir: str | None = None,
    text_field: str = "",
    label_field: str = "",
    train_split: str = "train",
    validation_split: str = "",
    test_split: str = "test",
    validation_fraction: float = 0.1,
    train_file: str = "",
    validation_file: str = "",
    test_file: str = "",
    seed: int = 0,
) -> ClassificationData:
    """Reads the training, validation and test parts, each from its file if one is given, else from the dataset.

    A train_file leaves the dataset out altogether. The validation part is the data's own (a split named validation,
    dev or valid), else validation_fraction of the training part, drawn by the seed; it is never the test split.

    Raises:
      UserError: as `open_split`, `pick_field` and `read_labelled_file`; no labels to train on or to validate with; a
        label that training doesn't have (names the line); one class only, or nearly as many classes as texts.
    """
    files = {"train": train_file, "validation": validation_file, "test": test_file}
    splits = {"train": train_split, "validation": validation_split, "test": test_split}
    splits = _choose_splits(dataset, data_dir, files, splits)
    notes: list[str] = []

    def read(part: str) -> LabelledPart | None:
        if files[part]:
            return read_file(files[part], text_field, label_field)
        if splits[part]:
            return _only_labelled(read_split(dataset, splits[part], data_dir, text_field, label_field), notes)
        return None

    train, validation, test = (read(part) for part in ("train", "validation", "test"))
    if train is None or not train.texts:
        raise UserError(f"{train.name if train else dataset}: no example has a label, so there is nothing to train on.")
    if validation is not None and not validation.texts:
        raise UserError(f"{validation.name}: no example has a label; choose another --validation_split.")
    label_names = _label_names(train)
    if validation is None:
        train, validation = _cut(train, validation_fraction, seed)
    if test is None:
        notes.append(f"{train_file or dataset} comes without a test part: only validation/… is reported.")
    elif not test.texts:
        notes.append(f"The labels of {test.name} are hidden: only validation/… is reported.")
    return ClassificationData(
        label_names,
        train=_numbered(train, label_names),
        validation=_numbered(validation, label_names),
        test=_numbered(test, label_names) if test and test.texts else None,
        notes=(*notes, *_overlap_notes(dataset, data_dir, splits)),
    )


def load_labelled_split(
    *,
    label_names: tuple[str, ...],
    dataset: str = "synthetic_reviews",
    data_dir: str | None = None,
    split: str = "test",
    file: str = "",
    text_field: str = "",
    label_field: str = "",
) -> LabelledTexts:
    """Reads one split, or one file where it is given, with the classes of a trained model.

    Raises:
      UserError: as `load_classification`; no example has a label.
    """
    if file:
        part = read_file(file, text_field, label_field)
    else:
        part = _only_labelled(read_split(dataset, split, data_dir, text_field, label_field), notes=[])
    if not part.texts:
        raise UserError(f"The labels of {part.name} are hidden, so there is nothing to score; choose another split.")
    return _numbered(part, label_names)


def _choose_splits(dataset: str, data_dir: str | None, files: dict[str, str], splits: dict[str, str]) -> dict[str, str]:
    """The split of each part; "" for one that comes from a file, is cut from train or doesn't exist."""
    if files["train"]:
        if splits["validation"]:
            raise UserError("--validation_split belongs to --dataset; with --train_file, give a --validation_file.")
        return dict.fromkeys(splits, "")
    available = split_names(dataset, data_dir)
    chosen = {part: "" if files[part] else split for part, split in splits.items()}
    if chosen["test"] == "test" and "test" not in available:
        chosen["test"] = ""
    if not files["validation"] and not chosen["validation"]:
        taken = [split for split in (chosen["train"], chosen["test"]) if split]
        for name in _VALIDATION_SPLITS:
            if name in available and not any(splits_overlap(dataset, data_dir, name, split) for split in taken):
                chosen["validation"] = name
                break
    return chosen


def _overlap_notes(dataset: str, data_dir: str | None, splits: dict[str, str]) -> list[str]:
    pairs = [("train", "validation"), ("train", "test"), ("validation", "test")]
    return [
        f"The {a} split {splits[a]} and the {b} split {splits[b]} share examples: the scores are too good."
        for a, b in pairs
        if splits[a] and splits[b] and splits_overlap(dataset, data_dir, splits[a], splits[b])
    ]


def _only_labelled(part: LabelledPart, notes: list[str]) -> LabelledPart:
    rows = [row for row, label in enumerate(part.labels) if label != UNLABELLED]
    if len(rows) == len(part.labels):
        return part
    if rows:
        notes.append(f"{part.name}: {len(part.labels) - len(rows)} examples without a label are left out.")
    return part.take(rows)


def _cut(train: LabelledPart, fraction: float, seed: int) -> tuple[LabelledPart, LabelledPart]:
    """(the rest, a random fraction) of the training part, both in their old order."""
    if not 0 < fraction < 1:
        raise UserError(
            f"validation_fraction={fraction} must lie between 0 and 1: the checkpoint is chosen on validation data."
        )
    if len(train.texts) < 2:
        raise UserError(f"{train.name}: one example cannot be divided into training and validation data.")
    size = min(max(round(fraction * len(train.texts)), 1), len(train.texts) - 1)
    order = permutation(len(train.texts), seed, 0, 2)  # streams 0 and 1 of a seed order the batches
    return train.take(np.sort(order[size:])), train.take(np.sort(order[:size]))


def _label_names(train: LabelledPart) -> tuple[str, ...]:
    """The classes as the source names them, else the labels that occur, in numeric or alphabetic order."""
    names = train.class_names or tuple(sorted(set(train.labels), key=_label_order))
    if len(names) < 2:
        raise UserError(f"{train.name}: all labels are {names[0]!r}; a classifier needs at least two classes.")
    if not train.class_names and len(train.texts) >= 20 and len(names) > len(train.texts) / 2:
        raise UserError(
            f"{train.name}: {len(names)} different labels for {len(train.texts)} texts are no classes; "
            "name another field with --label_field."
        )
    return names


def _label_order(label: str) -> tuple[int, int, str]:
    is_integer = label.removeprefix("-").isdecimal()
    return (0, int(label), "") if is_integer else (1, 0, label)


def _numbered(part: LabelledPart, label_names: tuple[str, ...]) -> LabelledTexts:
    index = {name: i for i, name in enumerate(label_names)}
    for row, label in enumerate(part.labels):
        if label not in index:
            raise UserError(
                f"{part.where(row)}: the label {label!r} does not occur in the training data, which has "
                f"{', '.join(label_names[:20])}{' …' if len(label_names) > 20 else ''}."
            )
    return LabelledTexts(part.texts, np.array([index[label] for label in part.labels], np.int32))
