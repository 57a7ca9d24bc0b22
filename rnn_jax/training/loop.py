"""From a configuration and a run directory to a finished run: what a script's `train` is run by."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rnn_jax.config import fields_of
from rnn_jax.training.run import Run, open_run
from rnn_jax.training.updates import Updates, run_alone
from rnn_jax.training.window import shown

Train = Callable[[Any, Run], Updates | dict[str, Any]]
"""(configuration, run) → the result, or a loop that asks for updates and returns the result."""


def train_in(workdir: str, experiment: str, config: Any, train: Train) -> None:
    """Runs train(config, run) in the run directory, or shows the result of one that finished there before."""
    run_alone(training_loop(workdir, experiment, config, train))


def training_loop(
    workdir: str | Path,
    experiment: str,
    config: Any,
    train: Train,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Updates:
    """What `train_in` runs, as a loop; clock: the seconds of the process that are this run's."""
    with open_run(workdir, experiment, config, clock=clock) as run:
        if (result := run.result) is not None:
            run.say(f"Finished before; the result is in {run.path}.{_scored_with(result, config)}")
        if result is None:
            outcome = train(config, run)
            result = outcome if isinstance(outcome, dict) else (yield from outcome)
        run.say(shown({name: value for name, value in result.items() if "/" in name or name == "seconds"}))
        run.say(f"Run directory: {run.path}")
        return result


def _scored_with(result: Mapping[str, Any], config: Any) -> str:
    """Where knobs that scores depend on, but a run does not, are other than those of the result: its values."""
    knobs = fields_of(type(config))
    free = [name for name in result if name in knobs and not knobs[name].identity]
    others = [f"--{name}={result[name]}" for name in free if result[name] != getattr(config, name)]
    return f" It was scored with {' '.join(others)}; --mode=eval scores with other values." if others else ""
