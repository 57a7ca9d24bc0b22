"""python -m rnn_jax.sweeps.group SPEC: several runs in one process, their updates as one program (`training/together`).

SPEC is a JSON file:
  module      the experiment's, which has Config, EXPERIMENT and train
  runs        [{"config": every field, "directory": path}, …], those that are still to do
  size        models in the program: how many runs there were to begin with
  mode        "vmap" or "map", as there, or "auto": the one that a short measurement finds faster
  choice      file that keeps what "auto" found, for later groups of the sweep and for restarts
"""

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import jax

from rnn_jax.config import config_from_dict, config_to_dict
from rnn_jax.data.once import reading_once
from rnn_jax.sweeps.records import LOG, write_outcome
from rnn_jax.sweeps.rows import SweepRun
from rnn_jax.training.app import exit_code
from rnn_jax.training.files import read_json, write_atomically
from rnn_jax.training.modes import training_loop
from rnn_jax.training.timing import time_methods
from rnn_jax.training.together import run_together
from rnn_jax.training.updates import Updates


def write_spec(path: Path, module: str, runs: list[SweepRun], *, size: int, mode: str, choice: Path) -> None:
    """Writes the SPEC of some runs."""
    document = {
        "module": module,
        "runs": [{"config": config_to_dict(run.config), "directory": str(run.directory)} for run in runs],
        "size": size,
        "mode": mode,
        "choice": str(choice),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(document, indent=1) + "\n")


def run_group(spec: dict[str, Any]) -> int:
    """Runs what the SPEC says; returns 0, or the exit code of a run that failed."""
    experiment = importlib.import_module(spec["module"])
    configs = [config_from_dict(experiment.Config, run["config"]) for run in spec["runs"]]
    directories = [Path(run["directory"]) for run in spec["runs"]]

    def loop(config: Any, directory: Path) -> Updates:
        return training_loop(directory, experiment.EXPERIMENT, config, experiment.train, together=len(configs))

    with reading_once():
        mode = spec["mode"]
        if mode == "auto":
            mode = _choose(Path(spec["choice"]), loop(configs[0], directories[0]), spec["size"])
        logs = [directory / LOG for directory in directories]
        loops = [loop(*run) for run in zip(configs, directories)]
        outcomes = run_together(loops, logs, method=mode, size=spec["size"])
    for directory, outcome in zip(directories, outcomes, strict=True):
        if outcome.exit_code:
            write_outcome(directory, outcome.exit_code, outcome.seconds)
    return max((outcome.exit_code for outcome in outcomes), default=0)


def _choose(file: Path, loop: Updates, size: int) -> str:
    """The mode that was found before, or the fastest on the first update of a run; says and keeps what was measured."""
    if not file.exists():
        try:
            milliseconds = time_methods(next(loop), size)
        except Exception:  # no updates to time, or a run that cannot start: it will say so itself
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
