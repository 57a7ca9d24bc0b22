"""The run directory: which configuration it belongs to, what was measured in it, and how it ended.

config.json     experiment, configuration and its hash; written before anything else
metrics.jsonl   one line per log or evaluation: step, epoch, seconds, then name → value
result.json     final numbers and where they come from; its presence means "finished"
.lock           held while a process trains here
"""

import dataclasses
import errno
import json
import os
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from rnn_jax import config as configuration
from rnn_jax.config import Config, knob
from rnn_jax.errors import UserError
from rnn_jax.training.divergence import SMALLEST_FIRST_LOSS
from rnn_jax.training.files import explain_write_errors, read_json, read_metrics, to_json_number, write_atomically
from rnn_jax.training.provenance import provenance
from rnn_jax.training.tensorboard import TensorBoard

try:
    import fcntl
except ImportError:  # Windows has none: there nothing stops two processes from training in one directory
    fcntl = None  # type: ignore[assignment]

# What may lie in a directory before a run starts in it: our own files from before config.json, and a scheduler's logs.
_OWN_SUFFIXES = (".log", ".out", ".err")


AVERAGES = ("best", "last")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Knobs that every experiment has."""

    seed: int = knob(0, "seed of initialisation, batch order and dropout", minimum=0)
    num_epochs: int = knob(5, "passes over the training data", minimum=1)
    num_steps: int = knob(0, "updates in all (0 = --num_epochs decides)", minimum=0)
    log_every_steps: int = knob(100, "steps between lines of training metrics", minimum=1, identity=False)
    eval_every_steps: int = knob(0, "steps between evaluations (0 = after each epoch)", minimum=0)
    checkpoint_every_seconds: float = knob(60.0, "seconds between checkpoints (0 = off)", minimum=0.0, identity=False)
    checkpoint_every_steps: int = knob(0, "steps between checkpoints (0 = off)", minimum=0, identity=False)
    divergence_factor: float = knob(
        1e4,
        "stop as diverged when the loss exceeds so many times its first value, counted as at least "
        f"{SMALLEST_FIRST_LOSS:g} (0 = only when it is not finite)",
        minimum=0.0,
        identity=False,
    )
    early_stopping_patience: int = knob(0, "stop after so many evaluations without a new best (0 = off)", minimum=0)
    average_checkpoints: int = knob(
        0, "use the mean of the parameters of so many evaluations, not those of the best one (0 = off)", minimum=0
    )
    average: str = knob("best", "which evaluations --average_checkpoints takes", choices=AVERAGES)
    init_from: str = knob("", "run directory whose best parameters are the initial ones")
    tensorboard: bool = knob(False, "also write TensorBoard events to the run directory", identity=False)


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
        clock: Callable[[], float] = time.monotonic,
    ):
        self.path = path
        self.experiment = experiment
        self.config_hash = config_hash
        self._writable, self._clock = writable, clock
        self._events = TensorBoard(path / "tensorboard") if tensorboard and writable else None
        self._provenance = provenance() if writable else {}  # of the code that starts, not of what git says hours later
        self._seconds_before = max((line.get("seconds", 0.0) for line in self.read_metrics()), default=0.0)
        self._started = clock()
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
        return self._seconds_before + self._clock() - self._started

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

        A run that starts anew although lines exist (killed before its first checkpoint) passes −1.
        """
        path = self.path / "metrics.jsonl"
        if self._writable and path.exists():
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


def open_run(workdir: str | Path, experiment: str, config: Any, *, clock: Callable[[], float] = time.monotonic) -> Run:
    """Opens (or creates) a run directory for training with this configuration, and locks it.

    clock: seconds that are this run's, of a process that it may share with others.

    UserError: the directory holds something else, another experiment or training with other flags (each one is named);
    another process trains in it; it cannot be written.
    """
    configuration.validate(config)
    path = Path(workdir).expanduser().absolute()
    writable = jax.process_index() == 0  # of several processes, one writes
    tensorboard = isinstance(config, RunConfig) and config.tensorboard
    digest = configuration.config_hash(config)
    if not writable:
        if (path / "config.json").exists():  # the hash that process 0 goes by: see _adopt
            digest = _read_config(path, experiment)["config_hash"]
        return Run(path, experiment, digest, writable=False)
    with explain_write_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        _refuse_foreign(path)
        lock = lock_directory(path, "another process is training in")
    try:
        digest = _adopt(path, experiment, config)
        run = Run(path, experiment, digest, writable=True, tensorboard=tensorboard, clock=clock)
    except BaseException:
        os.close(lock)
        raise
    run._unlock = weakref.finalize(run, os.close, lock)
    return run


def read_run(workdir: str | Path, experiment: str, config_class: type[Config]) -> tuple[Config, Run]:
    """The configuration of an existing run directory, and the run, opened for reading only.

    UserError: no run directory, or one of another experiment.
    """
    path = Path(workdir).expanduser().absolute()
    if not (path / "config.json").is_file():
        found = "is not a run directory (it has no config.json)" if path.exists() else "does not exist"
        raise UserError(f"{path} {found}: give the --workdir of an earlier training run of {experiment!r}")
    document = _read_config(path, experiment)
    return _stored_config(path, config_class, document), Run(path, experiment, document["config_hash"], writable=False)


def _adopt(path: Path, experiment: str, config: Any) -> str:
    """Writes config.json, or compares with the one that is there; returns the hash that the checkpoints carry."""
    file = path / "config.json"
    digest = configuration.config_hash(config)
    if file.exists():
        document = _read_config(path, experiment)
        old = _stored_config(path, type(config), document)
        changed = configuration.differences(old, config)
        if changed and _has_trained(path):
            listed = "; ".join(f"--{name} was {_shown(before)}, now {_shown(after)}" for name, before, after in changed)
            raise UserError(
                f"{path} holds a run with other flags: {listed}. Use another --workdir, give the old values to "
                "continue that run, or delete the directory to start over."
            )
        if not changed:
            digest = document["config_hash"]  # of the release that made the run: a later one may know more fields
    document = {"experiment": experiment, "config_hash": digest, "config": configuration.config_to_dict(config)}
    finished = (path / "result.json").exists()  # with the configuration that stands there
    if not file.exists() or (read_json(file) != document and not finished):
        write_atomically(file, json.dumps(document, indent=2) + "\n")
    return digest


def _has_trained(path: Path) -> bool:
    """False for a start that failed early, on a misspelt split, say: the next one may have other flags."""
    return any((path / name).exists() for name in ("checkpoints", "metrics.jsonl", "result.json"))


def _read_config(path: Path, experiment: str) -> dict[str, Any]:
    document = read_json(path / "config.json")
    if not all(name in document for name in ("experiment", "config_hash", "config")):
        raise UserError(f"{path / 'config.json'} was not written by this library: use another --workdir")
    if document["experiment"] != experiment:
        raise UserError(
            f"{path} is a run of experiment {document['experiment']!r}, not {experiment!r}: use another --workdir"
        )
    return document


def _stored_config(path: Path, config_class: type[Config], document: dict[str, Any]) -> Config:
    try:
        return configuration.config_from_dict(config_class, document["config"])
    except UserError as error:
        raise UserError(f"{path / 'config.json'} was written by another version of this experiment: {error}") from None


def _refuse_foreign(path: Path) -> None:
    if (path / "config.json").exists():
        return
    foreign = [p.name for p in path.iterdir() if not (p.name.startswith(".") or p.suffix in _OWN_SUFFIXES)]
    if foreign:
        raise UserError(
            f"{path} is not empty and not a run directory (it holds {', '.join(sorted(foreign)[:5])}): "
            "use another --workdir"
        )


def lock_directory(path: Path, busy: str) -> int:
    """Takes a directory's lock; closing the returned descriptor, or the death of the process, releases it.

    Raises:
      UserError: another process has it; the message begins with `busy`.
    """
    descriptor = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise UserError(f"{busy} {path}: wait for it, or use another --workdir") from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):  # file systems without locks
                os.close(descriptor)
                raise
    return descriptor


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else repr(value) if value == "" else str(value)
