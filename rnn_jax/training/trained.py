"""A trained model, found again in its run directory."""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.data.inputs import Inputs, require_own_files
from rnn_jax.errors import UserError
from rnn_jax.training.checkpoint import Checkpointer
from rnn_jax.training.devices import data_mesh, replicate
from rnn_jax.training.kept import KeptParams
from rnn_jax.training.run import Run, read_run
from rnn_jax.training.state import TrainState, evaluation_params
from rnn_jax.training.steps import Steps

PyTree = Any


class Trained(NamedTuple):
    """A model that can be applied: config, inputs, compiled functions, and parameters on all devices."""

    config: Any
    inputs: Any
    steps: Steps
    params: PyTree


def load_trained(
    workdir: str | Path,
    experiment: str,
    config_class: type,
    inputs_class: type[Inputs],
    steps_of: Callable[[Any, Any], Steps],
) -> Trained:
    """The model of a run directory, which needs no flags: it holds everything.

    Raises:
      UserError: as `read_run`, the inputs' `load` and `restore_params`.
    """
    config: Any
    config, run = read_run(workdir, experiment, config_class)
    inputs = inputs_class.load(run.path)
    steps = steps_of(config, inputs)
    with Checkpointer(run.checkpoints, config_hash=run.config_hash) as checkpoints:
        for extra in checkpoints.extras().values():
            require_own_files(inputs, extra.get("inputs", inputs.digest()), run.path)
    return Trained(config, inputs, steps, restore_params(run, steps.shapes, config))


def restore_params(run: Run, shapes: PyTree, config: Any) -> PyTree:
    """The parameters that a run has come to, on all devices: those of its best checkpoint, or a mean.

    With --ema_decay they are running averages; with --average_checkpoints the mean over several evaluations.

    Raises:
      UserError: there is no checkpoint, or none that can be read.
    """
    ema = shapes if config.ema_decay else None
    template = TrainState(jax.ShapeDtypeStruct((), jnp.int32), shapes, (), ema)
    with Checkpointer(run.checkpoints, config_hash=run.config_hash) as checkpoints:
        latest = checkpoints.latest_step()
        if latest is not None and config.average_checkpoints:
            with contextlib.closing(KeptParams(run, config.average_checkpoints, config.average)) as kept:
                mean, steps = kept.mean(shapes, latest)
            if steps:
                return replicate(mean, data_mesh())
            print("warning: there is nothing to average: using the best checkpoint", file=sys.stderr, flush=True)
        best = checkpoints.restore_best(template, subset=True, fallback_to_latest=True)
    if best is None:
        raise UserError(f"{run.path} has no checkpoint yet: train there first.")
    return replicate(jax.device_get(evaluation_params(best.tree, config.ema_decay)), data_mesh())
