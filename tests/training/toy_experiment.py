"""A small experiment on the whole training stack, run by the tests as users run experiments: as a process."""

import dataclasses
import json
import os
import sys

from rnn_jax.config import knob
from rnn_jax.errors import UserError
from rnn_jax.training.app import run_script
from rnn_jax.training.optimizer_config import OptimizerConfig
from rnn_jax.training.run_config import Invocation, RunConfig


@dataclasses.dataclass(frozen=True)
class Config(OptimizerConfig, RunConfig):
    num_steps: int = knob(40, "updates in all", minimum=1)
    width: int = knob(16, "inputs of the linear model", minimum=1, short=True)
    ema_decay: float = knob(0.9, "averaging")
    noise: float = knob(0.1, "label noise", minimum=0.0)
    poison_step: int = knob(-1, "step whose loss becomes NaN")
    pause: float = knob(0.0, "seconds to sleep in each step", identity=False)
    data_dir: str = knob("", "unused place of data", identity=False)


def main(config: Config, invocation: Invocation) -> None:
    if invocation.mode == "predict":
        for line in sys.stdin:
            print(json.dumps({"text": line.strip(), "width": config.width, "data_dir": config.data_dir}))
    elif invocation.mode == "eval":
        raise UserError(f"unknown split {invocation.part!r}: the data has train, test")
    elif not invocation.dry_run:
        from tests.training.toy_loop import train

        print(json.dumps(train(config, invocation.workdir)))


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    run_script(main, Config, "toy")
