"""The directory of a sweep: whose it is, and that only one process works in it.

sweep.json      the sweep file's name, experiment, metric; overrides, seeds, command, rows
sweep_file.py   a copy of the sweep file, so that the report can be made anew whatever becomes of the original
runs/           a directory for each row, in it a run directory for each seed
report.*        what it all means
.lock           held while a process runs the sweep
.compiled/      what the runs compile, for all to use
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rnn_jax.config import config_from_dict, config_to_dict, differences, with_overrides
from rnn_jax.errors import UserError
from rnn_jax.files import explain_write_errors, read_json, write_atomically
from rnn_jax.sweeps.names import digits_of
from rnn_jax.sweeps.rows import Sweep
from rnn_jax.sweeps.sweep_file import load_sweep
from rnn_jax.training.run import lock_directory

DOCUMENT = "sweep.json"
COPY = "sweep_file.py"
_KINDS: dict[str, type] = {"name": str, "file": str, "module": str, "metric": str, "command": str}
_KINDS |= {"num_seeds": int, "overrides": dict, "rows": list}


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Makes the directory, and keeps other sweeps out of it.

    Raises:
      UserError: another sweep runs in it, or it cannot be written.
    """
    with explain_write_errors(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        lock = lock_directory(workdir, "another sweep is running in")
    try:
        yield
    finally:
        os.close(lock)


def stored_document(workdir: Path) -> dict[str, Any] | None:
    """What sweep.json holds; None for a directory that is empty or not there.

    Raises:
      UserError: it holds something else.
    """
    if (workdir / DOCUMENT).exists():
        return _read_document(workdir)
    found = [path.name for path in workdir.iterdir()] if workdir.is_dir() else []
    if foreign := sorted(name for name in found if not name.startswith(".") and not name.endswith((".log", ".out"))):
        kind = "a run directory" if "config.json" in foreign else "not empty"
        raise UserError(
            f"{workdir} is {kind}, and no sweep's (it holds {', '.join(foreign[:5])}): use another --workdir"
        )
    return None


def open_sweep(file: str | Path, workdir: Path, overrides: Mapping[str, Any]) -> Sweep:
    """The sweep of a file, to be run in the directory. A row that was there before keeps its place in runs/.

    Raises:
      UserError: as load_sweep; or the directory is another sweep's, or was begun with other overrides.
    """
    sweep, document = load_sweep(file, overrides), stored_document(workdir)
    if document is None:
        return sweep
    if (document["name"], document["module"]) != (sweep.path.stem, sweep.module):
        raise UserError(
            f"{workdir} holds the sweep {document['name']!r} of {document['module']}, not {sweep.path.stem!r} of "
            f"{sweep.module}: use another --workdir"
        )
    if document["metric"] != sweep.metric and _has_result_with(workdir, document["metric"]):
        raise UserError(
            f"{workdir} holds a sweep by {document['metric']}, and the file now says METRIC = {sweep.metric!r}: "
            "use another --workdir, or put METRIC back"
        )
    before, now = (with_overrides(sweep.config_class(), given) for given in (document["overrides"], overrides))
    if changed := differences(before, now):
        listed = "; ".join(f"{name} was {old}, now {new}" for name, old, new in changed)
        raise UserError(f"{workdir} was begun with another --set: {listed}. Give the same, or another --workdir.")
    return _with_kept_slugs(sweep, document)


def reopen_sweep(workdir: Path) -> tuple[Sweep, dict[str, Any]]:
    """The sweep that the directory holds, by the copy of its file, and what sweep.json says.

    Raises:
      UserError: no sweep is there.
    """
    require_sweep(workdir)
    document = _read_document(workdir)
    sweep = load_sweep(workdir / COPY, document["overrides"])
    return _with_kept_slugs(sweep, document)._replace(path=Path(document["file"])), document


def _read_document(workdir: Path) -> dict[str, Any]:
    document = read_json(workdir / DOCUMENT)
    if wrong := [name for name, kind in _KINDS.items() if not isinstance(document.get(name), kind)]:
        raise UserError(
            f"{workdir / DOCUMENT} is damaged (no usable {', '.join(wrong)}): restore it, or give the "
            "sweep file another --workdir"
        )
    return document


def require_sweep(workdir: Path) -> None:
    """UserError where no sweep was run."""
    if not (workdir / DOCUMENT).exists():
        raise UserError(f"{workdir} holds no sweep (it has no {DOCUMENT}): give the --workdir of one")


def write_sweep(workdir: Path, sweep: Sweep, *, num_seeds: int, overrides: Mapping[str, Any], command: str) -> None:
    """Writes sweep.json and the copy of the sweep file."""
    document = {
        "name": sweep.path.stem,
        "file": str(sweep.path),
        "module": sweep.module,
        "metric": sweep.metric,
        "num_seeds": num_seeds,
        "overrides": dict(overrides),
        "command": command,
        "rows": [{"name": row.name, "slug": row.slug, "config": config_to_dict(row.config)} for row in sweep.rows],
    }
    write_atomically(workdir / DOCUMENT, json.dumps(document, indent=1) + "\n")
    write_atomically(workdir / COPY, sweep.path.read_text(encoding="utf-8"))


def _has_result_with(workdir: Path, metric: str) -> bool:
    """Whether rows were compared by the metric yet: a misspelt one, that no result has, may be put right."""
    return any(metric in read_json(file) for file in workdir.glob("runs/*/*/result.json"))


def _with_kept_slugs(sweep: Sweep, document: Mapping[str, Any]) -> Sweep:
    """The sweep, each row with the directory that its configuration had before.

    A slug has digits of the whole configuration: it would be another as soon as the experiment has one more knob.
    """
    kept = {}
    for row in document["rows"]:
        with contextlib.suppress(UserError):  # a field that the experiment has no more: the row cannot come back
            kept[digits_of(config_from_dict(sweep.config_class, row["config"]))] = row["slug"]
    rows = (row._replace(slug=kept.get(digits_of(row.config), row.slug)) for row in sweep.rows)
    return sweep._replace(rows=tuple(rows))
