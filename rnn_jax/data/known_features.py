"""A folder of prepared data never makes us import code: TFDS imports whatever class its description names."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rnn_jax.errors import UserError

_OWN = "tensorflow_datasets.core.features."  # where TFDS's feature classes are
_NAMES = ("pythonClassName", "python_class_name", "type")  # the last as TFDS wrote it until 2021


def require_known_features(folder: Path) -> None:
    """Checks the descriptions of features that TFDS reads in the folder of a version, wherever links lead to.

    Raises:
      UserError: one names a class that is not TFDS's own.
    """
    for file in filter(Path.exists, (folder / "features.json", folder / "dataset_info.json")):
        try:
            document = json.loads(file.read_bytes())
        except (OSError, ValueError) as error:
            raise UserError(f"The dataset in {file.parent} is damaged: {error}. Prepare it again.") from error
        if file.name == "dataset_info.json":  # the rest of it names no class, and its schema has types of its own
            document = document.get("features") if isinstance(document, dict) else None
        for name in _class_names(document):
            if not name.startswith(_OWN) or ".." in name:
                raise UserError(
                    f"{file} names the class {name}, which is none of TFDS's own: reading the dataset would run code "
                    "that came with it. Prepare it again with features of tensorflow_datasets.core.features."
                )


def _class_names(document: Any) -> Iterator[str]:
    if isinstance(document, str) and document.lstrip().startswith(("{", "[")):
        with contextlib.suppress(ValueError, RecursionError):  # content may be JSON within JSON
            yield from _class_names(json.loads(document))
    elif isinstance(document, list):
        for part in document:
            yield from _class_names(part)
    elif isinstance(document, dict):
        for key, value in document.items():
            # "type" is also a word that a feature's own content may use: there, it is no path of modules.
            if isinstance(value, str) and (key in _NAMES[:2] or (key == _NAMES[2] and "." in value)):
                yield value
            yield from _class_names(value)
