"""--num_seeds: several seeds of one configuration in one process, and what they come to together."""

import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from rnn_jax.data.once import reading_once
from rnn_jax.errors import TrainingDiverged, TrainingInterrupted, UserError
from rnn_jax.training.files import LOG, explain_write_errors, read_json, write_atomically
from rnn_jax.training.loop import Train, training_loop
from rnn_jax.training.progress import Speed
from rnn_jax.training.run import open_run
from rnn_jax.training.stopping import StopSignal
from rnn_jax.training.timing import time_methods
from rnn_jax.training.together import Outcome, run_together
from rnn_jax.training.updates import Updates

CHOICE = "seeds_mode.json"


def train_seeds(workdir: str, experiment: str, config: Any, train: Train, *, num_seeds: int, mode: str) -> None:
    """Trains seeds config.seed, config.seed + 1, … in workdir/seed_N; says mean ± standard deviation of all metrics.

    mode: "vmap" or "map", as in `run_together`, or "auto". seeds.json gets the table.

    Raises:
      UserError, TrainingDiverged, TrainingInterrupted: some seeds did not end well; the others did.
    """
    place = Path(workdir)
    if jax.process_count() > 1:
        raise UserError("--num_seeds is for one process: give each seed a run, or a sweep, of its own.")
    if (place / "config.json").exists():
        raise UserError(f"{place} is a run of one seed: with --num_seeds={num_seeds} use another --workdir")
    seeds = range(config.seed, config.seed + num_seeds)
    runs = {place / f"seed_{seed}": dataclasses.replace(config, seed=seed) for seed in seeds}
    with explain_write_errors(place):
        place.mkdir(parents=True, exist_ok=True)
    for directory, own in runs.items():
        if (directory / "config.json").exists():  # UserError if it was begun with other flags
            open_run(directory, experiment, own).close()
    missing = {directory: own for directory, own in runs.items() if not (directory / "result.json").exists()}
    outcomes = run_all(missing, experiment, train, size=num_seeds, mode=mode, choice=place / CHOICE)
    results = {d.name: read_json(d / "result.json") for d in runs if (d / "result.json").exists()}
    if results:
        table = summary(results)
        write_atomically(place / "seeds.json", json.dumps(table, indent=2) + "\n")
        print("\n".join(lines_of(table, len(results))), flush=True)
    print(f"Run directories: {place}/seed_*", flush=True)
    _raise_worst(outcomes)


def run_all(
    runs: Mapping[Path, Any], experiment: str, train: Train, *, size: int, mode: str, choice: Path
) -> dict[Path, Outcome]:
    """Trains each configuration in its directory, all in this process; what each prints is in its run.log.

    size: of the program, as in `run_together`. choice: file that keeps what mode "auto" measured.
    """

    def loop(directory: Path, config: Any) -> Callable[..., Updates]:
        return lambda clock=time.monotonic: training_loop(directory, experiment, config, train, clock=clock)

    if not runs:
        return {}
    with reading_once(), StopSignal() as stop, _Watch(len(runs)) as watch:
        method = mode
        if mode == "auto":
            directory, config = next(iter(runs.items()))
            method = choose_method(choice, loop(directory, config)(), size)
            if stop.requested:
                raise stop.interruption(0)
        logs = [directory / LOG for directory in runs]
        outcomes = run_together([loop(*run) for run in runs.items()], logs, method=method, size=size, tick=watch.tick)
    return dict(zip(runs, outcomes, strict=True))


def choose_method(file: Path, loop: Updates, size: int) -> str:
    """The method that was found before, or the faster one on the first update of a run; says and keeps the times."""
    if not file.exists():
        try:
            milliseconds = time_methods(next(loop), size)
        except StopIteration:
            return "map"  # no updates to time
        except Exception as error:  # a run that cannot start will say so itself
            print(f"--seeds_mode=auto: map (nothing was measured: {str(error).partition(chr(10))[0]})", flush=True)
            return "map"
        finally:
            loop.close()
        chosen = min(milliseconds, key=milliseconds.__getitem__)
        document: dict[str, Any] = {"chosen": chosen, "milliseconds_per_update_of_all": milliseconds, "size": size}
        document |= {"platform": jax.default_backend(), "devices": jax.device_count()}
        write_atomically(file, json.dumps(document, indent=2) + "\n")
    document = read_json(file)
    measured = ", ".join(f"{name} {ms:.4g} ms" for name, ms in document["milliseconds_per_update_of_all"].items())
    print(f"--seeds_mode=auto: {document['chosen']} (an update of {document['size']} runs: {measured})", flush=True)
    return str(document["chosen"])


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


class _Watch:
    """A line on a terminal: which step, how fast."""

    def __init__(self, num_runs: int):
        self._num_runs = num_runs
        console = Console(file=sys.stdout, highlight=False)
        self._status = console.status("starting") if console.is_terminal else None
        self._speed = Speed()

    def __enter__(self) -> "_Watch":
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def tick(self, step: int, num_living: int) -> None:
        """After a round of updates."""
        if self._status is None:
            return
        self._speed.add(time.monotonic(), step, 0)
        steps_per_second, _ = self._speed.rates()
        self._status.update(
            f"step {step} · {num_living} of {self._num_runs} runs · {steps_per_second:.1f} steps/s each"
        )
