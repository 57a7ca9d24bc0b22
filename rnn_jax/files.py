"""JSON files of a run directory: written whole or not at all, read with messages for people."""

import contextlib
import errno
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rnn_jax.errors import UserError

LOG = "run.log"  # in a run directory: what a run printed that nobody watched
_REMEDIES = {"result.json": "delete this file and give the same command again, which scores the checkpoints anew"}
_REMEDY = "restore it, or delete the run directory to start over"


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics.jsonl; what a kill left half-written is skipped, and what is damaged."""
    return [line for line in map(_metrics_line, _lines(path)) if line is not None]


def count_damaged_metrics(path: Path) -> int:
    """How many lines of a metrics.jsonl cannot be read, not counting a last one that a kill left half-written."""
    lines = _lines(path)
    if lines and lines[-1].startswith(b"{"):
        del lines[-1]
    return sum(_metrics_line(line) is None for line in lines)


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []


def _metrics_line(text: bytes) -> dict[str, Any] | None:
    with contextlib.suppress(ValueError):
        line = json.loads(text)
        if isinstance(line, dict) and all(isinstance(line.get(name, 0.0), int | float) for name in ("step", "seconds")):
            return line if "step" in line else None
    return None


def write_atomically(path: Path, text: str) -> None:
    """Replaces a file by way of a temporary one: readers and killed writers see the old text or the new, whole."""
    temporary = path.with_name(f".{path.name}.tmp")
    with explain_write_errors(path.parent):
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


@contextlib.contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """A failed write below `path` (full disk, no permission) becomes a UserError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            advice = "free some space and run the same command again to continue"
        else:
            advice = "use another --workdir"
        raise UserError(f"cannot write to {path} ({error.strerror}): {advice}") from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; UserError where the file is unreadable or damaged."""
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror})") from None
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise UserError(f"{path} is damaged (not a JSON object): {_REMEDIES.get(path.name, _REMEDY)}")
    return document


def to_json_number(value: Any) -> Any:
    """Scalar arrays as Python numbers, non-finite ones as None; anything else unchanged."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def shown(metrics: Mapping[str, Any]) -> str:
    """One line for people: "train/loss 0.3127  validation/accuracy 0.948"."""
    return "  ".join(f"{name} {value:.4g}" for name, value in metrics.items() if isinstance(value, float))
