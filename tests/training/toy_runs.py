"""Runs of the toy task, killed where a test wants it, and what they leave behind."""

import json

import jax
import numpy as np
import pytest
from training.toy_task import TASK, Config

from rnn_jax.config import with_overrides
from rnn_jax.training.checkpoint import Checkpointer
from rnn_jax.training.prepare import first_state, prepare
from rnn_jax.training.run import open_run
from rnn_jax.training.session import Session

QUIET = lambda text: None  # noqa: E731


def configured(**knobs):
    return with_overrides(Config(), {"checkpoint_every_seconds": 0.0, **knobs})


def saved(directory, config, kind="latest"):
    """The bytes of every array of a checkpoint, by path, and its host state."""
    state = jax.eval_shape(lambda: first_state(prepare(TASK, config))[0])
    with open_run(directory, TASK.name, config) as run, Checkpointer(run.checkpoints, config_hash=run.config_hash) as c:
        restored = getattr(c, f"restore_{kind}")(state)
    leaves = jax.tree_util.tree_leaves_with_path(restored.tree)
    return {jax.tree_util.keystr(path): np.asarray(leaf).tobytes() for path, leaf in leaves}, restored.extra


def lines(directory):
    found = map(json.loads, (directory / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if name != "seconds"} for line in found]


SEEDS = {"num_epochs": 1, "eval_every_steps": 5, "checkpoint_every_steps": 2}


def seeds_of(directory, count=3, **knobs):
    return {directory / f"seed_{seed}": configured(**SEEDS | knobs, seed=seed) for seed in range(count)}


SIX_LANES = with_overrides(
    Config(), {"batch_size": 6, "num_epochs": 2, "checkpoint_every_steps": 2, "eval_every_steps": 6}
)


class Killed(BaseException):
    """As SIGKILL: nothing is saved."""


def killed_at(step, monkeypatch):
    """A context in which the first session to count so many updates kills its process."""
    count = Session.count

    def count_or_die(self, *arguments):
        count(self, *arguments)
        if self.step == step:
            raise Killed

    monkeypatch.setattr(Session, "count", count_or_die)
    return pytest.raises(Killed)
