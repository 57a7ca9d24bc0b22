"""Watching the jobs of a sweep in SLURM's queue: which have started, ended, or are lost and submitted again."""

import dataclasses
import json
import shlex
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rnn_jax.errors import UserError
from rnn_jax.sweeps import local
from rnn_jax.sweeps.jobs import Job
from rnn_jax.sweeps.remote import SECONDS_BETWEEN_LOOKS, STOPPED, Ends, Place, Starts, note_lost
from rnn_jax.sweeps.slurm_queue import BROKEN, CANCELLED, QUEUED, Queue
from rnn_jax.training.files import read_json, write_atomically

AGAIN = (-1, -1.0)  # instead of an exit code and seconds: the job is to be submitted again
_SECONDS_FOR_A_FILE = 15.0  # to be seen here once it was written there
_WATCHED = "queued.json"

MakeTask = Callable[[int], Callable[[], tuple[int, float, str]]]  # of a job's number: what a compute node calls


@dataclasses.dataclass
class Pending:
    """A job in the queue, or at work."""

    number: int
    job_id: str
    start_file: Path
    begun: float
    tries: int = 1
    started: bool = False
    over_since: float | None = None


class Watch:
    """The jobs that have not ended, and what SLURM and the files in the workdir say of them."""

    def __init__(
        self,
        queue: Queue,
        folder: Path,
        jobs: Sequence[Job],
        place: Place,
        make_task: MakeTask,
        max_retries: int,
        on_start: Starts,
        on_end: Ends,
    ):
        self.pending: list[Pending] = []
        self._queue, self._folder, self._jobs, self._place, self._make_task = queue, folder, jobs, place, make_task
        self._max_retries, self._on_start, self._on_end = max_retries, on_start, on_end
        self._states: Mapping[str, str] | None = None
        self._next_query = 0.0
        self._stopping = False
        self._old_places: set[Path] = set()

    def begin(self) -> None:
        """Submits the jobs, as one array, but for those that an earlier start of this sweep has left in the queue."""
        left = self._left_in_queue()
        for number, (job_id, start_file) in left.items():
            self.pending.append(Pending(number, job_id, Path(start_file), time.monotonic()))
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

    def _verdict(self, one: Pending) -> tuple[int, float] | None:
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

    def _is_last(self, one: Pending) -> bool:
        return one.tries > self._max_retries

    def _submit(self, numbers: Sequence[int], tries: int = 1) -> None:
        if not numbers:
            return
        ids = self._queue.submit([self._make_task(number) for number in numbers])
        for number, job_id in zip(numbers, ids, strict=True):
            start_file = self._place.start_file(number)
            self.pending.append(Pending(number, job_id, start_file, time.monotonic(), tries, started=tries > 1))
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
