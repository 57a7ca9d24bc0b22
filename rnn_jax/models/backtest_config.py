"""The knobs of how forecasts are scored and drawn."""

import dataclasses
from typing import Any

from rnn_jax.config import ABOVE_ZERO, knob, when

EVAL = when(mode="eval")


@dataclasses.dataclass(frozen=True)
class BacktestConfig:
    """How forecasts are scored; may differ between training and a later eval."""

    published_batch_size: int = knob(
        0,
        "also score without the windows of an incomplete last batch of this size, as many published tables do (0 = no)",
        minimum=0,
        identity=False,
        only_if=when(mode=("train", "eval")),
    )
    backtest: int = knob(
        0,
        "score forecasts from so many origins, the last ones of the part, without training anew (0 = from every row)",
        minimum=0,
        identity=False,
        only_if=EVAL,
        short=True,
    )
    backtest_step: int = knob(
        0,
        "steps between the origins of --backtest (0 = --horizon: none is forecast twice)",
        minimum=0,
        identity=False,
        only_if=when(mode="eval", backtest=ABOVE_ZERO),
    )
    sampling_seed: int = knob(0, "another seed, other paths", minimum=0, identity=False)

    def settings(self) -> dict[str, Any]:
        """The knobs that scores depend on."""
        return {"backtest": self.backtest} if self.backtest else {}
