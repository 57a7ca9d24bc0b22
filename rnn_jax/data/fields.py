"""Finding the fields of a dataset that a task needs, by their type; and their values."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epy

from rnn_jax.config import did_you_mean
from rnn_jax.data.normal_form import nfc
from rnn_jax.errors import UserError

with epy.lazy_imports():
    import tensorflow_datasets as tfds


def flat_features(features: Any) -> dict[str, Any]:
    """Name → feature of every field; fields of nested dictionaries are named "outer/inner"."""
    flat = {}
    for name, feature in sorted(features.items()):  # TFDS keeps no order of its own
        if isinstance(feature, tfds.features.FeaturesDict):
            flat.update({f"{name}/{inner}": value for inner, value in flat_features(feature).items()})
        else:
            flat[name] = feature
    return flat


def field_values(examples: Sequence[Mapping[str, Any]], field: str) -> list[Any]:
    """The values of one field, "outer/inner" for a nested one."""
    if field in examples[0]:
        return [example[field] for example in examples]
    outer, _, inner = field.partition("/")
    return field_values([example[outer] for example in examples], inner)


def decode_texts(values: Sequence[bytes], name: str, field: str) -> list[str]:
    """The texts of a field of the part `name`, in NFC.

    Raises:
      UserError: one is not UTF-8 (names the example).
    """
    texts = []
    for row, value in enumerate(values):
        try:
            texts.append(nfc(value.decode("utf-8")))
        except UnicodeDecodeError as error:
            raise UserError(f"{name}: the field {field!r} of example {row} is not UTF-8.") from error
    return texts


def _dtype_kind(feature: Any) -> str:
    """The numpy kind letter of a scalar field ("i", "u", "b", "f"; "S" for text), "" for anything else."""
    if isinstance(feature, tfds.features.Text):
        return "S"
    if not isinstance(feature, tfds.features.Tensor) or feature.shape != ():
        return ""
    if feature.np_dtype in (object, np.str_, np.bytes_):
        return "S"
    return np.dtype(feature.np_dtype).kind


def find_text_fields(features: Any) -> list[str]:
    """Fields that hold one text: TFDS Text, or a scalar string."""
    return [name for name, feature in flat_features(features).items() if _dtype_kind(feature) == "S"]


def find_label_fields(features: Any) -> list[str]:
    """Fields that hold one class: ClassLabel, or where there is none, scalar integers and booleans."""
    flat = flat_features(features)
    labels = [name for name, feature in flat.items() if isinstance(feature, tfds.features.ClassLabel)]
    return labels or [name for name, feature in flat.items() if _dtype_kind(feature) in ("i", "u", "b")]


class SequenceField(NamedTuple):
    """A sequence of scalars: the feature of one element, and its numpy kind letter ("S" for text)."""

    feature: Any
    kind: str


def find_sequence_fields(features: Any) -> dict[str, SequenceField]:
    """Fields that hold a sequence of texts or classes of any length."""
    found = {}
    for name, feature in flat_features(features).items():
        if isinstance(feature, tfds.features.Sequence) and (kind := _dtype_kind(feature.feature)):
            found[name] = SequenceField(feature.feature, kind)
        elif isinstance(feature, tfds.features.Tensor) and feature.shape == (None,):
            element = tfds.features.Scalar(feature.np_dtype)
            found[name] = SequenceField(element, _dtype_kind(element))
    return found


def is_float_field(feature: Any) -> bool:
    """True for a scalar of real numbers, such as a rating."""
    return _dtype_kind(feature) == "f"


def is_class_field(feature: Any) -> bool:
    """True for whatever can name a class: ClassLabel, a scalar integer, boolean or string."""
    return isinstance(feature, tfds.features.ClassLabel) or _dtype_kind(feature) in ("i", "u", "b", "S")


def class_names_of(feature: Any) -> tuple[str, ...]:
    """The classes of a ClassLabel, in NFC; () for other features and where their number isn't known."""
    if isinstance(feature, tfds.features.ClassLabel) and feature.num_classes:
        return tuple(map(nfc, feature.names))
    return ()


def _described(features: Mapping[str, Any]) -> str:
    if not features:
        return "It has no fields."
    return f"Its fields: {', '.join(f'{name} ({type(feature).__name__})' for name, feature in features.items())}."


def pick_field(
    name: str,
    candidates: Sequence[str],
    what: str,
    dataset: str = "The data",
    features: Mapping[str, Any] | None = None,
) -> str:
    """The named field, or the only candidate where the name is empty.

    Raises:
      UserError: the name is not a candidate, or there are none or several and no name (names the candidates).
    """
    flag = f"--{what}_field"
    if name:
        if name not in candidates:
            hint = did_you_mean(repr(name), map(repr, candidates))
            raise UserError(
                f"{dataset}: no {what} field {name!r}; {flag} can be: {', '.join(candidates) or 'none'}.{hint}"
            )
        return name
    if not candidates:
        raise UserError(f"{dataset}: no field can be the {what}. {_described(features or {})}")
    if len(candidates) > 1:
        raise UserError(
            f"{dataset}: several fields can be the {what}: {', '.join(candidates)}. Choose one with {flag}."
        )
    return candidates[0]
