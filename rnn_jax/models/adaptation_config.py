"""The knobs of what a language model may do while it is scored: learn from the text, and look back at it."""

import dataclasses
from typing import Any

from rnn_jax.config import ABOVE_ZERO, knob, when

RULES = ("rms", "sgd")
_RATES = {"rms": 2e-3, "sgd": 0.5}
EVAL = when(mode="eval")
DYNAMIC = when(mode="eval", dynamic_evaluation=True)
CACHE = when(mode="eval", cache_size=ABOVE_ZERO)


@dataclasses.dataclass(frozen=True)
class AdaptationConfig:
    """Of --mode=eval only: what training chooses checkpoints by, and its final score, are those of the plain model."""

    dynamic_evaluation: bool = knob(
        False,
        "the parameters follow the text that is scored: each segment is learned from once it is scored "
        "(Krause et al. 2018)",
        identity=False,
        only_if=EVAL,
        short=True,
    )
    dynamic_rule: str = knob(
        "rms",
        "steps and decay relative to the usual size of a parameter's gradient; sgd: the same for all parameters",
        choices=RULES,
        identity=False,
        only_if=DYNAMIC,
    )
    dynamic_rate: float | None = knob(
        None,
        f"learning rate (default: {_RATES['rms']:g}, of sgd {_RATES['sgd']:g})",
        minimum=0.0,
        identity=False,
        only_if=DYNAMIC,
    )
    dynamic_decay: float = knob(
        0.005,
        "share of the way back to the trained parameters that each segment takes",
        minimum=0.0,
        maximum=1.0,
        identity=False,
        only_if=DYNAMIC,
    )
    dynamic_segment: int = knob(
        20, "tokens that are scored before they are learned from", minimum=1, identity=False, only_if=DYNAMIC
    )
    dynamic_windows: int = knob(
        100,
        "windows of the training text, of --batch_size x --bptt tokens, that tell how large gradients usually are",
        minimum=1,
        identity=False,
        only_if=when(mode="eval", dynamic_evaluation=True, dynamic_rule="rms"),
    )
    cache_size: int = knob(
        0,
        "tokens that a continuous cache looks back at, within a document (0 = off; Grave et al. 2017)",
        minimum=0,
        identity=False,
        only_if=EVAL,
        short=True,
    )
    cache_weight: float = knob(
        0.1, "share of the cache in the probabilities", minimum=0.0, below=1.0, identity=False, only_if=CACHE
    )
    cache_flatness: float = knob(
        0.6,
        "times the products of features: 0 counts all tokens of the cache alike",
        minimum=0.0,
        identity=False,
        only_if=CACHE,
    )

    @property
    def is_on(self) -> bool:
        """Whether the model does anything but score."""
        return self.dynamic_evaluation or self.cache_size > 0

    @property
    def rate(self) -> float:
        """The learning rate of dynamic evaluation."""
        return _RATES[self.dynamic_rule] if self.dynamic_rate is None else self.dynamic_rate

    def settings(self) -> dict[str, Any]:
        """The knobs that scores depend on; none where nothing is on."""
        names = ["dynamic_evaluation", "dynamic_rule", "dynamic_decay", "dynamic_segment"] * self.dynamic_evaluation
        if self.dynamic_evaluation and self.dynamic_rule == "rms":
            names.append("dynamic_windows")
        names += ["cache_size", "cache_weight", "cache_flatness"] * (self.cache_size > 0)
        rate = {"dynamic_rate": self.rate} if self.dynamic_evaluation else {}
        return {name: getattr(self, name) for name in names} | rate
