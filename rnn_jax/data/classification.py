"""Labelled texts for classification, from any TFDS dataset whose features fit or from the user's files."""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32

from rnn_jax.data.classification_config import LabelledTextConfig
from rnn_jax.data.labelled import UNLABELLED, LabelledPart, class_names_in, class_numbers, read_file, read_split
from rnn_jax.data.parts import is_file, read_parts
from rnn_jax.errors import UserError


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


def load_classification(config: LabelledTextConfig, *, seed: int = 0) -> ClassificationData:
    """Reads the training, validation and test parts; `seed` draws a validation part that is cut from train.

    Raises:
      UserError: as `read_parts`, `pick_field` and `read_labelled_file`; a label that training doesn't have (names the
        line); one class only, or nearly as many classes as texts.
    """
    fields = (config.text_field, config.label_field)
    notes: list[str] = []
    parts = read_parts(
        config,
        lambda path: read_file(path, *fields),
        lambda split: _only_labelled(read_split(config.dataset, split, config.data_dir, *fields), notes),
    )
    label_names = class_names_in(parts.train.name, parts.train.labels, parts.train.class_names, "texts")
    numbered = functools.partial(_numbered, label_names=label_names)
    train, validation = parts.train_and_validation(config.validation_fraction, seed)
    test = numbered(parts.test) if parts.test else None
    return ClassificationData(label_names, numbered(train), numbered(validation), test, notes=(*notes, *parts.notes))


def load_part(config: LabelledTextConfig, name: str, label_names: tuple[str, ...]) -> LabelledTexts:
    """Reads one split of the config's dataset, or one file, with the classes of a trained model.

    Raises:
      UserError: as `load_classification`; no example has a label.
    """
    fields = (config.text_field, config.label_field)
    if is_file(name):
        part = read_file(name, *fields)
    else:
        part = _only_labelled(read_split(config.dataset, name, config.data_dir, *fields), notes=[])
    if not part.texts:
        raise UserError(f"The labels of {part.name} are hidden, so there is nothing to score; choose another split.")
    return _numbered(part, label_names)


def _only_labelled(part: LabelledPart, notes: list[str]) -> LabelledPart:
    rows = [row for row, label in enumerate(part.labels) if label != UNLABELLED]
    if len(rows) == len(part.labels):
        return part
    if rows:
        notes.append(f"{part.name}: {len(part.labels) - len(rows)} examples without a label are left out.")
    return part.take(rows)


def _numbered(part: LabelledPart, label_names: tuple[str, ...]) -> LabelledTexts:
    return LabelledTexts(part.texts, class_numbers(part.labels, label_names, part.where))
