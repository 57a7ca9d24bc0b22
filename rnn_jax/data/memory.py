"""Data that cannot fit into memory is refused before minutes are spent on reading it."""

import os
from collections.abc import Iterable
from pathlib import Path

from rnn_jax.data.datasets import split_bytes
from rnn_jax.errors import UserError

_GB = 1e9


def machine_memory() -> int | None:
    """The bytes of memory that this machine has; None where it does not say."""
    if not hasattr(os, "sysconf"):  # Windows
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def require_memory(files: Iterable[str], dataset: str, splits: Iterable[str], data_dir: str | None) -> None:
    """Parts are read as a whole, and take at least what they take on disk.

    files: as flags name them, two files of a part with a comma between; one that is missing is left to its reader.

    Raises:
      UserError: the machine has less memory than that (names the share).
    """
    memory = machine_memory()
    if memory is None:
        return
    paths = [Path(name) for file in files for name in file.split(",")]
    sizes = {str(path): path.stat().st_size for path in paths if path.is_file()}
    sizes.update({f"{dataset}, {split}": split_bytes(dataset, split, data_dir) for split in splits})
    total = sum(sizes.values())
    if total <= memory:
        return
    listed = "; ".join(f"{name}: {size / _GB:.1f} GB" for name, size in sizes.items())
    raise UserError(
        f"The data takes {total / memory:.0%} of this machine's memory ({memory / _GB:.1f} GB): {listed}. "
        "It is read as a whole: read a part (--train_split='train[:10%]', a shorter file), or use a larger machine."
    )
