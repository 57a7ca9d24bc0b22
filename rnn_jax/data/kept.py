"""What is made of much data is kept under the cache folder: a resumed run neither fits nor tokenises again.

An entry is a folder of .npy files, read as memory maps, so that several runs share their pages. Its name is a hash of
the data and of how it was made. Entries are written beside their place and renamed: kills and several processes at once
are safe. The folder may be deleted at any time.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from absl import logging

from rnn_jax.data.cache import cache_dir

Arrays = dict[str, np.ndarray]

LARGE = 2_000_000  # characters: less is made again within a second or two
MOST_BYTES = 10_000_000_000  # of all entries; the least recently used go
_FORMAT = "1"  # of the entries


def fingerprint(texts: Iterable[str]) -> str:
    """A hash of texts and their order."""
    whole = hashlib.blake2b(digest_size=16)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        whole.update(len(data).to_bytes(8, "little"))
        whole.update(data)
    return whole.hexdigest()


def kept(texts: Sequence[str], how: Sequence[str], make: Callable[[], Arrays]) -> Arrays:
    """make(), or what it gave before for the same texts and the same `how`; small data is always made again."""
    if sum(map(len, texts)) < LARGE:
        return make()
    name = fingerprint([_FORMAT, *how, fingerprint(texts)])
    entries = cache_dir() / "encoded"
    found = _read(entries / name)
    if found is None:
        found = make()
        _write(entries, name, found)
    return found


def _read(folder: Path) -> Arrays | None:
    try:
        found = {file.stem: np.load(file, mmap_mode="r") for file in folder.glob("*.npy")}
        os.utime(folder)  # used now
        return found or None
    except (OSError, ValueError) as error:
        if folder.exists():
            logging.warning("%s is damaged and made anew: %s", folder, error)
            shutil.rmtree(folder, ignore_errors=True)
        return None


def _write(entries: Path, name: str, arrays: Arrays) -> None:
    try:
        entries.mkdir(parents=True, exist_ok=True)
        _make_room(entries, sum(array.nbytes for array in arrays.values()))
        with tempfile.TemporaryDirectory(prefix=".making-", dir=entries) as scratch:
            new = Path(scratch) / name
            new.mkdir()
            for key, array in arrays.items():
                np.save(new / f"{key}.npy", array)
            if not (entries / name).exists():
                new.rename(entries / name)
    except OSError as error:  # the next start makes it again
        logging.warning("what was encoded cannot be kept in %s: %s", entries, error)


def _make_room(entries: Path, more: int) -> None:
    sizes = {
        folder: sum(file.stat().st_size for file in folder.glob("*.npy"))
        for folder in entries.iterdir()
        if folder.is_dir() and not folder.name.startswith(".")
    }
    excess = sum(sizes.values()) + more - MOST_BYTES
    for folder in sorted(sizes, key=lambda folder: folder.stat().st_mtime):
        if excess <= 0:
            return
        shutil.rmtree(folder, ignore_errors=True)
        excess -= sizes[folder]
