"""python -m rnn_jax.sweeps.group SPEC: several runs of one experiment in one process (`training/many`).

SPEC is a JSON file:
  module      the experiment's, which has Config and task, or train_in(directory, config) in place of the latter
  runs        [{"config": every field, "directory": path}, …], those that are still to do
  mode        "vmap", "map" or "auto", as --seeds_mode of an experiment
"""

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from rnn_jax.config import config_from_dict, config_to_dict
from rnn_jax.exit_codes import exit_code
from rnn_jax.files import read_json, write_atomically
from rnn_jax.models.own_cells import import_cells_of
from rnn_jax.sweeps.records import write_outcome
from rnn_jax.sweeps.rows import SweepRun
from rnn_jax.training.many import train_in_turn
from rnn_jax.training.seeds import train_all


def write_spec(path: Path, module: str, runs: list[SweepRun], *, mode: str) -> None:
    """Writes the SPEC of some runs."""
    document = {
        "module": module,
        "runs": [{"config": config_to_dict(run.config), "directory": str(run.directory)} for run in runs],
        "mode": mode,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(document, indent=1) + "\n")


def run_group(spec: dict[str, Any]) -> int:
    """Runs what the SPEC says; returns 0, or the exit code of a run that failed."""
    experiment = importlib.import_module(spec["module"])
    configs = [config_from_dict(experiment.Config, run["config"]) for run in spec["runs"]]
    for config in configs:
        import_cells_of(config)  # as the sweep did that wrote the file
    runs = dict(zip([Path(run["directory"]) for run in spec["runs"]], configs, strict=True))
    if hasattr(experiment, "task"):
        outcomes = train_all(experiment.task(), runs, str(spec["mode"]))
    else:
        outcomes = train_in_turn(experiment.train_in, runs, print)
    for directory, outcome in outcomes.items():
        if outcome.exit_code:
            write_outcome(directory, outcome.exit_code, outcome.seconds)
    return max((outcome.exit_code for outcome in outcomes.values()), default=0)


def main(arguments: list[str]) -> int:
    """Runs the group of a SPEC file; every run notes its own end, this process' is noted by whoever started it."""
    started, code = time.monotonic(), 0

    def body() -> None:
        nonlocal code
        code = run_group(read_json(Path(arguments[0])))

    failed = exit_code(body)
    print(f"group ended after {time.monotonic() - started:.1f} s", flush=True)
    return failed or code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
