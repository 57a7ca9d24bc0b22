"""Opening a split of a prepared TFDS dataset; `fields.py` finds in it what a task needs.

Everything is read from the prepared folder alone, so a dataset needs neither TensorFlow nor a TFDS that knows its name.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etils import epy

from rnn_jax.config import did_you_mean
from rnn_jax.data.known_features import require_known_features
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
        hint = did_you_mean(repr(dataset), map(repr, [*held, *SYNTHETIC]))
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
            f"slices such as 'train[:90%]' and 'train[1000:]' work too.{did_you_mean(repr(split), map(repr, names))}"
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
