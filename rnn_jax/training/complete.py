"""A run from its configuration to its result."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from absl import logging

from rnn_jax.config import fields_of, value_of
from rnn_jax.errors import UserError
from rnn_jax.models.sizes import num_parameters
from rnn_jax.training import fit
from rnn_jax.training.devices import wait_for_all
from rnn_jax.training.plots import plot_curves
from rnn_jax.training.prepare import Prepared, prepare
from rnn_jax.training.run import Run, open_run
from rnn_jax.training.run_files import result_line, scored_with, what_next
from rnn_jax.training.task import Task
from rnn_jax.training.trained import FITTED, load
from rnn_jax.training.window import prefixed


def train_in(task: Task, workdir: str | Path, config: Any, *, seeds_mode: str = "") -> dict[str, Any]:
    """Trains in a run directory, or shows the result of a run that finished there before. Returns the result.

    seeds_mode: how it shared its process with other runs, for the record.
    """
    with open_run(workdir, task.name, config) as run:
        result = run.result
        if result is None:
            prepared = prepare(task, config, run)
            fit.train(prepared, run)
            result = report(prepared, run, seeds_mode)
        else:
            run.say(f"Finished before; the result is in {run.path}.{scored_with(result, config)}")
        run.say(result_line(result))
        run.say(what_next(task.name, run.path))
        return result


@contextlib.contextmanager
def _going_on(what: str) -> Iterator[None]:
    """What goes wrong in here is logged, as in drawing: it is not worth a result. A UserError is for the user."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        logging.warning("could not make %s: %s: %s", what, type(error).__name__, error)


def report(prepared: Prepared, run: Run, seeds_mode: str = "") -> dict[str, Any]:
    """Scores the checkpoint that validation chose, on all parts, tests this once; pictures and result.json."""
    wait_for_all("training is over")
    task = prepared.task
    trained = load(task, run.path)
    if task.fit_after is not None:
        trained = trained._replace(fitted=task.fit_after(trained, prepared.data))
        run.write(FITTED, trained.fitted.document)
    result: dict[str, Any] = {"num_parameters": num_parameters(trained.params)}
    if "hidden_size" in fields_of(task.config):
        width = value_of(prepared.network.config, "hidden_size")  # what --num_params came to
        result["hidden_size"] = ",".join(map(str, width))
    result |= task.settings(trained.config) | ({"seeds_mode": seeds_mode} if seeds_mode else {})
    for name, part in prepared.data.parts.items():
        scored = task.score(trained, part)
        result |= prefixed(name, scored.metrics)
        if task.illustrate is not None:
            with _going_on(f"the pictures of {name}"):
                task.illustrate(trained, name, part, scored.details, run)
    if task.examples is not None:
        with _going_on("the examples"):
            for line in task.examples(trained, prepared.data.parts.get("test", prepared.data.parts["validation"])):
                run.say(line)
    run.draw(plot_curves, run.path / "metrics.jsonl", "curves.png")
    return run.finish(result)
