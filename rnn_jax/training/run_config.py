"""The knobs of a run that every experiment has, and what is done with it."""

import dataclasses

from rnn_jax.config import ABOVE_ONE, ABOVE_ZERO, knob, when

AVERAGES = ("best", "last")
TRAINS = when(mode="train")  # for what is no part of a run; what is, must be as the run has it


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Knobs that every experiment has."""

    seed: int = knob(0, "seed of initialisation, batch order and dropout", minimum=0, maximum=2**32 - 1, short=True)
    num_epochs: int = knob(
        5,
        "passes over the training data, unless --num_steps says how many updates",
        minimum=1,
        only_if=when(num_steps=0),
        short=True,
    )
    num_steps: int = knob(0, "updates in all (0 = --num_epochs decides)", minimum=0, short=True)
    log_every_steps: int = knob(
        100,
        "steps between lines of training metrics; several processes look for a signal to stop as often",
        minimum=1,
        identity=False,
        only_if=TRAINS,
    )
    eval_every_steps: int = knob(0, "steps between evaluations (0 = after each epoch)", minimum=0)
    checkpoint_every_seconds: float = knob(
        60.0, "seconds between checkpoints (0 = off)", minimum=0.0, identity=False, only_if=TRAINS
    )
    checkpoint_every_steps: int = knob(
        0, "steps between checkpoints (0 = off)", minimum=0, identity=False, only_if=TRAINS
    )
    divergence_factor: float = knob(
        1e4,
        "stop as diverged when the loss exceeds so many times its first value, counted as at least 1 "
        "(0 = only when it is not finite)",
        minimum=0.0,
        identity=False,
        only_if=TRAINS,
    )
    early_stopping_patience: int = knob(
        0, "stop after so many evaluations without a new best (0 = off)", minimum=0, short=True
    )
    average_checkpoints: int = knob(
        0, "use the mean of the parameters of so many evaluations, not those of the best one (0 = off)", minimum=0
    )
    average_checkpoints_from: str = knob(
        "best",
        "which evaluations --average_checkpoints takes",
        choices=AVERAGES,
        only_if=when(average_checkpoints=ABOVE_ZERO),
        former=("average",),
    )
    select_by: str = knob("", "metric that chooses the best checkpoint (default: the first of the task)")
    init_from: str = knob(
        "",
        "run directory whose best parameters are the initial ones; its vocabulary and its network are taken over too, "
        "and flags that describe them have its values unless given",
        short=True,
    )
    tensorboard: bool = knob(
        False, "also write TensorBoard events to the run directory", identity=False, only_if=TRAINS
    )


@dataclasses.dataclass(frozen=True)
class Invocation:
    """What to do, as opposed to which experiment: flags that every script has beside its configuration."""

    mode: str = knob(
        "train",
        "train a model, eval: score a trained one, predict: apply one to what it is given, export: write one as a file "
        "that jax alone can run; all but train take their configuration from --workdir",
        choices=("train", "eval", "predict", "export"),
        short=True,
    )
    workdir: str = knob("", "run directory (default: runs/<experiment>)", short=True)
    num_seeds: int = knob(
        1,
        "train so many seeds, --seed and up, in one process; each in its own directory below --workdir",
        minimum=1,
        only_if=when(mode="train", dry_run=False),
        short=True,
    )
    seeds_mode: str = knob(
        "auto",
        "how --num_seeds trains: map: one run after the other, vmap: all in step as one program, auto: vmap on "
        "accelerators where that can be had",
        choices=("auto", "vmap", "map"),
        only_if=when(num_seeds=ABOVE_ONE),
    )
    dry_run: bool = knob(
        False, "show configuration, parameters and shapes; train nothing", only_if=when(mode="train"), short=True
    )
    memory: bool = knob(
        False, "also compile the train step, and show its memory", only_if=when(mode="train", dry_run=True)
    )
    input: str = knob("", "file that is read (default: standard input)", only_if=when(mode="predict"), short=True)
    part: str = knob(
        "",
        "part, split or file that is scored (default: the experiment's test data)",
        only_if=when(mode="eval"),
        former=("split",),
        short=True,
    )
