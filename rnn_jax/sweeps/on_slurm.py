"""Jobs as an array of SLURM, through submitit: each waits for its turn, and goes on after a time limit or a preemption.

What happens to a job                         What is done
its command ends                              its exit code is told
its time is nearly up (SIGUSR2)               it saves; submitit puts it back into the queue
it is preempted (SIGTERM)                     it saves; SLURM puts it back, or it is submitted again
its machine is lost                           the same, from its last checkpoint on
somebody cancels it (scancel)                 it saves, and counts as interrupted
the sweep is stopped (Ctrl-C)                 it saves; those that have not begun are cancelled
the sweep is killed, the connection closed    it goes on; the next start of the sweep finds it in the queue
"""

import dataclasses
import json
import os
import shlex
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rnn_jax.errors import TrainingInterrupted, UserError
from rnn_jax.sweeps import local
from rnn_jax.sweeps.jobs import Job
from rnn_jax.sweeps.remote import (
    SECONDS_BETWEEN_LOOKS,
    STOPPED,
    Attempt,
    Ends,
    Place,
    Starts,
    missing_package,
    note_lost,
    place_in,
    python_paths,
)
from rnn_jax.sweeps.slurm_queue import BROKEN, CANCELLED, QUEUED, LocalQueue, Queue, SlurmQueue
from rnn_jax.training.files import read_json, write_atomically
from rnn_jax.training.stopping import StopSignal

MAX_RETRIES = 10  # of a job whose machines are lost
MAX_REQUEUES = 100  # of one whose time is up; each is a time limit long
_SECONDS_TO_SAVE = 120  # between SIGUSR2 and the end of the time limit
_SECONDS_FOR_A_FILE = 15.0  # to be seen here once it was written there
_WATCHED = "queued.json"
AGAIN = (-1, -1.0)  # instead of an exit code and seconds: the job is to be submitted again


class Task:
    """What a compute node calls; submitit pickles it, and asks it for a `checkpoint` when its time is nearly up."""

    def __init__(self, job: Job, place: Place, number: int):
        self._what = (job, place, number)
        self._attempt: Attempt | None = None

    def __call__(self) -> tuple[int, float, str]:
        """Exit code, seconds, and what the user must hear of ("" = nothing)."""
        attempt = self._attempt = Attempt(*self._what)
        signal.signal(signal.SIGTERM, lambda number, frame: attempt.ask_to_stop())
        try:
            return (*attempt.run(), "")
        except UserError as error:
            return UserError.exit_code, 0.0, str(error)

    def checkpoint(self) -> Any:
        """Stops the process gently; gives what is to be put back into the queue."""
        from submitit.helpers import DelayedSubmission

        if self._attempt is not None:
            self._attempt.stop()
        return DelayedSubmission(Task(*self._what))


def run_jobs(
    jobs: Sequence[Job],
    *,
    workdir: Path,
    partition: str = "",
    minutes: int = 60,
    cores_per_job: int = 1,
    gpus_per_job: int = 0,
    memory_gb: float = 0.0,
    num_parallel: int = 0,
    parameters: Sequence[str] = (),
    cluster: str = "slurm",
    max_retries: int = MAX_RETRIES,
    on_start: Starts,
    on_end: Ends,
    tick: Callable[[], None],
) -> None:
    """Runs every job on a SLURM cluster; one that fails doesn't stop the others.

    workdir: of the sweep, in a folder that all machines share under the same path, as are the repository and its
    Python environment; what SLURM and submitit write lies in its subfolder slurm. minutes: time limit of a job, which
    goes on in a further one as often as needed. memory_gb: 0 = the partition's default. num_parallel: how many run at
    a time (0 = all). parameters: further ones of sbatch, as "name=value" or "name". cluster: "local" carries the jobs
    out as submitit's processes on this machine. on_start(job), on_end(job, exit code, seconds) and tick(), which is
    called several times a second, run in the caller's thread.

    Raises:
      TrainingInterrupted: SIGINT or SIGTERM came. The processes were asked to save and stop.
      UserError: no submitit, no SLURM here, it refuses the job, a workdir that is not shared.
    """
    if not jobs:
        return
    submitit = import_submitit()
    settings = {
        "name": workdir.name,
        "timeout_min": minutes,
        "cpus_per_task": cores_per_job,
        "gpus_per_node": gpus_per_job or None,
        "mem_gb": memory_gb or None,
        "stderr_to_stdout": True,
        "slurm_partition": partition or None,
        "slurm_array_parallelism": num_parallel or len(jobs),
        "slurm_signal_delay_s": min(_SECONDS_TO_SAVE, 30 * minutes),
        "slurm_setup": [f"export PYTHONPATH={shlex.quote(os.pathsep.join(python_paths()))}"],
        "slurm_additional_parameters": _pairs(parameters),
    }
    folder = workdir.expanduser().absolute() / "slurm"
    make = SlurmQueue if cluster == "slurm" else LocalQueue
    with place_in(workdir, "slurm") as place, StopSignal() as stop:
        queue = make(submitit, folder, settings, max_requeues=MAX_REQUEUES)
        watch = _Watch(queue, folder, jobs, place, max_retries, on_start, on_end)
        watch.begin()
        try:
            while watch.pending and not stop.requested:
                watch.look()
                tick()
                time.sleep(SECONDS_BETWEEN_LOOKS)
        finally:
            watch.let_save(tick)
        if stop.signal_number is not None:
            raise TrainingInterrupted(local.STOPPED, stop.signal_number)


def import_submitit() -> Any:
    """The package; UserError without it."""
    try:
        import submitit
    except ImportError as error:
        raise missing_package("submitit", "--executor=slurm", error) from None
    return submitit


def _pairs(parameters: Sequence[str]) -> dict[str, str | bool]:
    """Of sbatch's parameters, as in "account=vision" or "no-requeue"."""
    parts = [parameter.strip().lstrip("-").partition("=") for parameter in parameters]
    if not all(name for name, _, _ in parts):
        given = ", ".join(map(repr, parameters))
        raise UserError(
            f"--slurm_parameters: expected names with or without a value, as in account=vision; got {given}"
        )
    return {name: value if equals else True for name, equals, value in parts}


@dataclasses.dataclass
class _Pending:
    """A job in the queue, or at work."""

    number: int
    job_id: str
    start_file: Path
    begun: float
    tries: int = 1
    started: bool = False
    over_since: float | None = None


class _Watch:
    """The jobs that have not ended, and what SLURM and the files in the workdir say of them."""

    def __init__(
        self,
        queue: Queue,
        folder: Path,
        jobs: Sequence[Job],
        place: Place,
        max_retries: int,
        on_start: Starts,
        on_end: Ends,
    ):
        self.pending: list[_Pending] = []
        self._queue, self._folder, self._jobs, self._place = queue, folder, jobs, place
        self._max_retries, self._on_start, self._on_end = max_retries, on_start, on_end
        self._states: Mapping[str, str] | None = None
        self._next_query = 0.0
        self._stopping = False
        self._old_places: set[Path] = set()

    def begin(self) -> None:
        """Submits the jobs, as one array, but for those that an earlier start of this sweep has left in the queue."""
        left = self._left_in_queue()
        for number, (job_id, start_file) in left.items():
            self.pending.append(_Pending(number, job_id, Path(start_file), time.monotonic()))
        self._submit([number for number in range(len(self._jobs)) if number not in left])

    def look(self) -> None:
        """Tells of the jobs that have started or ended, and submits again those that are lost."""
        if time.monotonic() >= self._next_query:
            self._states = self._queue.states([one.job_id for one in self.pending])
            self._next_query = time.monotonic() + self._queue.seconds_between_queries
        again: dict[int, list[int]] = {}  # by how often they have been tried
        for one in list(self.pending):
            if not one.started and one.start_file.exists():
                one.started = True
                self._on_start(self._jobs[one.number])
            verdict = self._verdict(one)
            if verdict is None:
                continue
            self.pending.remove(one)
            if verdict is AGAIN:
                again.setdefault(one.tries + 1, []).append(one.number)
            elif one.started or verdict[0] != STOPPED:  # else it was never more than planned
                self._on_end(self._jobs[one.number], *verdict)
        for tries, numbers in again.items():
            self._submit(numbers, tries)

    def let_save(self, tick: Callable[[], None]) -> None:
        """Cancels what has not begun, asks the rest to stop, and gives it time to."""
        self._stopping = True
        if self.pending:
            self._queue.stop([one.job_id for one in self.pending])
            deadline = time.monotonic() + local.SECONDS_TO_SAVE + _SECONDS_FOR_A_FILE
            while self.pending and time.monotonic() < deadline:
                self.look()
                tick()
                time.sleep(SECONDS_BETWEEN_LOOKS)
            self._queue.cancel([one.job_id for one in self.pending])
        (self._folder / _WATCHED).unlink(missing_ok=True)
        for place in self._old_places:
            shutil.rmtree(place, ignore_errors=True)

    def _verdict(self, one: _Pending) -> tuple[int, float] | None:
        """(exit code, seconds) of a job that has ended, AGAIN for one that is to be submitted again, None to wait."""
        job, seconds = self._jobs[one.number], time.monotonic() - one.begun
        state = "RUNNING" if self._states is None else self._states.get(one.job_id, "")
        ended = self._queue.result(one.job_id)
        if ended is not None and not ended.error:
            exit_code, seconds, complaint = ended.value
            if complaint:
                raise UserError(complaint)
            if self._stopping or exit_code not in (STOPPED, -signal.SIGTERM):
                return exit_code, seconds
            if state in QUEUED:  # SLURM has put it back, or is about to; the next result replaces this one
                return None
            return (exit_code, seconds) if state in CANCELLED or self._is_last(one) else AGAIN
        if state in QUEUED:
            one.over_since = None
            return None
        if one.over_since is None:
            one.over_since = time.monotonic()
        if one.started and ended is None and time.monotonic() - one.over_since < _SECONDS_FOR_A_FILE:
            return None
        if state in CANCELLED or self._stopping:
            return STOPPED, seconds
        if state in BROKEN or (ended is not None and "UncompletedJobError" not in ended.error):
            why = ended.error.strip().splitlines()[-1] if ended is not None else self._queue.output(one.job_id)
            return note_lost(job, seconds, f"SLURM job {one.job_id} failed: {why}", exit_code=1), seconds
        if self._is_last(one):
            return note_lost(job, seconds, f"SLURM job {one.job_id} was {state or 'lost'}"), seconds
        return AGAIN

    def _is_last(self, one: _Pending) -> bool:
        return one.tries > self._max_retries

    def _submit(self, numbers: Sequence[int], tries: int = 1) -> None:
        if not numbers:
            return
        ids = self._queue.submit([Task(self._jobs[number], self._place, number) for number in numbers])
        for number, job_id in zip(numbers, ids, strict=True):
            start_file = self._place.start_file(number)
            self.pending.append(_Pending(number, job_id, start_file, time.monotonic(), tries, started=tries > 1))
        entries = {self._key(one.number): [one.job_id, str(one.start_file)] for one in self.pending}
        write_atomically(self._folder / _WATCHED, json.dumps(entries, indent=2))
        self._next_query = 0.0

    def _left_in_queue(self) -> dict[int, tuple[str, str]]:
        file = self._folder / _WATCHED
        entries = read_json(file) if file.exists() else {}
        states = self._queue.states([job_id for job_id, _ in entries.values()]) if entries else {}
        if states is None:
            raise UserError("squeue does not answer, and jobs of this sweep may be in the queue: try again later")
        found = {}
        for number in range(len(self._jobs)):
            job_id, start_file = entries.get(self._key(number), ("", ""))
            if states.get(job_id) in QUEUED:
                found[number] = (job_id, start_file)
                self._old_places.add(Path(start_file).parent)
        return found

    def _key(self, number: int) -> str:
        job = self._jobs[number]
        return shlex.join([*job.directories, *job.command])
