"""What a model reads besides its weights, kept in the run directory: fitted once, on training data only."""

import hashlib
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rnn_jax.errors import UserError


@runtime_checkable
class Inputs(Protocol):
    """Vocabularies and class names, with what reads and writes them."""

    def digest(self) -> str:
        """Equal for two that encode everything alike and have the same classes, and only for those."""

    def save(self, directory: Path) -> None:
        """Writes the files."""

    @classmethod
    def load(cls, directory: Path) -> Any:
        """Reads what `save` wrote; UserError where a file is missing or broken."""


def require_unchanged_data(inputs: Inputs, digest: str, directory: Path) -> None:
    """For a run that is continued.

    Raises:
      UserError: the training data gave other inputs when the run began.
    """
    if inputs.digest() != digest:
        raise UserError(
            f"The training data is not what it was when the run in {directory} began: its vocabulary or classes"
            " differ. Put the data (or the file of vectors, or the other run) back, or start over in another --workdir."
        )


def require_own_files(inputs: Inputs, digest: str, directory: Path) -> None:
    """For a trained run that is applied.

    Raises:
      UserError: the files of the vocabulary are not those that the checkpoint was trained with.
    """
    if inputs.digest() != digest:
        raise UserError(
            f"The checkpoint in {directory} does not know the vocabulary or classes in the files beside it: they are"
            " not those that it was trained with. Put the run's own files (tokenizers, labels) back."
        )


def hashed(*parts: str | bytes) -> str:
    """SHA-256 of the parts and their lengths."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "big") + data)
    return whole.hexdigest()
