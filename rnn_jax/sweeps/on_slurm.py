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

import os
import shlex
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rnn_jax.errors import TrainingInterrupted, UserError
from rnn_jax.sweeps import local
from rnn_jax.sweeps.jobs import Job
from rnn_jax.sweeps.remote import (
    SECONDS_BETWEEN_LOOKS,
    Attempt,
    Ends,
    Place,
    Starts,
    missing_package,
    place_in,
    python_paths,
)
from rnn_jax.sweeps.slurm_queue import LocalQueue, SlurmQueue
from rnn_jax.sweeps.slurm_watch import Watch
from rnn_jax.training.stopping import StopSignal

MAX_RETRIES = 10  # of a job whose machines are lost
MAX_REQUEUES = 100  # of one whose time is up; each is a time limit long
_SECONDS_TO_SAVE = 120  # between SIGUSR2 and the end of the time limit


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

        def make_task(number: int) -> Task:
            return Task(jobs[number], place, number)

        queue = make(submitit, folder, settings, max_requeues=MAX_REQUEUES)
        watch = Watch(queue, folder, jobs, place, make_task, max_retries, on_start, on_end)
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
