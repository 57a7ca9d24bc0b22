"""Jobs as tasks of a Ray cluster: a job whose machine is lost starts again on another one.

Everything a worker needs travels as plain values, and the task as code: a worker can import this library only once it
has been told where it lies. (Ray's runtime environments would tell it as well, and take seven seconds to start.)
"""

import contextlib
import logging
import os
import signal
import socket
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import logging as absl_logging

from rnn_jax.errors import TrainingInterrupted, UserError
from rnn_jax.sweeps import local
from rnn_jax.sweeps.jobs import Job
from rnn_jax.sweeps.remote import (
    SECONDS_BETWEEN_LOOKS,
    STOPPED,
    Ends,
    Starts,
    first_line,
    missing_package,
    note_lost,
    place_in,
    report_starts,
)
from rnn_jax.training.stopping import StopSignal

MAX_RETRIES = 10  # of a job whose machines are lost
_CARRIED = ("RNN_JAX_", "TFDS_")  # variables that say where data lies; all others are those of the worker's machine
_OBJECT_STORE_BYTES = 80 * 2**20  # the least that Ray accepts: nothing but exit codes goes through it
_SECONDS_TO_ANSWER = 10.0
_LONGEST_TEMPORARY = 40  # characters; Ray's sockets lie below, and a socket's path has 107 at most


def run_jobs(
    jobs: Sequence[Job],
    *,
    workdir: Path,
    address: str = "",
    cores_per_job: int = 1,
    gpus_per_job: float = 0.0,
    num_parallel: int = 0,
    max_retries: int = MAX_RETRIES,
    on_start: Starts,
    on_end: Ends,
    tick: Callable[[], None],
) -> None:
    """Runs every job on a Ray cluster; one that fails doesn't stop the others.

    workdir: of the sweep, in a folder that all machines share under the same path, as are the repository and its
    Python environment. address: "auto", "ip:port" or "ray://…" of a running cluster ("" = one of this machine alone,
    for the time being). num_parallel: how many run at a time (0 = all that fit). on_start(job), on_end(job, exit code,
    seconds) and tick(), which is called several times a second, run in the caller's thread.

    Raises:
      TrainingInterrupted: SIGINT or SIGTERM came. The processes were asked to save and stop.
      UserError: no Ray, no cluster there, no machine that is large enough, a workdir that is not shared.
    """
    if not jobs:
        return
    ray = import_ray()
    with _connected(ray, address), place_in(workdir, "ray") as place, StopSignal() as stop:
        _check_size(ray, address, cores_per_job, gpus_per_job)
        task = ray.remote(_worker_function()).options(
            num_cpus=cores_per_job, num_gpus=gpus_per_job, max_retries=max_retries, retry_exceptions=False
        )
        carried = tuple((name, value) for name, value in os.environ.items() if name.startswith(_CARRIED))
        plain = [tuple(job._replace(environment=(*carried, *job.environment))) for job in jobs]
        waiting = deque(range(len(plain)))
        pending: dict[Any, int] = {}
        started: set[int] = set()
        begun = time.monotonic()

        def submit() -> None:
            while waiting and len(pending) < (num_parallel or len(plain)):
                number = waiting.popleft()
                pending[task.remote(plain[number], tuple(place), number, cores_per_job)] = number

        def collect() -> None:
            done, _ = ray.wait(list(pending), num_returns=len(pending), timeout=SECONDS_BETWEEN_LOOKS)
            report_starts(place, jobs, started, on_start)
            for reference in done:
                number = pending.pop(reference)
                exit_code, seconds = _outcome(ray, reference, jobs[number], time.monotonic() - begun)
                if exit_code != STOPPED or number in started:  # else it was never more than planned
                    on_end(jobs[number], exit_code, seconds)
            tick()

        try:
            submit()
            while pending and not stop.requested:
                collect()
                submit()
        finally:
            _let_save(ray, pending, collect)
        if stop.signal_number is not None:
            raise TrainingInterrupted(local.STOPPED, stop.signal_number)


def num_places(*, address: str = "", cores_per_job: int = 1, gpus_per_job: float = 0.0) -> int:
    """How many jobs fit on the cluster at a time, as it is now; at least 1.

    address: as for run_jobs; of a cluster of this machine alone, which there isn't yet, only the cores are counted.

    Raises:
      UserError: no Ray, no cluster there.
    """
    if not address:
        return max(1, (len(local.available_cores()) or os.cpu_count() or 1) // cores_per_job)
    ray = import_ray()
    with _connected(ray, address):
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    places = 0
    for machine in machines:
        fits = int(machine.get("CPU", 0) // cores_per_job)
        places += min(fits, int(machine.get("GPU", 0) / gpus_per_job)) if gpus_per_job else fits
    return max(1, places)


def import_ray() -> Any:
    """The package; UserError without it."""
    # Both before the import. No report of who uses it; and no promise of a change to come, in every program's output.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise missing_package("ray", "--executor=ray", error) from None
    return ray


@contextlib.contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    """A connection to the cluster, or to one that ends with it; one that the caller has is used as it is."""
    if ray.is_initialized():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address:
            _knock(address)
            ray.init(address=address, **quiet)
        else:
            ray.init(
                address="local",
                num_cpus=len(local.available_cores()) or None,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                _temp_dir=_short_folder(),
                **quiet,
            )
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        if not address:
            raise
        raise UserError(
            f"--ray_address={address}: no connection ({first_line(error)}). Start a cluster with `ray start --head`, "
            "or leave the flag out for one of this machine alone."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
        with contextlib.suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGTERM, before)  # which ray.init has replaced


def _knock(address: str) -> None:
    """OSError where nobody listens at host:port, for which Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    if port.isdecimal() and "://" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS_TO_ANSWER).close()


def _short_folder() -> str | None:
    """Where Ray's sockets may lie; None for its own choice."""
    return None if len(tempfile.gettempdir()) <= _LONGEST_TEMPORARY else f"/tmp/ray_{os.getuid()}"


def _check_size(ray: Any, address: str, cores: int, gpus: float) -> None:
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(machine.get("CPU", 0) >= cores and machine.get("GPU", 0) >= gpus for machine in machines):
        return
    found = "; ".join(f"{machine.get('CPU', 0):g} cores, {machine.get('GPU', 0):g} GPUs" for machine in machines)
    message = f"a job asks for {cores} cores and {gpus:g} GPUs, and no machine of the Ray cluster has them ({found})"
    if not address:
        raise UserError(f"{message}: lower --cores_per_job or --gpus_per_job")
    absl_logging.warning("%s. Waiting for one that has.", message)  # the cluster may grow


def _worker_function() -> Callable[..., tuple[int, float]]:
    """What a worker calls, as a function that is sent by value: it must not name anything of this library outside."""

    def carry_out(job: tuple, place: tuple, number: int, cores: int) -> tuple[int, float]:
        import sys

        sys.path[:0] = [path for path in place[2] if path not in sys.path]
        import ray

        from rnn_jax.sweeps import jobs, remote

        node = f"{remote.socket.gethostname()}, Ray node {ray.get_runtime_context().get_node_id()[:8]}"
        return remote.Attempt(jobs.Job(*job), remote.Place(*place), number, node=node).run(cores)

    return carry_out


def _outcome(ray: Any, reference: Any, job: Job, seconds: float) -> tuple[int, float]:
    """Exit code and seconds of a task that has ended."""
    try:
        return ray.get(reference)
    except ray.exceptions.TaskCancelledError:
        return STOPPED, seconds
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, UserError):
            raise cause from None
        if isinstance(cause, ImportError):
            raise UserError(
                f"a worker of the Ray cluster cannot import what a run needs ({cause}): the repository and its Python "
                "environment must lie under the same path on all machines"
            ) from error
        raise
    except ray.exceptions.RayError as error:  # its machine was lost, or out of memory, more often than max_retries
        return note_lost(job, seconds, f"lost: {first_line(error)}"), seconds


def _let_save(ray: Any, pending: dict[Any, int], collect: Callable[[], None]) -> None:
    """Asks the processes to stop, and gives them time to."""
    for reference in pending:
        ray.cancel(reference)  # raises KeyboardInterrupt in a task that runs
    deadline = time.monotonic() + local.SECONDS_TO_SAVE + 5.0  # the worker, which kills in the end, comes first
    while pending and time.monotonic() < deadline:
        with contextlib.suppress(UserError):  # of a second worker, when that of a first one is what we stop for
            collect()
