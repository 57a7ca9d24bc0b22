"""Watching the jobs of a sweep in SLURM's queue: which have started, ended, or are lost and submitted again."""

import dataclasses
import json
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rnn_jax.errors import UserError
from rnn_jax.files import read_json, write_atomically
from rnn_jax.sweeps import local
from rnn_jax.sweeps.jobs import Job
from rnn_jax.sweeps.remote import SECONDS_BETWEEN_LOOKS, STOPPED, Ends, Place, Starts, note_lost
from rnn_jax.sweeps.slurm_queue import BROKEN, CANCELLED, QUEUED, Queue

AGAIN = (-1, -1.0)  # instead of an exit code and seconds: the job is to be submitted again
_SECONDS_FOR_A_FILE = 15.0  # to be seen here once it was written there
_WATCHED = "queued.json"

MakeTask = Callable[[int], Callable[[], tuple[int, float, str]]]  # of a job's number: what a compute node calls


class Entry(NamedTuple):
    """What was submitted, as the file queued.json keeps it for the next start of the sweep.

    log, directories: of the job as it was then; some of its runs may have ended since.
    """

    log: str
    directories: tuple[str, ...]
    job_id: str
    start_file: str

    def concerns(self, job: Job) -> bool:
        """Whether it trains runs of the job: to submit that as well would train them twice at a time."""
        return self.log == job.log or not set(self.directories).isdisjoint(job.directories)


@dataclasses.dataclass
class Pending:
    """The job of this number, in the queue or at work."""

    number: int
    entry: Entry
    begun: float
    over_since: float | None = None

    @property
    def job_id(self) -> str:
        """The scheduler's."""
        return self.entry.job_id


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
        self._tries: Counter[int] = Counter()
        self._started: set[int] = set()
        self._left: list[Entry] = []  # what an earlier start of this sweep has left in the queue
        self._adopted: set[tuple[int, str]] = set()  # numbers of jobs, and ids of those of them

    def begin(self) -> None:
        """Submits the jobs, as one array, but for those that an earlier start of this sweep has left in the queue."""
        self._left = self._left_in_queue()
        self._enter(range(len(self._jobs)))

    def look(self) -> None:
        """Tells of the jobs that have started or ended, and submits again those that are lost."""
        if time.monotonic() >= self._next_query:
            self._states = self._queue.states(self._ids())
            self._next_query = time.monotonic() + self._queue.seconds_between_queries
        again = []
        for one in list(self.pending):
            job = self._jobs[one.number]
            if one.number not in self._started and Path(one.entry.start_file).exists():
                self._started.add(one.number)
                self._on_start(job)
            verdict = self._verdict(one)
            if verdict is None:
                continue
            self.pending.remove(one)
            whole = set(job.directories) <= set(one.entry.directories)  # else some of its runs are still to be made
            if verdict is AGAIN or (not whole and verdict[0] != STOPPED and not self._stopping):
                again.append(one.number)
            elif one.number in self._started or verdict[0] != STOPPED:  # else it was never more than planned
                self._on_end(job, *verdict)
        if again:
            self._enter(again)

    def let_save(self, tick: Callable[[], None]) -> None:
        """Cancels what has not begun, asks the rest to stop, and gives it time to."""
        self._stopping = True
        if self.pending:
            self._queue.stop(self._ids())
            deadline = time.monotonic() + local.SECONDS_TO_SAVE + _SECONDS_FOR_A_FILE
            while self.pending and time.monotonic() < deadline:
                self.look()
                tick()
                time.sleep(SECONDS_BETWEEN_LOOKS)
            self._queue.cancel(self._ids())
        self._remember(self._not_ours())
        adopted = {job_id for _, job_id in self._adopted}
        for entry in self._left:
            if entry.job_id in adopted:
                shutil.rmtree(Path(entry.start_file).parent, ignore_errors=True)

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
        if one.number in self._started and ended is None and time.monotonic() - one.over_since < _SECONDS_FOR_A_FILE:
            return None
        if state in CANCELLED or self._stopping:
            return STOPPED, seconds
        if state in BROKEN or (ended is not None and "UncompletedJobError" not in ended.error):
            why = ended.error.strip().splitlines()[-1] if ended is not None else self._queue.output(one.job_id)
            return note_lost(job, seconds, f"SLURM job {one.job_id} failed: {why}", exit_code=1), seconds
        if self._is_last(one):
            return note_lost(job, seconds, f"SLURM job {one.job_id} was {state or 'lost'}"), seconds
        return AGAIN

    def _ids(self) -> list[str]:
        return list(dict.fromkeys(one.job_id for one in self.pending))

    def _is_last(self, one: Pending) -> bool:
        return self._tries[one.number] > self._max_retries

    def _enter(self, numbers: Iterable[int]) -> None:
        """Takes what is in the queue of the jobs, and submits those of which nothing is."""
        fresh = []
        for number in numbers:
            found = [entry for entry in self._left if entry.concerns(self._jobs[number])]
            new = [entry for entry in found if (number, entry.job_id) not in self._adopted]
            if new:
                self._adopted.add((number, new[0].job_id))
                self._add(number, new[0])
            else:
                fresh.append(number)
        ids = self._queue.submit([self._make_task(number) for number in fresh]) if fresh else []
        for number, job_id in zip(fresh, ids, strict=True):
            job = self._jobs[number]
            self._add(number, Entry(job.log, job.directories, job_id, str(self._place.start_file(number))))
        self._remember([*(one.entry for one in self.pending), *self._not_ours()])
        self._next_query = 0.0

    def _add(self, number: int, entry: Entry) -> None:
        self._tries[number] += 1
        self.pending.append(Pending(number, entry, time.monotonic()))

    def _not_ours(self) -> list[Entry]:
        """What is in the queue of runs that this start of the sweep is not about."""
        adopted = {job_id for _, job_id in self._adopted}
        return [entry for entry in self._left if entry.job_id not in adopted]

    def _remember(self, entries: Sequence[Entry]) -> None:
        file = self._folder / _WATCHED
        if entries:
            documents = {entry.job_id: entry._asdict() for entry in entries}
            write_atomically(file, json.dumps(documents, indent=2))
        else:
            file.unlink(missing_ok=True)

    def _left_in_queue(self) -> list[Entry]:
        file = self._folder / _WATCHED
        documents = read_json(file).values() if file.exists() else ()
        entries = [Entry(**{**document, "directories": tuple(document["directories"])}) for document in documents]
        states = self._queue.states([entry.job_id for entry in entries]) if entries else {}
        if states is None:
            raise UserError("squeue does not answer, and jobs of this sweep may be in the queue: try again later")
        return [entry for entry in entries if states.get(entry.job_id) in QUEUED]
