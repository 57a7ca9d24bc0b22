"""The parameters of several evaluations, to be averaged at the end: the last ones, or the best ones."""

import math
from typing import Any

import jax
import numpy as np

from rnn_jax.training.checkpoint import Checkpointer
from rnn_jax.training.run import Run
from rnn_jax.training.state import TrainState, evaluation_params

PyTree = Any

_ALL = 2**62  # the checkpointer keeps every one: which ones stay is decided here


class KeptParams:
    """At most `size` checkpoints of evaluated parameters in a run directory; which = "last" or "best" ones."""

    def __init__(self, run: Run, size: int, which: str):
        self.size, self.which = size, which
        self._checkpoints = Checkpointer(run.path / "averaged", config_hash=run.config_hash, keep_latest=_ALL)

    def add(self, step: int, state: TrainState, rank: tuple[float, ...], ema_decay: float) -> None:
        """Keeps the parameters of an evaluation if they are among the last, or the highest ranks so far.

        What was kept of later steps is forgotten: a kill took them back.
        """
        if not self.size:
            return
        ranks = {kept: extra["rank"] for kept, extra in self._checkpoints.extras().items() if kept < step}
        ranks[step] = [-math.inf if math.isnan(score) else score for score in rank]  # NaN has no place in an order
        self._checkpoints.save(step, evaluation_params(state, ema_decay), {"rank": ranks[step]})
        order = sorted(ranks, key=lambda kept: (ranks[kept], kept) if self.which == "best" else ([], kept))
        self._checkpoints.remove_all_but(order[-self.size :])

    def mean(self, template: PyTree, last_step: int) -> tuple[PyTree, list[int]]:
        """The mean of what is kept up to `last_step` (NumPy arrays, sums in float64), and the steps; [] if none.

        What is broken is left out, with a warning.
        """
        steps = sorted(step for step in self._checkpoints.extras() if step <= last_step)
        read = [self._checkpoints.restore_step(step, template) for step in steps]
        found = [restored for restored in read if restored is not None]
        if not found:
            return template, []
        mean = jax.tree.map(lambda *leaves: _mean(leaves), *(restored.tree for restored in found))
        return mean, [restored.step for restored in found]

    def close(self) -> None:
        """Releases Orbax's threads."""
        self._checkpoints.close()


def _mean(leaves: tuple[np.ndarray, ...]) -> np.ndarray:
    return np.asarray(np.mean([leaf.astype(np.float64) for leaf in leaves], axis=0)).astype(leaves[0].dtype)
