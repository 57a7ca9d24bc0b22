"""What a model reads besides its weights: vocabularies, class names, scalers; fitted once, on training data only.

A codec of a task is a frozen dataclass. This module is the one way to keep it: codec.json in the run directory.
"""

import dataclasses
import functools
import hashlib
import json
import typing
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tokenizers import Tokenizer

from rnn_jax.errors import UserError
from rnn_jax.files import write_atomically

FILE = "codec.json"
C = TypeVar("C", bound="Codec")


@dataclasses.dataclass(frozen=True, eq=False)
class Codec:
    """Subclass it as a frozen dataclass with eq=False: two are equal that encode everything alike.

    Fields are JSON values, tuples of them, NumPy arrays, tokenizers and other codecs.
    earlier_files: that `load_earlier` reads.
    """

    earlier_files: typing.ClassVar[tuple[str, ...]] = ()

    @functools.cached_property
    def document(self) -> str:
        """The JSON document that it is kept as."""
        return json.dumps(_plain(self), ensure_ascii=False, indent=1) + "\n"

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the document."""
        return hashlib.sha256(self.document.encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Codec) and type(self) is type(other) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def save(self, directory: Path, name: str = FILE) -> None:
        """Writes codec.json, or a file of another name, whole or not at all."""
        write_atomically(directory / name, self.document)

    @classmethod
    def load(cls: type[C], directory: Path, name: str = FILE) -> C:
        """Reads what `save` wrote, or the files that earlier releases wrote.

        Raises:
          UserError: a file is missing or damaged.
        """
        try:
            if not (directory / name).exists():
                if not any((directory / file).exists() for file in cls.earlier_files):
                    raise UserError(
                        f"{directory} has no {name}: put the run's own back, or delete the run directory to start over."
                    )
                return cls.load_earlier(directory)
            return _rich(cls, json.loads((directory / name).read_text(encoding="utf-8")))
        except UserError:
            raise
        except Exception as error:  # tokenizers raises bare Exception for whatever is wrong with a document
            raise UserError(
                f"{directory} has no readable {name}: {error}. Restore it, or delete the run directory to start over."
            ) from error

    @classmethod
    def load_earlier(cls: type[C], directory: Path) -> C:
        """Reads `earlier_files`, of releases that had no codec.json."""
        raise NotImplementedError(f"{cls.__name__} names earlier files, and does not read them: {directory}")


def _plain(value: Any) -> Any:
    if isinstance(value, Codec):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Tokenizer):
        return {"tokenizer": json.loads(value.to_str())}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": str(value.dtype)}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _rich(codec: type[Codec], document: Any) -> Any:
    hints = typing.get_type_hints(codec)
    return codec(**{name: _rich_value(value, hints[name]) for name, value in document.items()})


def _rich_value(value: Any, hint: Any) -> Any:
    if isinstance(value, list):
        return tuple(_rich_value(item, None) for item in value)
    if not isinstance(value, dict):
        return value
    if "tokenizer" in value:
        return Tokenizer.from_str(json.dumps(value["tokenizer"]))
    if "array" in value:
        return np.asarray(value["array"], value["dtype"])
    (codec,) = (kind for kind in (hint, *typing.get_args(hint)) if isinstance(kind, type) and issubclass(kind, Codec))
    return _rich(codec, value)
