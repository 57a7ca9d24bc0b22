"""An experiment that trains nothing: it counts, writes a run directory as real ones do, and stops when told to.

Run as a program it imports nothing but the standard library, and so takes milliseconds. It finds the square root of 2
by steps whose size depends on its flags; a run that continues must end with the same number. `train_in` finds the same
for `rnn_jax/sweeps/group.py`, which has several runs in one process.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

EXPERIMENT = "fake"
METRICS = {"error": "minimise"}


def newton(x, rate):
    return x + rate * (2.0 / x - x) / 2.0


def train_in(directory, config):
    """In this process, as one of several; signals are obeyed as by real ones."""
    from rnn_jax.training.run import open_run
    from rnn_jax.training.stopping import StopSignal

    with open_run(directory, EXPERIMENT, config) as run, StopSignal() as stop:
        if run.result is not None:
            return run.result
        with (run.path / "starts").open("a") as file:
            file.write("together\n")
        file = run.path / "state.json"
        state = json.loads(file.read_text()) if file.exists() else {"step": 0, "x": 1.0 + config.seed}
        run.say(f"starts at step {state['step']}")
        while state["step"] < config.num_steps:
            state = {"step": state["step"] + 1, "x": newton(state["x"], config.rate)}
            time.sleep(config.pause)
            run.log(state["step"], 0.0, {"validation/error": state["x"]})
            write_state(run.path, state)
            if stop.requested:
                raise stop.interruption(state["step"])
        error = abs(state["x"] - 2**0.5)
        return run.finish({"test/error": error, "validation/error": error, "num_parameters": 1})


def write_state(path, state):
    (path / "state.tmp").write_text(json.dumps(state))
    (path / "state.tmp").rename(path / "state.json")


def main(arguments):
    import fcntl

    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    flags = dict(argument.removeprefix("--").partition("=")[::2] for argument in arguments)
    path = Path(flags.pop("workdir"))
    path.mkdir(parents=True, exist_ok=True)
    lock = os.open(path / ".lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    (path / "config.json").write_text(json.dumps({"experiment": "fake", "config_hash": "", "config": flags}))
    with (path / "starts").open("a") as file:
        file.write(f"{sorted(os.sched_getaffinity(0))} {os.environ.get('JAX_COMPILATION_CACHE_DIR')}\n")
    state = {"step": 0, "x": 1.0 + int(flags.get("seed", 0))}
    if (path / "state.json").exists():
        state = json.loads((path / "state.json").read_text())
        print(f"Continuing at step {state['step']}", flush=True)
    num_steps, rate = int(flags.get("num_steps", 10)), float(flags.get("rate", 0.5))
    trouble = "" if Path(flags.get("cure", "/nowhere")).exists() else flags.get("trouble", "")
    while state["step"] < num_steps:
        state = {"step": state["step"] + 1, "x": newton(state["x"], rate)}
        time.sleep(float(flags.get("pause", 0)))
        with (path / "metrics.jsonl").open("a") as file:
            line = {"step": state["step"], "epoch": 0.0, "seconds": 0.1 * state["step"], "validation/error": state["x"]}
            file.write(json.dumps(line) + "\n")
        write_state(path, state)
        if stopped:
            print("stopped by SIGTERM", flush=True)
            return 143
        if trouble == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if trouble:
            print(f"error: there is {trouble} at step {state['step']}", file=sys.stderr)
            return {"diverged": 3, "disk": 2, "bug": 1}[trouble]
    error = abs(state["x"] - 2**0.5)
    result = {
        "test/error": error,
        "validation/error": error,
        "num_parameters": 1,
        "seconds": 1.5,
        "trained_with": flags,
    }
    (path / "result.tmp").write_text(json.dumps(result))
    (path / "result.tmp").rename(path / "result.json")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

import dataclasses  # noqa: E402 (not in the program: the library imports jax)

from rnn_jax.config import knob  # noqa: E402
from rnn_jax.errors import UserError  # noqa: E402


@dataclasses.dataclass(frozen=True)
class Config:
    cell: tuple[str, ...] = knob(("lstm",), "has no effect")
    rate: float = knob(0.5, "share of a Newton step", minimum=0.0, maximum=1.0)
    num_steps: int = knob(10, "updates", minimum=1)
    wide: bool = knob(False, "has no effect")
    limit: int | None = knob(None, "has no effect")
    trouble: str = knob("", "how a run fails", choices=("", "diverged", "disk", "bug", "kill"))
    seed: int = knob(0, "the start", minimum=0)
    pause: float = knob(0.0, "seconds to sleep in each step", identity=False)
    cure: str = knob("", "a file that takes the trouble away", identity=False)
    data_dir: str = knob("", "unused", identity=False)


def check(config):
    if config.wide and config.rate == 0.125:
        raise UserError("--wide needs another --rate")
