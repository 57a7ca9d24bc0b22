"""The knobs of the optimiser and its learning rate."""

import dataclasses

from rnn_jax.config import ABOVE_ZERO, GIVEN, knob, when

OPTIMIZERS = ("sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw")
SCHEDULES = ("constant", "cosine", "exponential", "step")
DECAYS = when(schedule=("exponential", "step"))
STARTED = when(init_from=GIVEN)
RATES = ("learning_rate", "weight_decay")
"""The knobs that lie in the train state."""


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Knobs of the optimiser."""

    optimizer: str = knob("adam", "update rule", choices=OPTIMIZERS, short=True)
    learning_rate: float = knob(1e-3, "peak learning rate", minimum=0.0, in_state=True, short=True)
    schedule: str = knob(
        "constant",
        "learning rate after warm-up: cosine falls over the whole run, exponential and step multiply by --decay_rate "
        "every --decay_steps (exponential continuously, step at once)",
        choices=SCHEDULES,
        short=True,
    )
    warmup_steps: int = knob(0, "steps over which the learning rate rises linearly to its peak", minimum=0)
    decay_rate: float = knob(
        0.5, "factor of the exponential and step schedules", minimum=0.0, maximum=1.0, only_if=DECAYS
    )
    decay_steps: int = knob(1000, "steps per factor of --decay_rate", minimum=1, only_if=DECAYS)
    final_learning_rate_fraction: float = knob(
        0.0,
        "no schedule falls below this fraction of the peak",
        minimum=0.0,
        maximum=1.0,
        only_if=when(schedule=SCHEDULES[1:]),
    )
    plateau_patience: int = knob(
        0,
        "evaluations without a new best before the learning rate is multiplied by --plateau_factor (0 = never)",
        minimum=0,
    )
    plateau_factor: float = knob(
        0.5,
        "factor of --plateau_patience, on top of the schedule",
        minimum=0.0,
        maximum=1.0,
        only_if=when(plateau_patience=ABOVE_ZERO),
    )
    momentum: float = knob(
        0.9, "share of the last step that is kept", minimum=0.0, maximum=1.0, only_if=when(optimizer="momentum")
    )
    beta1: float = knob(
        0.9, "decay of the gradient average", minimum=0.0, below=1.0, only_if=when(optimizer=("adam", "adamw"))
    )
    beta2: float = knob(
        0.999,
        "decay of the squared-gradient average",
        minimum=0.0,
        below=1.0,
        only_if=when(optimizer=("rmsprop", "adam", "adamw")),
    )
    epsilon: float = knob(
        1e-8,
        "added to the denominator",
        above=0.0,
        only_if=when(optimizer=("adagrad", "rmsprop", "adam", "adamw")),
    )
    clip_global_norm: float = knob(
        0.0, "scale gradients down to this norm over all parameters (0 = off)", minimum=0.0, short=True
    )
    clip_value: float = knob(0.0, "clip each gradient entry to ± this value (0 = off)", minimum=0.0)
    layer_rate_decay: float = knob(
        1.0,
        "each layer learns with this factor of the learning rate of the one above it, the head with all of it (ULMFiT: "
        "1 / 2.6)",
        above=0.0,
        maximum=1.0,
        only_if=STARTED,
    )
    unfreeze_every: float = knob(
        0.0,
        "epochs after which a further layer begins to learn, the head being the first (0 = all from the start)",
        minimum=0.0,
        only_if=STARTED,
    )
    l1: float = knob(0.0, "adds l1·sign(w) to the gradient of weight matrices", minimum=0.0)
    l2: float = knob(0.0, "adds l2·w to the gradient of weight matrices", minimum=0.0)
    weight_decay: float = knob(
        0.0,
        "decoupled weight decay of weight matrices; --l2 is a penalty with any optimiser",
        minimum=0.0,
        in_state=True,
        only_if=when(optimizer="adamw"),
    )
    ema_decay: float = knob(
        0.0,
        "evaluate a running average of the weights, ema ← d·ema + (1−d)·w every step, debiased (0 = off); "
        "--average_checkpoints averages those of whole evaluations",
        minimum=0.0,
        maximum=0.999999,
    )
    nonmonotone_interval: int = knob(
        0,
        "NT-ASGD: from the first evaluation on that is worse than the best of all before it but the last so many, "
        "evaluate the mean of the weights after every update since (0 = never; 5 in the paper)",
        minimum=0,
        only_if=when(ema_decay=0.0),
    )
