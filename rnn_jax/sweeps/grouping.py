"""Which runs of a sweep share a process: those whose programs are the same but for numbers that are their arguments."""

import math
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from rnn_jax.sweeps.group import write_spec
from rnn_jax.sweeps.jobs import Job
from rnn_jax.sweeps.plan_jobs import make_jobs, run_name
from rnn_jax.sweeps.rows import Sweep, SweepRun
from rnn_jax.training.same_program import shared

MOST_TOGETHER = 8  # runs of a process: more save little, and each holds its data and its state

Group = tuple[SweepRun, ...]


def group_runs(runs: Iterable[SweepRun], num_parallel: int = 1) -> list[Group]:
    """Runs by program, at most `MOST_TOGETHER` a group and few enough that all parallel places get some.

    Runs that differ in seed, learning rate and weight decay only have one program.
    """
    runs = list(runs)
    by_program: dict[object, list[SweepRun]] = {}
    for run in runs:
        by_program.setdefault(shared(run.config), []).append(run)
    share = math.ceil(len(runs) / num_parallel)
    groups = []
    for members in by_program.values():
        count = math.ceil(len(members) / max(1, min(MOST_TOGETHER, share)))
        size = math.ceil(len(members) / count)  # 5 + 5 rather than 8 + 2
        groups += [tuple(members[first : first + size]) for first in range(0, len(members), size)]
    return groups


def make_group_jobs(
    sweep: Sweep,
    runs: Sequence[SweepRun],
    todo: Sequence[SweepRun],
    workdir: Path,
    *,
    mode: str,
    num_parallel: int = 1,
    environment: tuple[tuple[str, str], ...] = (),
) -> list[Job]:
    """Jobs that train the runs `todo` of the `runs` of a sweep; a run that shares its program with none is its own job.

    Groups are made of all runs, whether ended or not, so that a run has the same companions at every restart.
    """
    jobs: list[Job] = []
    wanted = {run.directory for run in todo}
    for group in group_runs(runs, num_parallel):
        missing = [run for run in group if run.directory in wanted]
        if len(group) == 1 or not missing:
            jobs += make_jobs(sweep, missing, environment=environment)
            continue
        # Another group has other files, which no process of an earlier start of the sweep is about to read.
        members = "\n".join(f"{run.directory.parent.name} {run.seed}" for run in group)
        name = f"{group[0].directory.parent.name}-seed_{group[0].seed}-{zlib.crc32(members.encode()):08x}"
        spec = workdir / "groups" / f"{name}.json"
        write_spec(spec, sweep.module, missing, mode=mode)
        job = Job(
            name=" + ".join(run_name(sweep, run) for run in missing),
            command=("-m", "rnn_jax.sweeps.group", str(spec)),
            directories=tuple(str(run.directory) for run in missing),
            log=str(spec.with_suffix(".log")),
            environment=environment,
        )
        jobs.append(job)
    return jobs
