"""A trained model, found again in its run directory."""

import contextlib
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.data.codec import Codec
from rnn_jax.errors import UserError
from rnn_jax.models.pretrained import Pretrained
from rnn_jax.training.adopt import require_default_vocabulary, require_same_vocabulary
from rnn_jax.training.averaging import KeptParams
from rnn_jax.training.build import build
from rnn_jax.training.checkpoint import Checkpointer
from rnn_jax.training.devices import data_mesh, replicate
from rnn_jax.training.nonmonotone import TriggeredMean
from rnn_jax.training.run import Run, read_run
from rnn_jax.training.run_files import document_of, require_run
from rnn_jax.training.state import TrainState, evaluation_params
from rnn_jax.training.task import Task, Trained

PyTree = Any
FITTED = "fitted.json"  # of `Task.fit_after`


def load(task: Task, workdir: str | Path, config: Any = None) -> Trained:
    """The model of a run directory, which needs no flags: it holds everything.

    config: as stored there, but for knobs that may differ between runs of one directory.

    Raises:
      UserError: as `read_run`, the codec's `load` and `restore_params`; files that are not the run's own.
    """
    stored: Any
    stored, run = read_run(workdir, task.name, task.config)
    if not any(run.checkpoints.glob("*")):  # before the codec, which is written later than config.json
        raise _no_checkpoint(run)
    codec = task.codec.load(run.path)
    network = build(task, stored, codec)
    with Checkpointer(run.checkpoints, config_hash=run.config_hash) as checkpoints:
        for extra in checkpoints.extras().values():
            _require_own_files(codec, extra.get("codec", codec.digest), run.path)
    params = restore_params(run, network.shapes, stored)
    fitted = task.fitted.load(run.path, FITTED) if task.fitted and (run.path / FITTED).exists() else None
    return Trained(task, config or stored, codec, network.graph, params, fitted=fitted)


def load_donor(task: Task, config: Any, run: Run | None = None) -> Pretrained | None:
    """What the run that --init_from names gives; of a run that goes on from a checkpoint, its own codec only.

    Raises:
      UserError: there is no such run, its experiment cannot give any, or its vocabulary was made in another way.
    """
    place = config.run.init_from
    if not place:
        return None
    if run is not None and any(run.checkpoints.glob("latest_*")):
        return Pretrained(task.codec.load(run.path))
    directory = Path(place).expanduser().absolute()
    require_run(directory, "the run that --init_from is to start from")
    name = document_of(directory)["experiment"]
    if name in task.donors:
        require_default_vocabulary(config, name)
        return task.donors[name](config, directory)
    if name != task.name:
        raise UserError(
            f"--init_from={place} is a run of {name}: {task.name} starts from runs of"
            f" {' or '.join([task.name, *task.donors])}."
        )
    donor = load(task, directory)
    require_same_vocabulary(config, donor.config)
    return Pretrained(donor.codec, donor.params)


def restore_params(run: Run, shapes: PyTree, config: Any) -> PyTree:
    """The parameters that a run has come to, on all devices: those of its best checkpoint, or a mean.

    With --ema_decay they are running averages, with --nonmonotone_interval a mean since its trigger; with
    --average_checkpoints the mean over several evaluations.

    Raises:
      UserError: there is no checkpoint, or none that can be read.
    """
    averaging, decay = config.run, config.optimizer.ema_decay
    number = jax.ShapeDtypeStruct((), jnp.int32)
    mean = TriggeredMean(number, shapes) if config.optimizer.nonmonotone_interval else None
    template = TrainState(number, shapes, (), shapes if decay else None, mean=mean)
    with Checkpointer(run.checkpoints, config_hash=run.config_hash) as checkpoints:
        latest = checkpoints.latest_step()
        if latest is not None and averaging.average_checkpoints:
            kept = KeptParams(run, averaging.average_checkpoints, averaging.average_checkpoints_from)
            with contextlib.closing(kept):
                mean, steps = kept.mean(shapes, latest)
            if steps:
                return replicate(mean, data_mesh())
            print("warning: there is nothing to average: using the best checkpoint", file=sys.stderr, flush=True)
        best = checkpoints.restore_best(template, subset=True, fallback_to_latest=True)
    if best is None:
        raise _no_checkpoint(run)
    return replicate(jax.device_get(evaluation_params(best.tree, decay)), data_mesh())


def _no_checkpoint(run: Run) -> UserError:
    return UserError(f"{run.path} has no checkpoint yet: train there first.")


def _require_own_files(codec: Codec, digest: str, directory: Path) -> None:
    if codec.digest != digest:
        raise UserError(
            f"The checkpoint in {directory} does not know the vocabulary or classes in the files beside it: they are"
            " not those that it was trained with. Put the run's own codec.json back."
        )
