r"""Ablation sweeps: from one file to a table that can be published.

    ./launch.sh sweep experiments/sweeps/sentiment_cells.py --workdir=runs/cells --dry_run        # rows and commands
    ./launch.sh sweep experiments/sweeps/sentiment_cells.py --workdir=runs/cells --jobs=2 --num_seeds=5
    ./launch.sh sweep experiments/sweeps/sentiment_cells.py --workdir=runs/cells --set=data_dir=DIR,dataset=imdb_reviews
    ./launch.sh sweep --workdir=runs/cells --summarise                                            # the report, anew
    ./launch.sh sweep my_recipe.py --workdir=runs/recipe --search=optuna --num_trials=100 --jobs=2    # its space(trial)

Running the same command again continues an interrupted sweep: finished runs are kept, others resume. Rows may be added
to the file, and --num_seeds raised, at any time; only the new runs are made.

exit code: 0 every run finished with the metric, 1 some did not (the report says which), others as in every script. Of a
search: 0 some trial finished and none failed (pruned and diverged ones are no failures), 1 otherwise.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnn_jax.config import knob, refuse_idle_changes, when
from rnn_jax.errors import UserError
from rnn_jax.sweeps import local
from rnn_jax.sweeps.commands import flags_of, shell_line
from rnn_jax.sweeps.grouping import make_group_jobs
from rnn_jax.sweeps.jobs import Job
from rnn_jax.sweeps.live_table import LiveTable
from rnn_jax.sweeps.local import shared_cache
from rnn_jax.sweeps.plan_jobs import UNSUCCESSFUL, choose_rows, describe_runs, make_jobs, runs_to_do, set_aside
from rnn_jax.sweeps.records import Record, read_record
from rnn_jax.sweeps.rows import Sweep, SweepRun, expand
from rnn_jax.sweeps.sweep_file import load_space, parse_settings
from rnn_jax.sweeps.workdir import locked, open_sweep, reopen_sweep, require_sweep, stored_document, write_sweep
from rnn_jax.training.app import run_tool

MODULE = "experiments.sweep"
OF_THIS_TIME = ("rows", "retry_failed", "summarise", "order", "dry_run")
ON_SLURM = when(executor="slurm")
OF_ROWS = ("rows", "num_seeds", "retry_failed", "executor", "dry_run", "summarise")


@dataclasses.dataclass(frozen=True)
class SweepConfig:
    """What is run, where, and how the report is made."""

    workdir: str = knob("", "directory of the sweep (default: runs/<sweep file>)")
    set: tuple[str, ...] = knob((), "field=value for all rows, as in data_dir=DIR,num_epochs=2; a row's own value wins")
    rows: tuple[str, ...] = knob((), "only run rows that have one of these texts in their names, and the baseline")
    num_seeds: int = knob(0, "seeds of each row (0 = the sweep file's NUM_SEEDS, or 1)", minimum=0)
    seeds_mode: str = knob(
        "auto",
        "runs of one program in one process, in turn (map) or in step (vmap), or each in its own; auto: vmap on "
        "accelerators where that can be had",
        choices=("auto", "vmap", "map", "process"),
    )
    jobs: int = knob(
        0, "processes at a time (0 = one; all that fit on a Ray cluster; all that SLURM's queue lets run)", minimum=0
    )
    retry_failed: bool = knob(False, "try failed and diverged runs again")
    dry_run: bool = knob(False, "show rows and commands; run nothing")
    summarise: bool = knob(False, "run nothing; make the report of what is there")
    order: str = knob("sweep", "order of the report's rows", choices=("sweep", "metric"))
    executor: str = knob("local", "where the runs are made", choices=("local", "ray", "slurm"))
    ray_address: str = knob(
        "", "address of a Ray cluster (default: a cluster on this machine)", only_if=when(executor="ray")
    )
    cores_per_job: int = knob(1, "cores that a job asks for", minimum=1, only_if=when(executor=("ray", "slurm")))
    gpus_per_job: float = knob(0.0, "GPUs that a job asks for", minimum=0.0, only_if=when(executor=("ray", "slurm")))
    slurm_partition: str = knob("", "SLURM partition", only_if=ON_SLURM)
    slurm_minutes: int = knob(60, "SLURM time limit of a job", minimum=1, only_if=ON_SLURM)
    slurm_memory_gb: float = knob(
        0.0, "memory of a SLURM job (0 = what the partition gives)", minimum=0.0, only_if=ON_SLURM
    )
    slurm_parameters: tuple[str, ...] = knob((), "further SLURM parameters, as in account=me,qos=low", only_if=ON_SLURM)
    search: str = knob("", "instead of rows, search the sweep file's space(trial)", choices=("", "optuna"))
    num_trials: int = knob(50, "configurations that are tried", minimum=1, only_if=when(search="optuna"))


def main(config: SweepConfig, arguments: list[str]) -> int:
    """Runs a sweep, shows what it would run, or only reports; returns the exit code."""
    check(config, arguments)
    workdir = Path(config.workdir or f"runs/{Path(arguments[0]).stem}").expanduser().absolute()
    if arguments:
        overrides = parse_settings(config.set)
        sweep = open_sweep(arguments[0], workdir, overrides)
        num_seeds, command = config.num_seeds or sweep.num_seeds, command_line(config, arguments)
    else:
        sweep, document = reopen_sweep(workdir)
        num_seeds, command = config.num_seeds or document["num_seeds"], document["command"]
    known = max(num_seeds, (stored_document(workdir) or {}).get("num_seeds", 0))  # the report has all that were made
    runs = expand(sweep, workdir, num_seeds)
    rows = choose_rows(sweep, config.rows)
    if config.dry_run:
        print("\n".join(describe_runs(sweep, [run for run in runs if run.row in rows])))
        return 0
    if config.summarise:
        require_sweep(workdir)
        if (
            not any(run.directory.exists() for run in expand(sweep, workdir, known))
            and (workdir / "search.md").exists()
        ):
            raise UserError(f"{workdir} holds a search, not a sweep of rows: its report is search.md")
    else:
        space = load_space(arguments[0]) if config.search else None
        with locked(workdir):
            write_sweep(workdir, sweep, num_seeds=known, overrides=overrides, command=command)
            if config.search:
                return search(config, sweep, space, workdir)
            run_missing(config, sweep, [run for run in runs if run.row in rows], workdir)
    records = report(config, sweep, expand(sweep, workdir, known), workdir, command)
    wanted = [record for record in records if record.run.row in rows]
    return 0 if all(record.status == "finished" and sweep.metric in record.result for record in wanted) else 1


def check(config: SweepConfig, arguments: Sequence[str]) -> None:
    """UserError for flags and arguments that make no sense together."""
    if len(arguments) > 1:
        raise UserError(f"one sweep file at a time: {', '.join(arguments)}")
    if not arguments and not (config.summarise and config.workdir):
        raise UserError(
            "which sweep? Give its file, as in experiments/sweeps/sentiment_cells.py; or --summarise, with the "
            "--workdir of one that was run"
        )
    if not arguments:
        for name in ("set", "rows"):
            if given := getattr(config, name):
                raise UserError(f"--{name}={','.join(given)} needs a sweep file: give that too, or leave it out")
    refuse_idle_changes(config)
    if config.executor == "slurm" and config.gpus_per_job % 1:
        raise UserError(f"--gpus_per_job={config.gpus_per_job}: SLURM gives whole GPUs only")
    if config.search and (given := [name for name in OF_ROWS if getattr(config, name) != getattr(SweepConfig(), name)]):
        raise UserError(f"--search takes no --{given[0]}: it makes runs of its own, on this machine")


def command_line(config: SweepConfig, arguments: Sequence[str]) -> str:
    """What to type to get the whole sweep; what was done of it this time is left out."""
    whole = dataclasses.replace(config, **{name: getattr(SweepConfig(), name) for name in OF_THIS_TIME})
    return shell_line(["-m", MODULE, *arguments, *flags_of(whole)])


def search(config: SweepConfig, sweep: Sweep, space: Any, workdir: Path) -> int:
    """--search: tries configurations, which start from the baseline; returns the exit code."""
    from rnn_jax.sweeps.search import run_search
    from rnn_jax.sweeps.search_report import went_well

    study = run_search(
        sweep,
        space,
        workdir,
        base=sweep.rows[0].config,
        num_trials=config.num_trials,
        num_parallel=config.jobs or 1,
        environment=shared_cache(workdir),
    )
    print(f"Report: {workdir / 'search.md'}", flush=True)
    return 0 if went_well(study) else 1


def run_missing(config: SweepConfig, sweep: Sweep, runs: Sequence[SweepRun], workdir: Path) -> None:
    """Makes those of the runs that are not there yet."""
    records = [read_record(run, with_metrics=False) for run in runs]
    todo = runs_to_do(records, retry_failed=config.retry_failed)
    for record in records:
        if record.status == "diverged" and record.run in todo:
            set_aside(record.run.directory)
    print(f"{sweep.title.rstrip('.')}: {len(runs)} runs, {len(runs) - len(todo)} of them ended before.", flush=True)
    environment = shared_cache(workdir) if config.executor == "local" else ()
    if config.seeds_mode == "process":
        jobs = make_jobs(sweep, todo, environment=environment)
    else:
        options = {"mode": config.seeds_mode, "num_parallel": 1, "environment": environment}
        if todo:
            options["num_parallel"] = num_processes(config, len(runs))
        jobs = make_group_jobs(sweep, runs, todo, workdir, **options)
    with LiveTable(sweep, records) as table:
        execute(config, jobs, workdir, table)


def num_processes(config: SweepConfig, num_runs: int) -> int:
    """How many will run at a time, as far as can be known beforehand: runs share processes so that none stays away."""
    if config.jobs or config.executor == "local":
        return config.jobs or 1
    if config.executor == "slurm":
        return num_runs  # nobody knows what the queue will give
    from rnn_jax.sweeps import on_ray

    resources = {"cores_per_job": config.cores_per_job, "gpus_per_job": config.gpus_per_job}
    return on_ray.num_places(address=config.ray_address, **resources)


def execute(config: SweepConfig, jobs: Sequence[Job], workdir: Path, table: LiveTable) -> None:
    """Hands the jobs to the executor."""
    hooks = {"on_start": table.job_started, "on_end": table.job_ended, "tick": table.tick}
    resources = {"workdir": workdir, "cores_per_job": config.cores_per_job}
    if config.executor == "local":
        local.run_jobs(jobs, num_parallel=config.jobs or 1, **hooks)
    elif config.executor == "ray":
        from rnn_jax.sweeps import on_ray

        on_ray.run_jobs(
            jobs,
            address=config.ray_address,
            gpus_per_job=config.gpus_per_job,
            num_parallel=config.jobs,
            **resources,
            **hooks,
        )
    else:
        from rnn_jax.sweeps import on_slurm

        on_slurm.run_jobs(
            jobs,
            partition=config.slurm_partition,
            minutes=config.slurm_minutes,
            memory_gb=config.slurm_memory_gb,
            parameters=config.slurm_parameters,
            gpus_per_job=int(config.gpus_per_job),
            num_parallel=config.jobs,
            **resources,
            **hooks,
        )


def report(config: SweepConfig, sweep: Sweep, runs: Sequence[SweepRun], workdir: Path, command: str) -> list[Record]:
    """Writes the report and says what is in it; returns what it is made of."""
    from rnn_jax.sweeps.report import summary_lines, write_report

    records = [read_record(run) for run in runs]
    write_report(sweep, records, workdir, command=command, order=config.order)
    print("\n".join(summary_lines(sweep, records, order=config.order)))
    if any(record.status in UNSUCCESSFUL for record in records):
        print("\nThe same command with --retry_failed tries failed and diverged runs again.")
    if any(record.status == "interrupted" for record in records):
        print("\nSome runs were killed, for lack of memory perhaps; the same command continues them.")
    print(f"Report: {workdir / 'report.md'}", flush=True)
    return records


if __name__ == "__main__":
    run_tool(main, SweepConfig)
