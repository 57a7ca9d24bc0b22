r"""How far gradients reach: their norm by distance to the loss, for any cell, before training.

    ./launch.sh gradient_flow --cell=lstm --workdir=runs/lstm                             # a few seconds
    ./launch.sh gradient_flow --cell=elman --input_scale=0.1 --length=200 --workdir=runs/elman
    ./launch.sh gradient_flow --cell_options=chrono=100 --workdir=runs/chrono

The loss is the sum of the last output after `length` random normal inputs; rnn_jax/analysis/gradient_flow.py has the
equations. A line of metrics.jsonl is a distance: gradient/norm relative to distance 0, gradient/absolute as it is.
result.json has gradient/log10_ratio, orders of magnitude from distance 0 to the farthest, and gradient/half_distance,
the first one at which less than half of the norm is left (null: never; in an LSTM the first step costs more than half,
as the loss reads h and the memory is in c). With the defaults expect a log10_ratio of −8.9, with --cell=elman −20, with
chrono=100 −1.3.
"""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.analysis.gradient_flow import QUANTITIES, gradient_by_distance
from rnn_jax.config import config_to_dict, group, knob, knob_of
from rnn_jax.errors import UserError
from rnn_jax.metrics.directions import MAXIMISE
from rnn_jax.models.recurrent_config import RecurrentConfig
from rnn_jax.models.sizes import num_parameters
from rnn_jax.models.stack import make_stack
from rnn_jax.training.app import run_script
from rnn_jax.training.plan import parameter_table
from rnn_jax.training.run import open_run
from rnn_jax.training.run_config import Invocation
from rnn_jax.training.run_files import result_line

EXPERIMENT = "gradient_flow"
METRICS = {"log10_ratio": MAXIMISE, "half_distance": MAXIMISE}


@dataclasses.dataclass(frozen=True)
class FlowConfig:
    """A stack without dropout, in one direction."""

    cell: tuple[str, ...] = knob_of(RecurrentConfig, "cell")
    cell_options: tuple[str, ...] = knob_of(RecurrentConfig, "cell_options")
    hidden_size: tuple[int, ...] = knob_of(RecurrentConfig, "hidden_size", (64,))
    num_layers: int = knob_of(RecurrentConfig, "num_layers")
    residual: bool = knob_of(RecurrentConfig, "residual")


@dataclasses.dataclass(frozen=True)
class Config:
    """The network, and what it reads."""

    network: FlowConfig = group(FlowConfig, "model")
    gradient_of: str = knob("carry", "the gradient of the state, or of the input, of each step", choices=QUANTITIES)
    length: int = knob(100, "steps", minimum=1)
    batch_size: int = knob(64, "sequences; the mean of their norms is taken", minimum=1)
    input_size: int = knob(64, "numbers in an input", minimum=1)
    input_scale: float = knob(1.0, "standard deviation of the inputs", minimum=0.0)
    seed: int = knob(0, "seed of the weights and the inputs", minimum=0)


def make_network(config: Config) -> tuple[Any, Any]:
    """The stack and its params, drawn from the seed."""
    stack = make_stack(RecurrentConfig(**dataclasses.asdict(config.network)))
    return stack, stack.init(jax.random.key(config.seed), config.input_size)


def measure(config: Config, stack: Any, params: Any) -> np.ndarray:
    """The norm at each distance 0, 1, …, in float64: what is left after 200 steps can be less than float32 knows."""
    key = jax.random.fold_in(jax.random.key(config.seed), 1)
    xs = config.input_scale * jax.random.normal(key, (config.batch_size, config.length, config.input_size))
    with jax.enable_x64(True):
        params, xs = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), (params, xs))
        program = jax.jit(functools.partial(gradient_by_distance, stack, of=config.gradient_of))
        return np.asarray(program(params, xs))


def summarise(norms: np.ndarray) -> dict[str, Any]:
    """What is left at the far end, and how far half of it reaches."""
    below_half = np.flatnonzero(norms < norms[0] / 2)
    with np.errstate(divide="ignore", invalid="ignore"):  # nothing left: −∞, which is null in JSON
        log10_ratio = float(np.log10(norms[-1] / norms[0]))
    half_distance = int(below_half[0]) if below_half.size else None
    return {"gradient/log10_ratio": log10_ratio, "gradient/half_distance": half_distance}


def draw(norms: np.ndarray, title: str, path: Path) -> None:
    """Saves the curve, on a logarithmic axis, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)  # no global pyplot state, and no display
    axes = figure.subplots()
    axes.plot(np.where(norms > 0, norms, np.nan) / norms[0])
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(title=title, xlabel="distance to the loss in steps", ylabel="gradient norm, relative to distance 0")
    axes.set_yscale("log")
    axes.grid(alpha=0.3)
    figure.savefig(path, format="png", dpi=120)


def train_in(workdir: str | Path, config: Config) -> None:
    """Measures in a run directory. (The name is what every experiment has; nothing is trained.)"""
    with open_run(workdir, EXPERIMENT, config) as run:
        if run.result is None:
            stack, params = make_network(config)
            norms = measure(config, stack, params)
            run.truncate_metrics(-1)  # of a start that was killed
            for distance, norm in enumerate(norms):
                run.log(distance, 0, {"gradient/norm": norm / norms[0], "gradient/absolute": norm})
            title = " + ".join((*config.network.cell, *config.network.cell_options))
            run.draw(draw, norms, title, "gradient_flow.png")
            run.finish(summarise(norms) | {"num_parameters": num_parameters(params)})
        run.say(result_line(run.result or {}))
        run.say(f"Run directory: {run.path}")


def show_plan(config: Config) -> None:
    """--dry_run: the configuration, the parameters and the shape of what they read."""
    _, params = make_network(config)
    print(json.dumps(config_to_dict(config), indent=2, ensure_ascii=False))
    print(f"\n{parameter_table(params)}\n")
    print(f"Inputs: ({config.batch_size}, {config.length}, {config.input_size}) in float64.")


def main(config: Config, invocation: Invocation) -> None:
    if invocation.mode != "train":
        raise UserError(
            f"--mode={invocation.mode}: gradient_flow measures a network before training, so there is no trained one to"
            " apply. Leave --mode out; the numbers of a finished run are in its result.json and metrics.jsonl."
        )
    if invocation.num_seeds > 1:
        raise UserError("--num_seeds: a sweep measures several seeds, as experiments/sweeps/gradient_flow.py does.")
    if invocation.dry_run:
        show_plan(config)
    else:
        train_in(invocation.workdir, config)


if __name__ == "__main__":
    run_script(main, Config, EXPERIMENT)
