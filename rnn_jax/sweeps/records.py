"""What a run directory of a sweep says: how far it is, how it ended, with which numbers."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from rnn_jax.errors import TrainingDiverged
from rnn_jax.files import LOG, read_json, read_metrics, write_atomically
from rnn_jax.sweeps.rows import SweepRun

OUTCOME = ".outcome.json"  # hidden: a run may start in a directory that holds it

STATUSES = ("finished", "diverged", "failed", "interrupted", "running", "waiting")
SIGNALLED = 128  # exit codes from here on (and negative ones) are signals: such a run is continued, not failed


class Record(NamedTuple):
    """One run as its directory tells it.

    status: one of STATUSES; "running" means started and not ended, as far as the directory knows.
    result: result.json, {} without one. metrics: the lines of metrics.jsonl. message: last lines of a failed run.
    set_aside: how often it diverged before --retry_failed began it anew.
    """

    run: SweepRun
    status: str
    result: dict[str, Any]
    metrics: list[dict[str, Any]]
    message: str = ""
    set_aside: int = 0


def write_outcome(directory: Path, exit_code: int, seconds: float) -> None:
    """Notes how the last process of a run ended."""
    directory.mkdir(parents=True, exist_ok=True)
    document = {"exit_code": exit_code, "seconds": round(seconds, 1)}
    write_atomically(directory / OUTCOME, json.dumps(document) + "\n")


def read_record(run: SweepRun, *, with_metrics: bool = True) -> Record:
    """Reads a run directory that may not exist yet, or be written at this moment."""
    directory = run.directory
    aside = sum(1 for _ in directory.parent.glob(f"{directory.name}.failed-*"))
    metrics = read_metrics(directory / "metrics.jsonl") if with_metrics else []
    record = Record(run, "waiting", {}, metrics, set_aside=aside)
    if (directory / "result.json").exists():
        return record._replace(status="finished", result=read_json(directory / "result.json"))
    if not (directory / OUTCOME).exists():
        return record._replace(status="running") if (directory / "config.json").exists() else record
    code = read_json(directory / OUTCOME)["exit_code"]
    if code < 0 or code >= SIGNALLED:
        return record._replace(status="interrupted")
    status = "diverged" if code == TrainingDiverged.exit_code else "failed"
    return record._replace(status=status, message=last_lines(directory / LOG))


def last_lines(path: Path, count: int = 5) -> str:
    """The last lines of a log that say something."""
    if not path.exists():
        return ""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join([line.rstrip() for line in lines if line.strip()][-count:])
