"""--num_seeds: several seeds of one configuration in one process, and what they come to together."""

import functools
import json
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from rnn_jax.config import with_overrides
from rnn_jax.data.once import reading_once
from rnn_jax.errors import TrainingDiverged, TrainingInterrupted, UserError
from rnn_jax.files import LOG, explain_write_errors, read_json, write_atomically
from rnn_jax.training.complete import train_in
from rnn_jax.training.in_step import OutOfStepError, train_in_step
from rnn_jax.training.many import Outcome, train_in_turn
from rnn_jax.training.run import open_run
from rnn_jax.training.task import Task


def train_seeds(task: Task, workdir: str, config: Any, *, num_seeds: int, mode: str) -> None:
    """Trains seeds --seed, --seed + 1, … in workdir/seed_N; says mean ± standard deviation of all metrics.

    mode: as `train_all` takes it. seeds.json gets the table.

    Raises:
      UserError, TrainingDiverged, TrainingInterrupted: some seeds did not end well; the others did.
    """
    place, first = Path(workdir), config.run.seed
    if jax.process_count() > 1:
        raise UserError("--num_seeds is for one process: give each seed a run, or a sweep, of its own.")
    if (place / "config.json").exists():
        raise UserError(f"{place} is a run of one seed: with --num_seeds={num_seeds} use another --workdir")
    seeds = range(first, first + num_seeds)
    runs = {place / f"seed_{seed}": with_overrides(config, {"seed": seed}) for seed in seeds}
    with explain_write_errors(place):
        place.mkdir(parents=True, exist_ok=True)
    for directory, own in runs.items():
        if (directory / "config.json").exists():  # UserError if it was begun with other flags
            open_run(directory, task.name, own).close()
    missing = {directory: own for directory, own in runs.items() if not (directory / "result.json").exists()}
    outcomes = train_all(task, missing, mode)
    results = {d.name: read_json(d / "result.json") for d in runs if (d / "result.json").exists()}
    if results:
        table = summary(results)
        write_atomically(place / "seeds.json", json.dumps(table, indent=2) + "\n")
        print("\n".join(lines_of(table, len(results))), flush=True)
    print(f"Run directories: {place}/seed_*", flush=True)
    _raise_worst(outcomes)


def train_all(task: Task, runs: Mapping[Path, Any], mode: str) -> dict[Path, Outcome]:
    """Trains each configuration in its directory, all in this process; what each prints is in its run.log.

    mode: "map" in turn, "vmap" in step, "auto": in step on an accelerator, where that can be had.

    Raises:
      UserError: --seeds_mode=vmap of runs that cannot train in step.
    """
    if not runs:
        return {}
    chosen = "vmap" if mode == "auto" and jax.default_backend() != "cpu" else mode.replace("auto", "map")
    console = Console(file=sys.stdout, highlight=False)
    with reading_once(), console.status("starting") as status:
        if mode == "auto":
            print(f"--seeds_mode=auto: {chosen}", flush=True)
        if chosen == "vmap":
            try:
                _require_one_pace(runs)
                return train_in_step(task, runs, status.update)
            except OutOfStepError as error:
                why, remedy = error.args
            if mode == "vmap":
                raise UserError(f"--seeds_mode=vmap: {why}, so that they cannot train in step. Use map, or {remedy}.")
            print(f"--seeds_mode=auto: map, as {why}", flush=True)
        return train_in_turn(functools.partial(train_in, task, seeds_mode="map"), runs, status.update)


def _require_one_pace(runs: Mapping[Path, Any]) -> None:
    patience = {
        "--early_stopping_patience": any(config.run.early_stopping_patience for config in runs.values()),
        "--plateau_patience": any(config.optimizer.plateau_patience for config in runs.values()),
    }
    if given := [flag for flag, value in patience.items() if value]:
        raise OutOfStepError(f"with {' and '.join(given)} a run may end or slow down alone", "leave them out")


def summary(results: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of each metric: mean, sample standard deviation (None for one seed) and the value of each run."""
    table = {}
    for name in next(iter(results.values())):
        values = {run: result.get(name) for run, result in results.items()}
        numbers = [value for value in values.values() if isinstance(value, float)]
        if "/" in name and len(numbers) == len(values):
            spread = statistics.stdev(numbers) if len(numbers) > 1 else None
            table[name] = {"mean": statistics.fmean(numbers), "std": spread, **values}
    return table


def lines_of(table: Mapping[str, Mapping[str, Any]], num_runs: int) -> list[str]:
    """A line for each metric."""
    lines = [f"mean ± standard deviation over {num_runs} seeds:"]
    for name, row in table.items():
        spread = "" if row["std"] is None else f" ± {row['std']:.2g}"
        lines.append(f"  {name} {row['mean']:.4g}{spread}")
    return lines


def _raise_worst(outcomes: Mapping[Path, Outcome]) -> None:
    bad = {directory: outcome.exit_code for directory, outcome in outcomes.items() if outcome.exit_code}
    if not bad:
        return
    listed = ", ".join(f"{directory.name} (exit code {code})" for directory, code in bad.items())
    if (code := max(bad.values())) > 128:
        raise TrainingInterrupted(f"stopped: {listed}. Run the same command again to continue.", code - 128)
    error = TrainingDiverged if code == TrainingDiverged.exit_code else UserError
    raise error(f"not every seed ended well: {listed}; see {LOG} in their directories")
