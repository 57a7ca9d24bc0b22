"""How often a decoder in training is given the right last token instead of its own (scheduled sampling)."""

import dataclasses
import math

from rnn_jax.config import knob, when

SCHEDULES = ("always", "constant", "linear", "exponential", "inverse_sigmoid")


@dataclasses.dataclass(frozen=True)
class TeacherForcingConfig:
    """Knobs of scheduled sampling."""

    teacher_forcing: str = knob(
        "always", "when a decoder in training is given the right last token, and not its own", choices=SCHEDULES
    )
    teacher_forcing_floor: float = knob(
        0.75,
        "the probability of the right token falls to this (constant: is this)",
        minimum=0.0,
        maximum=1.0,
        only_if=when(teacher_forcing=SCHEDULES[1:]),
    )
    teacher_forcing_steps: int = knob(
        1000,
        "k of --teacher_forcing: the larger, the slower its fall",
        minimum=1,
        only_if=when(teacher_forcing=SCHEDULES[2:]),
    )


def teacher_forcing_probability(config: TeacherForcingConfig, step: int) -> float:
    """Probability of the right token at update i = 0, 1, … (Bengio et al. 2015), f = floor, k = steps.

    always           1
    constant         f
    linear           max(f, 1 − i / k)
    exponential      max(f, e^(−i / k))
    inverse_sigmoid  max(f, k / (k + e^(i / k)))
    """
    k, floor = config.teacher_forcing_steps, config.teacher_forcing_floor
    match config.teacher_forcing:
        case "always":
            return 1.0
        case "constant":
            return floor
        case "linear":
            return max(floor, 1.0 - step / k)
        case "exponential":
            return max(floor, math.exp(-step / k))
    # e^x overflows beyond 700, long after the probability has come to nothing.
    return max(floor, k / (k + math.exp(min(step / k, 700.0))))
