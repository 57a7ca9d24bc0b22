"""TensorBoard events, for those who have installed the extra."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnn_jax.errors import UserError


class TensorBoard:
    """Writes scalars; UserError when the optional package is missing."""

    def __init__(self, directory: Path):
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise UserError(
                "--tensorboard needs the package tensorboardX: pip install 'rnn-jax-research[tensorboard]', "
                "or leave the flag out"
            ) from None
        self._make, self._directory = SummaryWriter, directory
        self._writer: Any = None

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """One point of each finite number."""
        if self._writer is None:
            # purge_step hides points that a killed run wrote after the checkpoint that this one resumed from
            self._writer = self._make(str(self._directory), purge_step=step)
        for name, value in values.items():
            if isinstance(value, int | float):
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flushes and closes the event file; harmless twice."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
