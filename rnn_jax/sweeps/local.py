"""Jobs as processes of this machine: so many at a time, each on its own share of the cores."""

import itertools
import os
import signal
import subprocess
import sys
import time
import zlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from rnn_jax.errors import TrainingInterrupted, UserError
from rnn_jax.sweeps.jobs import Job, ended, start
from rnn_jax.training.run import lock_directory
from rnn_jax.training.stopping import StopSignal

SECONDS_BETWEEN_LOOKS = 0.1
SECONDS_TO_SAVE = 60.0  # for a run that was asked to stop: it finishes its step, or what it compiles, and saves
STOPPED = "stopped; run the same command again to continue"

# From 0.3 s of compile time on; launch.sh says why.
_COMPILE_SECONDS_WORTH_KEEPING = "0.3"


class _Running(NamedTuple):
    job: Job
    process: subprocess.Popen
    slot: int
    started: float


def run_jobs(
    jobs: Sequence[Job],
    *,
    num_parallel: int,
    on_start: Callable[[Job], None],
    on_end: Callable[[Job, int, float], None],
    tick: Callable[[], None],
) -> None:
    """Runs every job; one that fails doesn't stop the others.

    on_start(job), on_end(job, exit code, seconds) and tick(), which is called several times a second, run between the
    looks at the processes. A job whose run directory another process holds (one that a killed sweep left behind, and
    that is saving) waits for it.

    Raises:
      TrainingInterrupted: SIGINT or SIGTERM came. The processes were asked to save and stop, a second Ctrl-C or a
        minute's patience killed them.
    """
    cores = share_cores(min(num_parallel, len(jobs)), available_cores())
    waiting, running, free, told = deque(jobs), list[_Running](), deque(range(len(cores))), False
    with StopSignal() as stop:
        try:
            while (waiting or running) and not stop.requested:
                if free and (job := _next_free(waiting)) is not None:
                    slot = free.popleft()
                    running.append(_Running(job, start(job, cores[slot]), slot, time.monotonic()))
                    on_start(job)
                    continue  # to the next one, unless a signal came
                if not running and not told:
                    told = True
                    print(f"waiting for a process that trains in {waiting[0].directories[0]}", file=sys.stderr)
                free.extend(one.slot for one in _collect(running, on_end))
                tick()
                time.sleep(SECONDS_BETWEEN_LOOKS)
            _let_save(running, on_end, tick)
        finally:
            _kill(running, on_end)
        if stop.signal_number is not None:
            raise TrainingInterrupted(STOPPED, stop.signal_number)


def _next_free(waiting: deque[Job]) -> Job | None:
    """Takes the first job whose directories nobody holds."""
    for job in waiting:
        if not any(is_held(Path(directory)) for directory in job.directories):
            waiting.remove(job)
            return job
    return None


def is_held(directory: Path) -> bool:
    """True while a process trains in the run directory."""
    if not (directory / ".lock").exists():
        return False
    try:
        os.close(lock_directory(directory, "another process is training in"))
    except UserError:
        return True
    return False


def _collect(running: list[_Running], on_end: Callable[[Job, int, float], None]) -> list[_Running]:
    """Takes the jobs that have ended out of the list, and tells of them."""
    over = [one for one in running if one.process.poll() is not None]
    for one in over:
        running.remove(one)
        seconds = time.monotonic() - one.started
        ended(one.job, one.process.returncode, seconds)
        on_end(one.job, one.process.returncode, seconds)
    return over


def _let_save(running: list[_Running], on_end: Callable[[Job, int, float], None], tick: Callable[[], None]) -> None:
    """Asks the processes to stop, and gives them time to."""
    for one in running:
        one.process.terminate()
    deadline = time.monotonic() + SECONDS_TO_SAVE
    while running and time.monotonic() < deadline:
        _collect(running, on_end)
        tick()
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _kill(running: list[_Running], on_end: Callable[[Job, int, float], None]) -> None:
    for one in running:
        with suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGKILL)  # it leads a session, and a group, of its own
        one.process.wait()
    _collect(running, on_end)


def available_cores() -> list[int]:
    """The cores that this process may use, hardware threads of one core side by side; [] where no one can tell."""
    if not hasattr(os, "sched_getaffinity"):
        return []

    def siblings(core: int) -> str:
        file = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
        return file.read_text() if file.exists() else str(core)

    together = {core: siblings(core) for core in sorted(os.sched_getaffinity(0))}
    first = {names: core for core, names in reversed(together.items())}
    return sorted(together, key=lambda core: (first[together[core]], core))


def share_cores(num_slots: int, cores: Sequence[int]) -> list[tuple[int, ...]]:
    """Splits the cores into consecutive parts that differ in size by one at most.

    (), which means all of them, for each of more slots than there are cores.
    """
    if num_slots > len(cores):
        return [()] * num_slots
    bounds = [len(cores) * slot // num_slots for slot in range(num_slots + 1)] if num_slots else [0]
    return [tuple(cores[low:high]) for low, high in itertools.pairwise(bounds)]


def shared_cache(workdir: Path, environment: Mapping[str, str] = os.environ) -> tuple[tuple[str, str], ...]:
    """Variables that let all processes share what they compile; a user's own values win.

    In a folder for each kind of processor: JAX doesn't tell them apart, and the sweep may go on elsewhere.
    """
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else [" ".join(os.uname())]
    kind = next((line for line in lines if line.startswith(("flags", "Features"))), lines[0])
    settings = {
        "JAX_COMPILATION_CACHE_DIR": str(workdir / ".compiled" / str(zlib.crc32(kind.encode()))),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": _COMPILE_SECONDS_WORTH_KEEPING,
    }
    return tuple((name, value) for name, value in settings.items() if name not in environment)
