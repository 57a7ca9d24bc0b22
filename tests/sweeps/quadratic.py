"""An experiment that trains nothing: its validation score approaches −(x − 0.3)² − (y − 0.7)² step by step.

Run as a program it imports nothing but the standard library. `train` is the same for tests, a step at a time.
"""

import json
import signal
import sys
import time
from pathlib import Path

EXPERIMENT = "quadratic"
STEPS = 6
TYPES = {"x": float, "y": float, "pause": float, "seed": int, "blank": lambda text: True}


def score(x, y, step):
    return -((x - 0.3) ** 2) - (y - 0.7) ** 2 - 0.1 * (1 - step / STEPS)


def train(arguments, say):
    """Yields after each step; SystemExit with the exit code of a run that fails."""
    flags = dict(argument.removeprefix("--").partition("=")[::2] for argument in arguments)
    path = Path(flags["workdir"])
    path.mkdir(parents=True, exist_ok=True)
    config = {name: TYPES.get(name, str)(value) for name, value in flags.items() if name != "workdir"}
    document = {"experiment": EXPERIMENT, "config_hash": "", "config": config}
    (path / "config.json").write_text(json.dumps(document))
    with (path / "starts").open("a") as file:
        file.write(" ".join(arguments) + "\n")
    if (path / "result.json").exists():
        return
    x, y, state = float(flags.get("x", 0)), float(flags.get("y", 0)), path / "state"
    done = int(state.read_text()) if state.exists() else 0
    for step in range(done + 1, STEPS + 1):
        if flags.get("trouble") and step == 2:
            say(f"error: there is {flags['trouble']}")
            raise SystemExit({"bug": 1, "diverged": 3, "killed": -9}[flags["trouble"]])
        time.sleep(float(flags.get("pause", 0)))
        with (path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps({"step": 10 * step, "epoch": step, "validation/score": score(x, y, step)}) + "\n")
        state.write_text(str(step))
        yield
    final = score(x, y, STEPS)
    result = {"validation/score": None if "blank" in flags else final, "test/score": final - 1, "seconds": 0.1}
    (path / "result.tmp").write_text(json.dumps(result))
    (path / "result.tmp").rename(path / "result.json")


def main(arguments):
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    for _ in train(arguments, print):
        if stopped:
            return 143
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

import dataclasses  # noqa: E402 (not in the program: the library imports jax)

from rnn_jax.config import knob  # noqa: E402
from rnn_jax.errors import UserError  # noqa: E402


@dataclasses.dataclass(frozen=True)
class Config:
    x: float = knob(0.0, "score is best at 0.3", minimum=-1.0, maximum=2.0)
    y: float = knob(0.0, "score is best at 0.7")
    trouble: str = knob("", "how the run fails", choices=("", "bug", "diverged", "killed"))
    blank: bool = knob(False, "no score in the end")
    pause: float = knob(0.0, "seconds to sleep in each step", identity=False)
    seed: int = knob(0, "has no effect")


def check(config):
    if config.blank and config.trouble:
        raise UserError("--blank needs a run without trouble")


class Process:
    """Stands for a process: each look at it is a step."""

    def __init__(self, job, cores=()):
        self.returncode = None
        self._log = Path(job.log)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._steps = train(job.command[2:], self._say)

    def poll(self):
        if self.returncode is None:
            try:
                next(self._steps)
            except StopIteration:
                self.returncode = 0
            except SystemExit as error:
                self.returncode = error.code
        return self.returncode

    def terminate(self):
        if self.returncode is None:
            self.returncode = 143

    def _say(self, text):
        with self._log.open("a") as log:
            log.write(text + "\n")
