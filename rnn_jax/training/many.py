"""Several runs in one process, one after the other: start, data and compilation are paid once.

Every update is by the program of a single run, to the same bits. `in_step.py` has another way.
"""

import contextlib
import functools
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from rnn_jax.exit_codes import exit_code
from rnn_jax.files import LOG

Say = Callable[[str], None]
TrainIn = Callable[[Path, Any], Any]


class Outcome(NamedTuple):
    """How a run ended: an exit code as scripts have it (1: an error of ours, its traceback is in the log), seconds."""

    exit_code: int
    seconds: float


def train_in_turn(train: TrainIn, runs: Mapping[Path, Any], say: Say) -> dict[Path, Outcome]:
    """Calls train(directory, configuration) for each; one that fails does not stop the others, a signal does."""
    outcomes: dict[Path, Outcome] = {}
    for directory, config in runs.items():
        say(f"{directory.name}, {len(outcomes) + 1} of {len(runs)}")
        started = time.monotonic()
        with open_log(directory) as log:
            code = logged(log, functools.partial(train, directory, config))
        outcomes[directory] = Outcome(code, time.monotonic() - started)
        if code > 128:
            break
    return outcomes


def open_log(directory: Path) -> TextIO:
    """What a run prints that nobody watches."""
    directory.mkdir(parents=True, exist_ok=True)
    return (directory / LOG).open("a", encoding="utf-8", buffering=1)


def logged(log: TextIO, body: Callable[[], Any]) -> int:
    """Runs body, with what it prints in the log; returns the exit code that a script would have."""

    def run() -> None:
        body()

    with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        try:
            return exit_code(run)
        except Exception:
            traceback.print_exc()
            return 1
