"""One process of a sweep, and how it is carried out on whatever machine it lands on."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rnn_jax.files import LOG
from rnn_jax.sweeps.records import OUTCOME, last_lines, write_outcome

CHILD = Path(__file__).with_name("child.py")


class Job(NamedTuple):
    """A command that trains one run, or several as one program; plain values, so that any scheduler can carry it.

    name: for people. command: arguments after the Python interpreter. directories: of its runs. log: file for what it
    prints. environment: variables on top of the caller's.
    """

    name: str
    command: tuple[str, ...]
    directories: tuple[str, ...]
    log: str
    environment: tuple[tuple[str, str], ...] = ()


def start(job: Job, cores: Sequence[int] = ()) -> subprocess.Popen:
    """Starts the job's process on these cores (default: all). It gets SIGTERM when this process dies."""
    Path(job.log).parent.mkdir(parents=True, exist_ok=True)
    for directory in job.directories:
        (Path(directory) / OUTCOME).unlink(missing_ok=True)  # from here on it runs
    guard = [str(CHILD), str(os.getpid()), ",".join(map(str, cores))]
    with open(job.log, "ab") as log:
        return subprocess.Popen(
            [sys.executable, *guard, sys.executable, *job.command],
            env={**os.environ, **dict(job.environment)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is ours to pass on, as a signal that saves
        )


def ended(job: Job, exit_code: int, seconds: float) -> None:
    """Notes the end in each run directory of the job that its process did not note itself."""
    for directory in map(Path, job.directories):
        if not (directory / "result.json").exists() and not (directory / OUTCOME).exists():
            write_outcome(directory, exit_code, seconds)
            if Path(job.log) != directory / LOG:  # a process of several runs: it may have failed before any of them
                with (directory / LOG).open("a", encoding="utf-8") as log:
                    log.write(f"--- {job.log} ended with exit code {exit_code}:\n{last_lines(Path(job.log))}\n")


def execute(job: Job, environment: Mapping[str, str] | None = None) -> int:
    """Starts the job and waits for its end; what a remote worker calls. Returns the exit code."""
    started = time.monotonic()
    process = start(job._replace(environment=(*job.environment, *(environment or {}).items())))
    exit_code = process.wait()
    ended(job, exit_code, time.monotonic() - started)
    return exit_code
