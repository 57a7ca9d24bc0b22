"""The run directory: which configuration it belongs to, what was measured in it, and how it ended.

config.json     experiment, configuration and its hash; written before anything else
metrics.jsonl   one line per log or evaluation: step, epoch, seconds, then name → value
result.json     final numbers and where they come from; its presence means "finished"
.lock           held while a process trains here
"""

import json
import os
import sys
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from rnn_jax import config as configuration
from rnn_jax.config import Config
from rnn_jax.files import (
    count_damaged_metrics,
    explain_write_errors,
    read_json,
    read_metrics,
    to_json_number,
    write_atomically,
)
from rnn_jax.training.provenance import provenance
from rnn_jax.training.run_files import adopt, config_hash_in, lock_directory, read_document, refuse_foreign
from rnn_jax.training.tensorboard import TensorBoard


class Run:
    """An open run directory. Close it (or use it as a context manager) so that others may train in it."""

    def __init__(
        self,
        path: Path,
        experiment: str,
        config_hash: str,
        *,
        writable: bool,
        tensorboard: bool = False,
    ):
        self.path = path
        self.experiment = experiment
        self.config_hash = config_hash
        self._writable = writable
        self._events = TensorBoard(path / "tensorboard") if tensorboard and writable else None
        self._provenance = provenance() if writable else {}  # of the code that starts, not of what git says hours later
        self._seconds_before = max((line.get("seconds", 0.0) for line in self.read_metrics()), default=0.0)
        self._started = time.monotonic()
        self._unlock: Callable[[], Any] | None = None
        self._end_last_line()

    @property
    def checkpoints(self) -> Path:
        """Directory of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def result(self) -> dict[str, Any] | None:
        """What result.json holds; None while the run isn't finished."""
        path = self.path / "result.json"
        return read_json(path) if path.exists() else None

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of training in this directory, over all resumptions up to their last logged line."""
        return self._seconds_before + time.monotonic() - self._started

    def log(self, step: int, epoch: int | float, metrics: Mapping[str, Any]) -> None:
        """Appends a line to metrics.jsonl. Log before saving the checkpoint of the same step, or a kill loses the line.

        Values are numbers or scalar arrays; NaN and infinity become null, which JSON knows.
        """
        if not self._writable:
            return
        values = {name: to_json_number(value) for name, value in metrics.items()}
        line = {"step": int(step), "epoch": to_json_number(epoch), "seconds": round(self.seconds, 3)} | values
        with explain_write_errors(self.path), (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self._events is not None:
            self._events.log(step, values)

    def read_metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a line that a kill left half-written is skipped."""
        return read_metrics(self.path / "metrics.jsonl")

    def truncate_metrics(self, after_step: int) -> None:
        """Removes lines of later steps (and half-written ones): the run resumes from a checkpoint of `after_step`.

        A run that starts anew although lines exist (killed before its first checkpoint) passes −1. Damaged lines go
        too, with a warning.
        """
        path = self.path / "metrics.jsonl"
        if self._writable and path.exists():
            if damaged := count_damaged_metrics(path):
                print(f"warning: {path}: {damaged} damaged line(s) were dropped", file=sys.stderr, flush=True)
            kept = [json.dumps(line) + "\n" for line in self.read_metrics() if line["step"] <= after_step]
            write_atomically(path, "".join(kept))

    def _end_last_line(self) -> None:
        """A new line must not be glued to one that a kill left half-written."""
        path = self.path / "metrics.jsonl"
        if self._writable and path.exists() and path.stat().st_size:
            with path.open("rb+") as file:
                file.seek(-1, os.SEEK_END)
                if file.read() != b"\n":
                    file.write(b"\n")

    def say(self, text: str) -> None:
        """Prints a line, once for all processes."""
        if self._writable:
            print(text, flush=True)

    def draw(self, plot: Callable[..., Any], *arguments: Any) -> None:
        """Calls plot(*arguments, path), the last argument being the name of a picture in the run directory."""
        *rest, name = arguments
        if self._writable:
            plot(*rest, self.path / name)

    def write(self, name: str, text: str) -> None:
        """Writes a text file of this name into the run directory, whole or not at all."""
        if self._writable:
            with explain_write_errors(self.path):
                (self.path / name).parent.mkdir(exist_ok=True)
            write_atomically(self.path / name, text)

    def finish(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """Writes result.json: the given numbers, then seconds, commit, versions, device and command. Returns it all."""
        numbers = {name: to_json_number(value) for name, value in result.items()}
        document = numbers | {
            "seconds": round(self.seconds, 3),
            "experiment": self.experiment,
            "config_hash": self.config_hash,
            **self._provenance,
        }
        if self._writable:
            write_atomically(self.path / "result.json", json.dumps(document, indent=2) + "\n")
        return document

    def close(self) -> None:
        """Releases the lock and the event file; harmless twice."""
        if self._events is not None:
            self._events.close()
        if self._unlock is not None:
            self._unlock()

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_run(workdir: str | Path, experiment: str, config: Any) -> Run:
    """Opens (or creates) a run directory for training with this configuration, and locks it.

    UserError: the directory holds something else, another experiment or training with other flags (each one is named);
    another process trains in it; it cannot be written.
    """
    configuration.validate(config)
    path = Path(workdir).expanduser().absolute()
    writable = jax.process_index() == 0  # of several processes, one writes
    tensorboard = configuration.flat_values(config).get("tensorboard", False)
    digest = configuration.config_hash(config)
    if not writable:
        if (path / "config.json").exists():  # the hash that process 0 goes by: see `adopt`
            digest = config_hash_in(path, experiment)
        return Run(path, experiment, digest, writable=False)
    with explain_write_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        refuse_foreign(path)
        lock = lock_directory(path, "another process is training in")
    try:
        digest = adopt(path, experiment, config)
        run = Run(path, experiment, digest, writable=True, tensorboard=tensorboard)
    except BaseException:
        os.close(lock)
        raise
    run._unlock = weakref.finalize(run, os.close, lock)
    return run


def read_run(workdir: str | Path, experiment: str, config_class: type[Config]) -> tuple[Config, Run]:
    """The configuration of an existing run directory, and the run, opened for reading only; as `stored_config`."""
    config, digest = read_document(workdir, experiment, config_class)
    return config, Run(Path(workdir).expanduser().absolute(), experiment, digest, writable=False)
