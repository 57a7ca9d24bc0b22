"""Which runs of a sweep are to be made now, and the jobs that make them."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from rnn_jax.config import did_you_mean
from rnn_jax.errors import UserError
from rnn_jax.files import LOG
from rnn_jax.sweeps.commands import command_of, shell_line
from rnn_jax.sweeps.jobs import Job
from rnn_jax.sweeps.records import Record, read_record
from rnn_jax.sweeps.rows import Sweep, SweepRun

UNSUCCESSFUL = ("diverged", "failed")  # the statuses that only --retry_failed tries again


def choose_rows(sweep: Sweep, parts: Sequence[str]) -> frozenset[int]:
    """The numbers of the rows whose names have one of the parts (all rows if there are none), and of the baseline.

    Raises:
      UserError: no row has one of the parts.
    """
    chosen = {0} if parts else set(range(len(sweep.rows)))
    for part in parts:
        found = {number for number, row in enumerate(sweep.rows) if part in row.name}
        if not found:
            names = [row.name for row in sweep.rows]
            raise UserError(f"--rows={part}: no row of the sweep has this in its name.{did_you_mean(part, names)}")
        chosen |= found
    return frozenset(chosen)


def runs_to_do(records: Sequence[Record], *, retry_failed: bool) -> list[SweepRun]:
    """The runs that have not ended, and with retry_failed those that ended badly.

    First one seed of every row, then the next: a sweep that is stopped early compares all of its rows, and seeds that
    would compile the same program at the same moment find it compiled.
    """
    skipped = {"finished", *(() if retry_failed else UNSUCCESSFUL)}
    chosen = [record.run for record in records if record.status not in skipped]
    return sorted(chosen, key=lambda run: run.seed)


def set_aside(directory: Path) -> Path:
    """Renames the directory of a diverged run, whose last checkpoint would diverge again, to the next free *.failed-N.

    Returns the new place.
    """
    number = 1
    while (place := directory.with_name(f"{directory.name}.failed-{number}")).exists():
        number += 1
    return directory.rename(place)


def make_jobs(sweep: Sweep, runs: Sequence[SweepRun], *, environment: tuple[tuple[str, str], ...] = ()) -> list[Job]:
    """Jobs that train these runs, in this order: a process for each."""
    return [
        Job(
            name=run_name(sweep, run),
            command=command_of(sweep.module, run.config, run.directory),
            directories=(str(run.directory),),
            log=str(run.directory / LOG),
            environment=environment,
        )
        for run in runs
    ]


def describe_runs(sweep: Sweep, runs: Sequence[SweepRun]) -> list[str]:
    """Every row, and the command that makes each of its runs by hand; then how many there are."""
    lines = []
    for row, members in itertools.groupby(runs, key=lambda run: run.row):
        lines.append(sweep.rows[row].name)
        for run in members:
            status = read_record(run, with_metrics=False).status
            note = "" if status == "waiting" else f"  # {status}"
            lines.append(f"  {shell_line(command_of(sweep.module, run.config, run.directory))}{note}")
    count = f"{len({run.row for run in runs})} rows, {len(runs)} runs"
    return [*lines, f"{count} of {sweep.module}, compared by {sweep.metric}."]


def run_name(sweep: Sweep, run: SweepRun) -> str:
    """A run as people call it: "cell=gru seed 1"."""
    return f"{sweep.rows[run.row].name} seed {run.seed}"
