"""What a model reads besides its weights, kept in the run directory: fitted once, on training data only."""

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rnn_jax.errors import UserError


@runtime_checkable
class Inputs(Protocol):
    """Vocabularies and class names, with what reads and writes them."""

    def same_as(self, other: Any) -> bool:
        """True where both encode everything alike and have the same classes."""

    def save(self, directory: Path) -> None:
        """Writes the files."""

    @classmethod
    def load(cls, directory: Path) -> Any:
        """Reads what `save` wrote; UserError where a file is missing or broken."""


def keep_inputs(inputs: Inputs, directory: Path, *, writable: bool, must_equal: bool) -> None:
    """Saves the inputs of a run; when it is continued (`must_equal`), checks that they are still the same.

    Raises:
      UserError: the training data gave other inputs when the run began.
    """
    if must_equal and not inputs.same_as(inputs.load(directory)):
        raise UserError(
            f"The training data is not what it was when the run in {directory} began: its vocabulary or classes"
            " differ. Put the data (or the file of vectors, or the other run) back, or start over in another --workdir."
        )
    if writable and not must_equal:
        inputs.save(directory)
