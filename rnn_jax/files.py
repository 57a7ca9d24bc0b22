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


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics.jsonl; those that a kill left half-written are skipped."""
    lines = []
    if path.exists():
        for text in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError):
                line = json.loads(text)
                if isinstance(line, dict) and "step" in line:
                    lines.append(line)
    return lines


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
        raise UserError(f"{path} is damaged (not a JSON object): restore it, or delete the run directory to start over")
    return document


def to_json_number(value: Any) -> Any:
    """Scalar arrays as Python numbers, non-finite ones as None; anything else unchanged."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def shown(metrics: Mapping[str, Any]) -> str:
    """One line for people: "train/loss 0.3127  validation/accuracy 0.948"."""
    return "  ".join(f"{name} {value:.4g}" for name, value in metrics.items() if isinstance(value, float))
