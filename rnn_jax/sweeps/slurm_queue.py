"""The queue that jobs wait in: SLURM's own, or processes of this machine for trying out. Both by way of submitit."""

import abc
import os
import pickle
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from rnn_jax.errors import UserError
from rnn_jax.sweeps.records import last_lines
from rnn_jax.sweeps.remote import first_line, python_paths

COMMANDS = ("sbatch", "srun", "squeue", "scancel")

# What squeue calls a job that has not ended; it leaves out those that ended some minutes ago.
QUEUED = frozenset(
    [
        *("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING"),
        *("STAGE_OUT", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"),
    ]
)
CANCELLED = frozenset({"CANCELLED", "DEADLINE"})  # by people: such a job is not tried again
BROKEN = frozenset({"FAILED", "OUT_OF_MEMORY"})  # by what it did: it would do the same again


class Ended(NamedTuple):
    """What the function of a job returned; an error is the trace of an exception that it raised instead."""

    value: Any
    error: str


class Queue(abc.ABC):
    """What run_jobs needs of a scheduler. Job ids are its own.

    UserError where submitit or the scheduler takes offence at the settings.
    """

    seconds_between_queries = 0.0

    def __init__(self, submitit: Any, folder: Path, settings: Mapping[str, Any], max_requeues: int, cluster: str):
        self._submitit, self._folder = submitit, folder
        given = {f"{cluster}_max_num_timeout": max_requeues}
        try:
            self._executor = submitit.AutoExecutor(folder=folder, cluster=cluster, **given)
            self._executor.update_parameters(**settings)
        except (NameError, ValueError, RuntimeError, AssertionError) as error:
            raise UserError(f"--executor=slurm: {first_line(error)}") from error

    def submit(self, tasks: Sequence[Callable[[], Any]]) -> list[str]:
        """Puts the tasks into the queue, as one array; returns their ids."""
        return [job.job_id for job in self._submit(tasks)]

    @abc.abstractmethod
    def states(self, ids: Sequence[str]) -> Mapping[str, str] | None:
        """State by id; ended ones may be missing. None if the scheduler doesn't answer."""

    @abc.abstractmethod
    def stop(self, ids: Sequence[str]) -> None:
        """Cancels the waiting ones and sends SIGTERM to the running ones."""

    @abc.abstractmethod
    def cancel(self, ids: Sequence[str]) -> None:
        """Kills what is left."""

    def result(self, job_id: str) -> Ended | None:
        """How the task ended; None before, and when its process was killed."""
        path = self._paths(job_id).result_pickle
        if not path.exists():
            return None
        outcome, value = pickle.loads(path.read_bytes())
        return Ended(value, "") if outcome == "success" else Ended(None, str(value))

    def output(self, job_id: str) -> str:
        """The last lines that the process around the task printed."""
        return last_lines(self._paths(job_id).stdout)

    def _submit(self, tasks: Sequence[Callable[[], Any]]) -> list[Any]:
        helpers = self._submitit.helpers
        variables = {"PYTHONPATH": os.pathsep.join(python_paths())}
        if "SLURM_CONF" in os.environ:
            variables["SLURM_CONF"] = os.environ["SLURM_CONF"]
        # Of a job of SLURM's that we may be in ourselves, nothing else is passed on.
        with helpers.clean_env(), helpers.environment_variables(**variables):
            try:
                return self._executor.submit_array(list(tasks))
            except self._submitit.core.utils.FailedJobError as error:
                raise UserError(f"SLURM refuses the jobs: {first_line(error)}") from error

    def _paths(self, job_id: str) -> Any:
        return self._submitit.core.utils.JobPaths(self._folder, job_id, 0)


class SlurmQueue(Queue):
    """SLURM's own. UserError where there is no SLURM, or it refuses the jobs."""

    seconds_between_queries = 10.0  # it serves others too

    def __init__(self, submitit: Any, folder: Path, settings: Mapping[str, Any], *, max_requeues: int):
        missing = [command for command in COMMANDS if shutil.which(command) is None]
        if missing:
            raise UserError(
                f"--executor=slurm: this machine has no {', '.join(missing)}. Start the sweep where jobs are "
                "submitted to SLURM from, or use --executor=local or --executor=ray."
            )
        super().__init__(submitit, folder, settings, max_requeues, "slurm")

    def states(self, ids: Sequence[str]) -> Mapping[str, str] | None:
        """What squeue says."""
        arrays = ",".join(sorted({job_id.partition("_")[0] for job_id in ids}))
        command = ["squeue", "--states=all", "--array", "--noheader", "--format=%i|%T", f"--jobs={arrays}"]
        asked = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        if asked.returncode != 0:
            return {} if "Invalid job id" in asked.stderr else None
        lines = [line.strip().partition("|") for line in asked.stdout.splitlines()]
        return {job_id: state for job_id, bar, state in lines if bar}

    def stop(self, ids: Sequence[str]) -> None:
        """In this order, so that none of the waiting ones takes the place of one that stops."""
        self._scancel("--state=PENDING", *ids)
        self._scancel("--signal=TERM", "--state=RUNNING", *ids)

    def cancel(self, ids: Sequence[str]) -> None:
        """Kills what is left."""
        if ids:
            self._scancel(*ids)

    def _scancel(self, *arguments: str) -> None:
        subprocess.run(["scancel", *arguments], capture_output=True, stdin=subprocess.DEVNULL, check=False)


class LocalQueue(Queue):
    """Processes of this machine, all at once."""

    def __init__(self, submitit: Any, folder: Path, settings: Mapping[str, Any], *, max_requeues: int):
        super().__init__(submitit, folder, settings, max_requeues, "local")
        self._jobs: dict[str, Any] = {}

    def submit(self, tasks: Sequence[Callable[[], Any]]) -> list[str]:
        """Starts the processes."""
        jobs = {job.job_id: job for job in self._submit(tasks)}
        self._jobs |= jobs
        return list(jobs)

    def states(self, ids: Sequence[str]) -> Mapping[str, str] | None:
        """RUNNING, or nothing."""
        return {job_id: "RUNNING" for job_id in ids if job_id in self._jobs and not self._jobs[job_id].done()}

    def result(self, job_id: str) -> Ended | None:
        """As for SLURM, but only once nothing of it runs any more."""
        return super().result(job_id) if self._jobs[job_id].done() else None

    def stop(self, ids: Sequence[str]) -> None:
        """submitit's controller passes SIGTERM on; its own way, SIGINT, would kill a second later."""
        self._signal(ids, signal.SIGTERM)

    def cancel(self, ids: Sequence[str]) -> None:
        """Kills what is left."""
        self._signal(ids, signal.SIGINT)

    def _signal(self, ids: Sequence[str], number: int) -> None:
        for job_id in ids:
            if not self._jobs[job_id].done():
                with suppress(ProcessLookupError):
                    os.kill(int(job_id), number)  # a local job goes by its controller's process
