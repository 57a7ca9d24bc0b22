"""When a run has diverged: the one rule, for runs alone, seeds in one process and runs of a sweep.

A run has diverged when

    the loss or the gradient norm is not finite, or
    loss > divergence_factor · max(|first loss|, SMALLEST_FIRST_LOSS)

where the loss is that of an update or of an evaluation on validation data, and the first loss that of the run's first
update. Waiting for a NaN would not do: whether numbers of an exploded model overflow or stay at 9e29 hangs on how a
processor rounds. A loss may fall as low as it likes, below zero too. (The default factor leaves room: small models at
learning rates a thousand times too high rose to 150 times their first loss, and came back.)
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

from rnn_jax.errors import TrainingDiverged

Numbers = Float[Array, "*steps"] | Float[np.ndarray, "*steps"] | Sequence[float] | float

# Losses are nats per text, word or token, and a blind guess costs about one or more. A warm start (--init_from) may
# begin at 1e-8 and rightly rise to the price of a guess; a first loss of zero has no multiples at all.
SMALLEST_FIRST_LOSS = 1.0


class Finding(NamedTuple):
    """A run has diverged.

    step: the first update that says so, or the one before the evaluation that does; what: the numbers. state_step: the
    updates behind the state that they speak of; the loss of an update is that of the state before it.
    """

    step: int
    what: str
    state_step: int


class DivergenceRule:
    """The rule of the module's docstring for one run.

    factor: --divergence_factor. first_loss: of a run that goes on; a new one takes it from its first update. Keep it
    beside the state, so that a resumed run judges by the same limit.
    """

    def __init__(self, factor: float, first_loss: float | None = None):
        self.factor, self.first_loss = factor, first_loss

    @property
    def limit(self) -> float:
        """The highest loss that is not yet divergence."""
        if not self.factor or self.first_loss is None:
            return math.inf
        return self.factor * max(abs(self.first_loss), SMALLEST_FIRST_LOSS)

    def of_updates(self, loss: Numbers, gradient_norm: Numbers, step: int) -> Finding | None:
        """What the numbers of consecutive updates, of which `step` is the last, say; the first bad one is named.

        Waits for the device.
        """
        losses, norms = (np.atleast_1d(np.asarray(numbers, np.float64)).tolist() for numbers in (loss, gradient_norm))
        if self.first_loss is None:
            self.first_loss = losses[0]
        bad = [self._is_bad(one) or not math.isfinite(norm) for one, norm in zip(losses, norms, strict=True)]
        if not any(bad):
            return None
        first = bad.index(True)
        what = f"loss {losses[first]:g}, gradient norm {norms[first]:g}{self._said_limit(losses[first])}"
        first_step = step - len(bad) + 1 + first
        return Finding(first_step, what, first_step - 1)

    def of_evaluation(self, loss: float, step: int) -> Finding | None:
        """What the loss on validation data after update `step` says."""
        return Finding(step, f"validation loss {loss:g}{self._said_limit(loss)}", step) if self._is_bad(loss) else None

    def _is_bad(self, loss: float) -> bool:
        return not math.isfinite(loss) or loss > self.limit

    def _said_limit(self, loss: float) -> str:
        if not self.limit < loss < math.inf:
            return ""
        return (
            f"; the limit is {self.limit:g} (--divergence_factor={self.factor:g} times the first loss of "
            f"{self.first_loss:g}, counted as at least {SMALLEST_FIRST_LOSS:g})"
        )


def diverged(found: Finding, checkpoints: Path, last_good_step: int | None) -> TrainingDiverged:
    """The exception that ends the run: step, numbers, where the last good state lies (None: nowhere), what to do."""
    kept = "No good checkpoint had been saved."
    if last_good_step is not None:
        kept = f"The last good checkpoint, of step {last_good_step}, is kept in {checkpoints}."
    return TrainingDiverged(
        f"training diverged at step {found.step}: {found.what}. {kept} "
        "Try a lower --learning_rate, more --warmup_steps or --clip_global_norm=1, with another --workdir."
    )


__all__ = ["SMALLEST_FIRST_LOSS", "DivergenceRule", "Finding", "diverged"]
