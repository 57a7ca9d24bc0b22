"""A split of a TFDS dataset → signals: fields are found by the types of its features, never by its name.

numbers   Tensor or Sequence (T,), (T, C)      a step is C numbers
image     Image, or Tensor (H, W, 1 | 3 | 4)   a step is a row (W, C)
sound     Audio                                as numbers
video     Video, or Tensor (T, H, W[, C])      a step is an image (H, W, C)
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epy

from rnn_jax.data.datasets import open_split, read_examples
from rnn_jax.data.fields import class_names_of, field_values, flat_features, pick_field
from rnn_jax.data.labelled import find_label_field, label_names
from rnn_jax.data.once import once
from rnn_jax.data.signals.sequences import Sequences
from rnn_jax.data.signals.signals import Form, Signals, without_missing
from rnn_jax.data.signals_config import SignalConfig
from rnn_jax.errors import UserError

with epy.lazy_imports():
    import tensorflow_datasets as tfds

COLOURS = (1, 3, 4)  # channels of an image
_LONGEST_FRAME = 3  # axes of an image in a video
_RATES = ("sampling_rate_hz", "sample_rate_hz", "sampling_rate", "sample_rate")  # of a dataset's metadata


@once
def read_signal_split(split: str, config: SignalConfig) -> Signals:
    """Reads a split of config.dataset.

    Raises:
      UserError: as `open_split`; no field or several fit (names the candidates and the flag); values that are missing
        or infinite; images of different widths.
    """
    source = open_split(config.dataset, split, config.data_dir)
    features = flat_features(source.dataset_info.features)
    label_field = find_label_field(config.dataset, features, config.label_field)
    signal_field = _signal_field(config, features)
    single = {name: feature for name, feature in features.items() if _is_single(feature) and name != label_field}
    for flag, given in (("group_field", (config.group_field,)), ("static_fields", config.static_fields)):
        for field in filter(None, given):
            if field not in single:
                raise UserError(
                    f"{config.dataset}: --{flag} names {field!r}; allowed: {', '.join(single) or 'none'}, which hold"
                    " one value an example."
                )
    name = f"{config.dataset} {split}"
    examples = read_examples(source)
    places = [f"{name}: example {i}" for i in range(len(examples))]
    rows = [in_steps(value, features[signal_field]) for value in field_values(examples, signal_field)]
    if len(frames := {row.shape[1:] for row in rows}) > 1:
        raise UserError(
            f"{name}: {signal_field!r} has steps of different shapes, {', '.join(map(str, sorted(frames)[:4]))}: bring"
            " them to one shape first."
        )
    sequences = Sequences.from_rows(without_missing(places, rows, config.missing))
    labels = label_names(field_values(examples, label_field), features[label_field], name, label_field)
    statics = [_numbers(field_values(examples, field), name, field) for field in config.static_fields]
    metadata = source.dataset_info.metadata
    form = Form(
        _channels(sequences.frame, metadata),
        config.sample_rate or _sample_rate(features[signal_field], metadata),
        config.static_fields,
        class_names_of(features[label_field]),
    )
    groups = _texts(examples, config.group_field) if config.group_field else [""] * len(examples)
    kept = np.stack(statics, axis=1) if statics else np.zeros((len(examples), 0))
    others = _others(examples, single, {*config.static_fields, config.group_field}, label_field)
    return Signals(name, form, sequences, labels, places, groups, kept, others=others)


def _signal_field(config: SignalConfig, features: Mapping[str, Any]) -> str:
    if len(config.signal_field) > 1:
        raise UserError(f"--signal_field={','.join(config.signal_field)}: of a dataset, one feature is the signal.")
    given = config.signal_field[0] if config.signal_field else ""
    return pick_field(given, [n for n, f in features.items() if _is_signal(f)], "signal", config.dataset, features)


def _is_signal(feature: Any) -> bool:
    if isinstance(feature, tfds.features.Image | tfds.features.Video):
        return True
    if isinstance(feature, tfds.features.Sequence):
        inner = feature.feature
        return isinstance(inner, tfds.features.Image) or (holds_numbers(inner) and len(inner.shape) <= _LONGEST_FRAME)
    return holds_numbers(feature) and 1 <= len(feature.shape) <= 1 + _LONGEST_FRAME


def holds_numbers(feature: Any) -> bool:
    """True for an array of numbers of any shape, and no class."""
    is_tensor = isinstance(feature, tfds.features.Tensor) and not isinstance(feature, tfds.features.ClassLabel)
    return is_tensor and np.dtype(feature.np_dtype).kind in ("i", "u", "f", "b")


def _is_single(feature: Any) -> bool:
    return isinstance(feature, tfds.features.Tensor) and feature.shape == ()


def in_steps(value: Any, feature: Any) -> np.ndarray:
    """One example as (T, *frame): numbers (C,), a row of an image (W, C), or an image of a video (H, W, C)."""
    row = np.asarray(value)
    row = row.astype(np.uint8) if row.dtype == bool else row
    if row.ndim == 1:
        return row[:, None]
    is_image = isinstance(feature, tfds.features.Image) or row.shape[-1] in COLOURS
    return row[..., None] if row.ndim == 3 and not is_image else row


def _channels(frame: tuple[int, ...], metadata: Any) -> tuple[str, ...]:
    known = metadata.get("channels", metadata.get("columns")) if isinstance(metadata, Mapping) else None
    if isinstance(known, Sequence) and len(known) == frame[-1]:
        return tuple(map(str, known))
    return tuple(map(str, range(frame[-1])))


def _sample_rate(feature: Any, metadata: Any) -> float:
    known = [metadata[name] for name in _RATES if name in metadata] if isinstance(metadata, Mapping) else []
    return float(getattr(feature, "sample_rate", None) or (known[0] if known else 0.0))


def _numbers(values: Sequence[Any], name: str, field: str) -> np.ndarray:
    try:
        return np.asarray(values, np.float64)
    except ValueError as error:
        raise UserError(f"{name}: --static_fields names {field!r}, which holds no numbers.") from error


def _texts(examples: Sequence[Mapping[str, Any]], field: str) -> list[str]:
    values = field_values(examples, field)
    return [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values]


def _others(
    examples: Sequence[Mapping[str, Any]], single: Mapping[str, Any], used: set[str], label: str
) -> dict[str, list[str]]:
    """Fields whose values come again and again, of other kinds than the label's: they may say who was recorded."""
    found = {}
    for field, feature in single.items():
        if field in used or field == label or np.dtype(feature.np_dtype).kind == "f":
            continue
        values = _texts(examples, field)
        if 1 < len(set(values)) <= len(values) / 2:
            found[field] = values
    return found
