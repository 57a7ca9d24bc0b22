"""Carrying out a job where a scheduler put it: what the executors for other machines share."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import rnn_jax
from rnn_jax.errors import UserError
from rnn_jax.sweeps.jobs import Job, ended, start
from rnn_jax.sweeps.local import SECONDS_TO_SAVE, is_held, shared_cache

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]

LOST = 137  # exit code of a job whose machine is gone, again and again: as if it had been killed, so it continues later
STOPPED = 143  # of one that was asked to stop (SIGTERM)
SECONDS_BETWEEN_LOOKS = 0.2

_SECONDS_FOR_ANOTHER_PROCESS = 2 * SECONDS_TO_SAVE


class Place(NamedTuple):
    """What a worker must know to carry out jobs; plain values.

    folder: in the shared workdir; holds the token, and a file for each job that has started. token: tells that the
    folder is the same on both machines. paths: for PYTHONPATH. directory: the caller's, for relative paths in flags.
    """

    folder: str
    token: str
    paths: tuple[str, ...]
    directory: str

    def start_file(self, number: int) -> Path:
        """Exists from the moment on that some worker has started the job of this number."""
        return Path(self.folder) / f"{number}.started"

    def started(self) -> set[int]:
        """The numbers of the jobs that have started."""
        return {int(path.stem) for path in Path(self.folder).glob("*.started")}


@contextlib.contextmanager
def place_in(workdir: Path, executor: str) -> Iterator[Place]:
    """A new place in a folder of the shared workdir; its files are removed afterwards."""
    token = uuid.uuid4().hex
    folder = workdir.expanduser().absolute() / executor / token[:8]
    folder.mkdir(parents=True)
    (folder / "token").write_text(token)
    try:
        yield Place(str(folder), token, python_paths(), os.getcwd())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.parent.rmdir()  # if nothing else is in it


def python_paths() -> tuple[str, ...]:
    """Where this library, the experiments and the user's own modules are imported from."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return tuple(dict.fromkeys([str(Path(rnn_jax.__file__).parents[1]), *filter(None, given)]))


def check_place(place: Place) -> None:
    """UserError where this machine doesn't see the caller's workdir."""
    with contextlib.suppress(OSError):
        if (Path(place.folder) / "token").read_text() == place.token:
            return
    raise UserError(
        f"the worker {socket.gethostname()} does not see {place.folder}, which the sweep has just written: "
        "--workdir must be in a folder that all machines share under the same path"
    )


class Attempt:
    """One try at a job, on this machine.

    Its process can be asked to stop from a signal handler at any moment, also before there is a process.
    """

    def __init__(self, job: Job, place: Place, number: int, *, node: str = ""):
        paths = ("PYTHONPATH", os.pathsep.join(place.paths))
        self._job = job._replace(environment=(paths, *_compiled(place), *job.environment))
        self._place, self._number = place, number
        self._node = node or socket.gethostname()
        self._process: subprocess.Popen | None = None
        self._exit_code: int | None = None
        self._stopping = False

    def run(self, num_cores: int = 0) -> tuple[int, float]:
        """Exit code and seconds. KeyboardInterrupt stops the process gently, and is its end. num_cores: to pin it to.

        Raises:
          UserError: this machine doesn't see the workdir.
        """
        check_place(self._place)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell's background started has it ignored
        with contextlib.suppress(OSError):
            os.chdir(self._place.directory)
        started = time.monotonic()
        with claimed_cores(num_cores) as cores:
            try:
                self._wait_for_another()
                self._start(cores)
                self._wait()
            except KeyboardInterrupt:
                self.stop()
                self._wait()
        seconds = time.monotonic() - started
        exit_code = STOPPED if self._exit_code is None else self._exit_code
        ended(self._job, exit_code, seconds)
        return exit_code, seconds

    def ask_to_stop(self) -> None:
        """Sends SIGTERM: the run saves a checkpoint and exits."""
        self._stopping = True
        if self._process is not None and not self.has_ended():
            self._process.terminate()

    def stop(self, seconds: float = SECONDS_TO_SAVE) -> None:
        """Asks the process to stop, waits so long for it and kills it then."""
        self.ask_to_stop()
        deadline = time.monotonic() + seconds
        while not self.has_ended() and time.monotonic() < deadline:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        if self._process is not None and not self.has_ended():
            self._process.kill()

    def _wait(self) -> None:
        while not self.has_ended():
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def has_ended(self) -> bool:
        """True when there is no process any more, or yet."""
        return self._process is None or self._exit_code is not None

    def _start(self, cores: Sequence[int]) -> None:
        if self._stopping:
            return
        Path(self._job.log).parent.mkdir(parents=True, exist_ok=True)
        with open(self._job.log, "a", encoding="utf-8") as log:
            log.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} on {self._node}\n")
        self._place.start_file(self._number).touch()
        # SLURM sends these to every process of a job, and they would kill one that has no handler.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2})
        try:
            process = start(self._job, cores)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self._process = process

        def watch() -> None:
            self._exit_code = process.wait()

        # Popen.poll takes a lock: a signal handler that interrupts it would never see the end. Hence a thread.
        threading.Thread(target=watch, daemon=True).start()
        if self._stopping:  # asked meanwhile, by a signal
            process.terminate()

    def _wait_for_another(self) -> None:
        """The process of a lost worker may still be saving; after two minutes the job itself shall complain."""
        deadline = time.monotonic() + _SECONDS_FOR_ANOTHER_PROCESS
        while any(is_held(Path(directory)) for directory in self._job.directories):
            if self._stopping or time.monotonic() > deadline:
                return
            time.sleep(SECONDS_BETWEEN_LOOKS)


def _compiled(place: Place) -> tuple[tuple[str, str], ...]:
    """Where the runs of this machine find what others like it have compiled, unless the user wants none of that.

    The caller's own folder, which SLURM passes on, is for the caller's kind of processor.
    """
    unwanted = os.environ.get("JAX_COMPILATION_CACHE_DIR") == ""
    return () if unwanted else shared_cache(Path(place.folder).parents[1], {})


@contextlib.contextmanager
def claimed_cores(count: int) -> Iterator[tuple[int, ...]]:
    """So many cores of this machine that no other job of ours has claimed.

    (), which means any, where cores cannot be told apart or too few are free. Schedulers count cores, but don't say
    which; and the small models of a sweep lose more by sharing all cores than by keeping to one.
    """
    if count <= 0 or not hasattr(os, "sched_getaffinity"):  # Linux has it, and fcntl
        yield ()
        return
    folder = Path(tempfile.gettempdir()) / f"rnn_jax_cores_{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with contextlib.ExitStack() as claims:
        cores: list[int] = []
        for core in sorted(os.sched_getaffinity(0)):
            if len(cores) == count:
                break
            file = claims.enter_context(open(folder / str(core), "w"))  # closing it, or our death, gives the core back
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                cores.append(core)
        yield tuple(cores) if len(cores) == count else ()


def note_lost(job: Job, seconds: float, why: str, exit_code: int = LOST) -> int:
    """Leaves word of a job that no worker could bring to an end. Returns the exit code."""
    Path(job.log).parent.mkdir(parents=True, exist_ok=True)
    with open(job.log, "a", encoding="utf-8") as log:
        log.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} {why}\n")
    ended(job, exit_code, seconds)
    return exit_code


def missing_package(package: str, flag: str, error: Exception) -> UserError:
    """What to do about a package that cannot be imported."""
    return UserError(f"{flag} needs the package {package} ({error}): ./launch.sh sweep installs it")


Starts = Callable[[Job], None]
Ends = Callable[[Job, int, float], None]


def report_starts(place: Place, jobs: Sequence[Job], known: set[int], on_start: Starts) -> None:
    """Calls on_start for each job that has started since `known` was as it is, and adds it there."""
    for number in sorted(place.started() - known):
        known.add(number)
        on_start(jobs[number])


def first_line(error: Any) -> str:
    """What an exception says, without the traces that schedulers append."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
