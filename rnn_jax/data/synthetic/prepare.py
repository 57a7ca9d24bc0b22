"""Prepares our own datasets into a cache folder, once for all processes and whatever happens to one of them."""

import contextlib
import importlib
import io
import shutil
import tempfile
import time
from pathlib import Path

import tensorflow_datasets as tfds

from rnn_jax.data.cache import cache_dir
from rnn_jax.data.synthetic import SYNTHETIC
from rnn_jax.errors import UserError

_STALE_AFTER_SECONDS = 24 * 3600


def prepare_synthetic(name: str) -> Path:
    """Makes the dataset in the cache folder unless it is there; returns the folder that holds its files.

    Raises:
      UserError: the cache folder cannot be written.
    """
    module, _, class_name = SYNTHETIC[name].partition(":")
    builder_class = getattr(importlib.import_module(module), class_name)
    datasets = cache_dir() / "datasets"
    folder = datasets / name / str(builder_class.VERSION)
    if folder.exists():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(datasets)
        with tempfile.TemporaryDirectory(prefix=".preparing-", dir=datasets) as scratch:
            _build(builder_class, scratch)
            _move_into_place(Path(scratch) / name / folder.name, folder)
    except OSError as error:
        raise UserError(
            f"Cannot prepare the dataset {name!r} in {datasets}: {error}. "
            "Set the environment variable RNN_JAX_CACHE to a folder that can be written."
        ) from error
    return folder


def _build(builder_class: type[tfds.core.GeneratorBasedBuilder], data_dir: str) -> None:
    # TFDS reports on stdout, where a script's own output goes, and draws progress bars for a job of two seconds.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        builder = builder_class(data_dir=data_dir, file_format="array_record")
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))


def _move_into_place(made: Path, folder: Path) -> None:
    # A rename is all or nothing: others see the whole dataset or none, and of two processes the first one wins.
    try:
        made.rename(folder)
    except OSError:
        if not folder.exists():
            raise


def _remove_stale(datasets: Path) -> None:
    """Deletes what a process that was killed while preparing has left, once no living one can still be at it."""
    for scratch in datasets.glob(".preparing-*"):
        with contextlib.suppress(OSError):
            if time.time() - scratch.stat().st_mtime > _STALE_AFTER_SECONDS:
                shutil.rmtree(scratch)
