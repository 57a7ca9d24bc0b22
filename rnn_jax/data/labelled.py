"""One split or file of texts with the names of their labels, whatever the source calls its fields and types.

`class_names_in` and `class_numbers` make numbers of the labels of anything.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32

from rnn_jax.data.datasets import (
    class_names_of,
    decode_texts,
    field_values,
    find_label_fields,
    find_text_fields,
    flat_features,
    is_class_field,
    is_float_field,
    open_split,
    pick_field,
    read_examples,
)
from rnn_jax.data.files import read_labelled_file
from rnn_jax.data.once import once
from rnn_jax.errors import UserError

UNLABELLED = ""
_MOST_SHOWN = 20  # names of classes in a message
_FEW = 20  # examples that say nothing of how many classes there are


class LabelledPart(NamedTuple):
    """Texts, the name of each one's label (`UNLABELLED` where there is none) and where they came from."""

    name: str
    texts: list[str]
    labels: list[str]
    class_names: tuple[str, ...] | None = None  # where the source knows its classes by itself
    lines: list[int] | None = None  # in a file

    @property
    def num_examples(self) -> int:
        """How many texts, labelled or not."""
        return len(self.texts)

    def where(self, row: int) -> str:
        """The place of a row, for messages."""
        return f"{self.name}:{self.lines[row]}" if self.lines else f"{self.name}: example {row}"

    def take(self, rows: Sequence[int] | np.ndarray) -> "LabelledPart":
        """The part that has only these rows."""
        return self._replace(
            texts=[self.texts[i] for i in rows],
            labels=[self.labels[i] for i in rows],
            lines=[self.lines[i] for i in rows] if self.lines else None,
        )


def read_file(path: str, text_field: str = "", label_field: str = "") -> LabelledPart:
    """Reads a CSV, TSV or JSONL file; errors as `read_labelled_file`."""
    rows = read_labelled_file(path, text_field=text_field, label_field=label_field)
    return LabelledPart(path, rows.texts, rows.labels, lines=rows.lines)


@once
def read_split(
    dataset: str, split: str, data_dir: str | None = None, text_field: str = "", label_field: str = ""
) -> LabelledPart:
    """Reads a split of a TFDS dataset that has one text and one class a row.

    The class is a ClassLabel, an integer or a boolean; a text where it is named. A negative ClassLabel, and integers
    that are all -1, mean that there is no label (the hidden test labels of some benchmarks).

    Raises:
      UserError: as `open_split`; no field or several fits (names the candidates); text that is not UTF-8.
    """
    source = open_split(dataset, split, data_dir)
    features = flat_features(source.dataset_info.features)
    label_field = find_label_field(dataset, features, label_field)
    text_field = _text_field(dataset, features, text_field, label_field)
    name = f"{dataset} {split}"
    examples = read_examples(source)
    texts = decode_texts(field_values(examples, text_field), name, text_field)
    labels = label_names(field_values(examples, label_field), features[label_field], name, label_field)
    return LabelledPart(name, texts, labels, class_names_of(features[label_field]) or None)


def label_names(values: Sequence[Any], feature: Any, name: str, field: str) -> list[str]:
    """The names of the classes in a field of the part `name`, `UNLABELLED` where there is none; errors as above."""
    if class_names := class_names_of(feature):
        return [class_names[value] if value >= 0 else UNLABELLED for value in values]
    if isinstance(values[0], bytes):
        return decode_texts(values, name, field)
    if all(value == -1 for value in values):
        return [UNLABELLED] * len(values)
    return [str(value) for value in values]


def class_names_in(
    name: str, labels: Sequence[str], known: Sequence[str] | None, examples: str = "examples"
) -> tuple[str, ...]:
    """The classes as the source of the part `name` knows them, else the labels that occur, numbers by their size.

    examples: what they are called in messages.

    Raises:
      UserError: there is one class; or, where the source knows none, nearly as many labels as examples.
    """
    names = tuple(known or sorted(set(labels), key=_label_order))
    if len(set(labels)) < 2:
        raise UserError(f"{name}: all labels are {labels[0]!r}; a classifier needs at least two classes.")
    if not known and len(labels) >= _FEW and len(names) > len(labels) / 2:
        raise UserError(
            f"{name}: {len(names)} different labels for {len(labels)} {examples} are no classes; "
            "name another field with --label_field."
        )
    return names


def _label_order(label: str) -> tuple[int, int, str]:
    is_integer = label.removeprefix("-").isdecimal()
    return (0, int(label), "") if is_integer else (1, 0, label)


def class_numbers(labels: Sequence[str], names: Sequence[str], where: Callable[[int], str]) -> Int32[np.ndarray, " n"]:
    """The places of labels among the names of the classes; where: the place of a row, for messages.

    Raises:
      UserError: a label is no class.
    """
    index = {name: i for i, name in enumerate(names)}
    for row, label in enumerate(labels):
        if label not in index:
            raise UserError(
                f"{where(row)}: the label {label!r} does not occur in the training data, which has"
                f" {listed_classes(names)}."
            )
    return np.array([index[label] for label in labels], np.int32)


def listed_classes(names: Sequence[str]) -> str:
    """The first of them, for messages."""
    return f"{', '.join(names[:_MOST_SHOWN])}{' …' if len(names) > _MOST_SHOWN else ''}"


def _text_field(dataset: str, features: dict[str, Any], given: str, label_field: str) -> str:
    candidates = [name for name in find_text_fields(features) if name != label_field]
    return pick_field(given, candidates, "text", dataset, features)


def find_label_field(dataset: str, features: dict[str, Any], given: str) -> str:
    """The field with the class, the given one or the only one that can be.

    Raises:
      UserError: no field or several fit (names the candidates); the given one cannot hold a class.
    """
    numeric = [name for name, feature in features.items() if is_float_field(feature)]
    if given in numeric:
        raise UserError(f"{dataset}: the field {given!r} holds real numbers; a label is one of several classes.")
    if given:
        named = [name for name, feature in features.items() if is_class_field(feature)]
        return pick_field(given, named, "label", dataset)
    candidates = find_label_fields(features)
    if not candidates and numeric:
        raise UserError(
            f"{dataset}: no field can be the label. {', '.join(numeric)} holds real numbers, not classes; "
            f"--label_field can name one of {', '.join(find_text_fields(features)) or 'no other field'}."
        )
    return pick_field("", candidates, "label", dataset, features)
