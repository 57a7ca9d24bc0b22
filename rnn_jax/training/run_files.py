"""What a run directory says of itself: whose it is, with which configuration, and whether somebody trains in it.

Nothing here waits for JAX: the result of a finished run is shown at once.
"""

import errno
import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnn_jax import config as configuration
from rnn_jax.config import Config, fields_of, flat_values
from rnn_jax.errors import UserError
from rnn_jax.files import read_json, shown, write_atomically

try:
    import fcntl
except ImportError:  # Windows has none: there nothing stops two processes from training in one directory
    fcntl = None  # type: ignore[assignment]

# What may lie in a directory before a run starts in it: our own files from before config.json, and a scheduler's logs.
_OWN_SUFFIXES = (".log", ".out", ".err")
_RUNS_BELOW = ("seed_*", "runs/*/seed_*", "runs/trial_*")  # of --num_seeds, of a sweep, of a search


def stored_config(workdir: str | Path, experiment: str, config_class: type[Config]) -> Config:
    """The configuration of an existing run directory.

    Raises:
      UserError: no run directory, or one of another experiment.
    """
    return read_document(workdir, experiment, config_class)[0]


def read_document(workdir: str | Path, experiment: str, config_class: type[Config]) -> tuple[Config, str]:
    """The configuration of an existing run directory, and the hash that its checkpoints carry; as `stored_config`."""
    path = Path(workdir).expanduser().absolute()
    require_run(path, f"an earlier training run of {experiment!r}")
    document = _read_config(path, experiment)
    return _stored_config(path, config_class, document), document["config_hash"]


def require_run(path: Path, wanted: str) -> None:
    """UserError where no run began: says what is `wanted`, and which runs lie below, as those of several seeds do."""
    if (path / "config.json").is_file():
        return
    found = "is not a run directory (it has no config.json)" if path.exists() else "does not exist"
    below = (file.parent for pattern in _RUNS_BELOW for file in sorted(path.glob(f"{pattern}/config.json")))
    hint = f"; there is one in {first}" if (first := next(below, None)) else ""
    raise UserError(f"{path} {found}: give the --workdir of {wanted}{hint}")


def show_finished(workdir: str | Path, experiment: str, config: Any) -> bool:
    """Shows the result of a run that finished here before with this configuration; False where there is none.

    Raises:
      UserError: the run has other flags (each one is named), or is another experiment's.
    """
    path = Path(workdir)
    if not (path / "config.json").exists() or not (path / "result.json").exists():
        return False
    configuration.validate(config)
    adopt(path, experiment, config)
    result = read_json(path / "result.json")
    print(f"Finished before; the result is in {path}.{scored_with(result, config)}")
    print(f"{result_line(result)}\n{what_next(experiment, path)}", flush=True)
    return True


def what_next(experiment: str, path: Path) -> str:
    """Where a finished run is, and the command that applies it."""
    command = f"./launch.sh {experiment} --mode=predict --workdir={shlex.quote(str(path))}"
    return f"Run directory: {path}\nTo apply it: {command} --input=FILE"


def result_line(result: Mapping[str, Any]) -> str:
    """The metrics of a result, for people."""
    return shown({name: value for name, value in result.items() if "/" in name or name == "seconds"})


def scored_with(result: Mapping[str, Any], config: Any) -> str:
    """Where knobs that scores depend on, but a run does not, are other than those of the result: its values."""
    knobs, values = fields_of(type(config)), flat_values(config)
    free = [name for name in result if name in knobs and not knobs[name].identity]
    others = [f"--{name}={result[name]}" for name in free if result[name] != values[name]]
    return f" It was scored with {' '.join(others)}; --mode=eval scores with other values." if others else ""


def config_hash_in(path: Path, experiment: str) -> str:
    """The hash in the config.json of a run directory."""
    return _read_config(path, experiment)["config_hash"]


def adopt(path: Path, experiment: str, config: Any) -> str:
    """Writes config.json, or compares with the one that is there; returns the hash that the checkpoints carry."""
    file = path / "config.json"
    digest = configuration.config_hash(config)
    if file.exists():
        document = _read_config(path, experiment)
        old = _stored_config(path, type(config), document)
        changed = configuration.differences(old, config)
        if changed and has_trained(path):
            listed = "; ".join(f"--{name} was {_spelt(before)}, now {_spelt(after)}" for name, before, after in changed)
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


def has_trained(path: Path) -> bool:
    """Whether a run began there. Not one that failed early, on a misspelt split, say: the next may have other flags."""
    return any((path / name).exists() for name in ("checkpoints", "metrics.jsonl", "result.json"))


def document_of(path: Path) -> dict[str, Any]:
    """The config.json of a run directory, of whichever experiment; UserError for a damaged one."""
    document = read_json(path / "config.json")
    if not all(name in document for name in ("experiment", "config_hash", "config")):
        raise UserError(f"{path / 'config.json'} was not written by this library: use another --workdir")
    if not isinstance(document["config"], dict):
        raise UserError(
            f"{path / 'config.json'} is damaged (its config is not a JSON object): restore it, or delete the run "
            "directory to start over"
        )
    return document


def _read_config(path: Path, experiment: str) -> dict[str, Any]:
    document = document_of(path)
    if document["experiment"] != experiment:
        raise UserError(
            f"{path} is a run of experiment {document['experiment']!r}, not {experiment!r}: use another --workdir"
        )
    return document


def _stored_config(path: Path, config_class: type[Config], document: dict[str, Any]) -> Config:
    try:
        return configuration.config_from_dict(config_class, document["config"])
    except UserError as error:
        raise UserError(
            f"{path / 'config.json'} is damaged, edited, or of another version of this experiment: {error}"
        ) from None


def refuse_foreign(path: Path) -> None:
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


def _spelt(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else repr(value) if value == "" else str(value)
