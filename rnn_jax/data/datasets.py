"""Opening a split of a prepared TFDS dataset, and finding the fields that a task needs by their type.

Everything is read from the prepared folder alone, so a dataset needs neither TensorFlow nor a TFDS that knows its name.
"""

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from etils import epy

from rnn_jax.data.known_features import require_known_features
from rnn_jax.data.normal_form import nfc
from rnn_jax.data.synthetic import SYNTHETIC
from rnn_jax.errors import UserError

if TYPE_CHECKING:
    from tensorflow_datasets.core.data_sources.base import BaseDataSource

with epy.lazy_imports():  # it takes a second to import, for which predicting and the user's files don't wait
    import tensorflow_datasets as tfds


def open_split(dataset: str, split: str, data_dir: str | None = None) -> "BaseDataSource":
    """Opens e.g. "imdb_reviews", "glue/sst2" or "synthetic_reviews" at a split such as "train" or "train[:90%]".

    Returns:
      A TFDS data source: `len(source)`, `source[i]`, `source.__getitems__(range(len(source)))` (fast) and
      `source.dataset_info.features`.

    Raises:
      UserError: no data_dir, or the folder lacks the dataset (lists what it holds), the split (lists the splits) or
        examples in the split; or the files are damaged.
    """
    builder = open_dataset(dataset, data_dir)
    if _split_info(builder, dataset, split).num_examples == 0:
        raise UserError(f"{dataset}: the split {split!r} is empty.")
    try:
        return builder.as_data_source(split)
    except NotImplementedError as error:
        raise UserError(
            f"{dataset}: {builder.data_dir} was prepared in the format {builder.info.file_format.value!r}, which has "
            f"no random access. Prepare it again, into another folder, with `tfds build {builder.name} "
            "--file_format=array_record --data_dir=FOLDER`."
        ) from error


def read_examples(source: "BaseDataSource") -> list[dict[str, Any]]:
    """All examples of an opened split.

    Raises:
      UserError: files of the dataset are missing or damaged.
    """
    try:
        return source.__getitems__(range(len(source)))  # several times faster than one by one
    except (RuntimeError, OSError, ValueError) as error:
        folder = source.dataset_info.data_dir
        raise UserError(f"The dataset in {folder} is damaged: {error}. Prepare it again.") from error


def open_dataset(dataset: str, data_dir: str | None = None) -> "tfds.core.DatasetBuilder":
    """The read-only TFDS builder of a prepared dataset; our own datasets are prepared on first use.

    Raises:
      UserError: no data_dir, or the dataset is not in it.
    """
    if dataset in SYNTHETIC:
        from rnn_jax.data.synthetic.prepare import prepare_synthetic

        return tfds.builder_from_directory(prepare_synthetic(dataset))
    root = _resolve_data_dir(dataset, data_dir)
    try:
        return _open_folder(dataset, root)
    except UserError:
        raise
    except (ValueError, OSError) as error:  # DatasetNotFoundError is a ValueError.
        held = prepared_datasets(root)
        hint = _did_you_mean(dataset, [*held, *SYNTHETIC])
        name = dataset.partition("/")[0].partition(":")[0]
        if name.isidentifier() and (below := sorted(path.parent for path in root.glob(f"*/{name}"))):
            hint = f" Did you mean --data_dir={below[0]}?"
        raise UserError(
            f"No dataset {dataset!r} in the data_dir {root}. "
            f"It holds {', '.join(held) if held else 'no prepared datasets'}; "
            f"embedded, without a data_dir: {', '.join(SYNTHETIC)}.{hint} "
            f"`tfds build NAME --file_format=array_record --data_dir={root}` prepares one that TFDS knows."
        ) from error
    except Exception as error:  # protobuf has errors of its own for a dataset_info.json cut short
        raise UserError(f"The dataset {dataset!r} in {root} is damaged: {error}. Prepare it again.") from error


def _open_folder(dataset: str, root: Path) -> "tfds.core.DatasetBuilder":
    name = Path(dataset.partition(":")[0])
    if ".." in name.parts or name.is_absolute():
        raise ValueError("the name of a dataset leads nowhere else")
    # What `builder_from_files` does in one step: here, what the folder names is checked before anything is imported.
    with tfds.core.utils.error_utils.record_error_context():  # where it puts its advice; ours is in `open_dataset`
        found = tfds.core.read_only_builder._find_builder_dir(dataset, data_dir=str(root))
    folder = Path(found) if found else _prepared_folder(root / dataset)
    if folder is None:
        raise tfds.core.DatasetNotFoundError(f"no folder of {dataset} in {root}")
    require_known_features(folder)
    return tfds.builder_from_directory(folder)


def _prepared_folder(folder: Path) -> Path | None:
    """The newest version in a folder, or in the only configuration in it, whatever TFDS takes for the default one."""
    for pattern in ("*/features.json", "*/*/features.json"):
        versions = [file.parent for file in folder.glob(pattern) if tfds.core.Version.is_valid(file.parent.name)]
        if len({version.parent for version in versions}) == 1:
            return max(versions, key=lambda path: tfds.core.Version(path.name))
    return None


def split_names(dataset: str, data_dir: str | None = None) -> tuple[str, ...]:
    """The names of the splits of a prepared dataset; errors as `open_dataset`."""
    return tuple(open_dataset(dataset, data_dir).info.splits)


def split_bytes(dataset: str, split: str, data_dir: str | None = None) -> int:
    """What a split takes on disk, a slice of it its share of the examples; errors as `open_split`."""
    pieces = _split_info(open_dataset(dataset, data_dir), dataset, split).file_instructions
    sizes = ((piece, Path(piece.filename)) for piece in pieces if piece.examples_in_shard)
    return sum(file.stat().st_size * piece.take // piece.examples_in_shard for piece, file in sizes if file.is_file())


def splits_overlap(dataset: str, data_dir: str | None, a: str, b: str) -> bool:
    """Do two splits, slices included, share an example?"""
    builder = open_dataset(dataset, data_dir)
    ranges_a, ranges_b = (_split_info(builder, dataset, split).file_instructions for split in (a, b))
    return any(
        x.filename == y.filename and max(x.skip, y.skip) < min(x.skip + x.take, y.skip + y.take)
        for x in ranges_a
        for y in ranges_b
    )


def _split_info(builder: "tfds.core.DatasetBuilder", dataset: str, split: str) -> Any:
    try:
        return builder.info.splits[split]
    except (KeyError, ValueError, AssertionError) as error:
        names = list(builder.info.splits)
        raise UserError(
            f"{dataset}: no split {split!r}. It has {', '.join(names) or 'none'}; "
            f"slices such as 'train[:90%]' and 'train[1000:]' work too.{_did_you_mean(split, names)}"
        ) from error


def prepared_datasets(data_dir: Path) -> list[str]:
    """Names of the datasets prepared in a folder, as `open_split` takes them: "trec", "glue/sst2", …"""
    found = set()
    for features in (*data_dir.glob("*/*/features.json"), *data_dir.glob("*/*/*/features.json")):
        found.add(features.parent.parent.relative_to(data_dir).as_posix())
    return sorted(found)


def _resolve_data_dir(dataset: str, data_dir: str | None) -> Path:
    given = data_dir or os.environ.get("TFDS_DATA_DIR")
    if not given:
        raise UserError(
            f"The dataset {dataset!r} needs --data_dir=FOLDER (or the environment variable TFDS_DATA_DIR): the folder "
            f"of prepared TFDS datasets. Embedded, without a data_dir: {', '.join(SYNTHETIC)}."
        )
    root = Path(given).expanduser().absolute()
    if not root.is_dir():
        raise UserError(f"The data_dir {root} is not a folder. Give the folder of prepared TFDS datasets.")
    return root


def _did_you_mean(given: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(given, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


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
            hint = _did_you_mean(name, list(candidates))
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
