"""Many seeds of one model: as one program by `vmap` or by `map`, one after the other, and one after the other in torch.

Each seed has its own weights and its own inputs, as in training: shared inputs would let a batched program join the
input matmuls of all seeds, which no training run can. Every way does the same work: the gradient by weights and inputs,
or a whole step of Adam, of S models. "sequential" calls the program of one model S times, and waits once at the end.
"""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmarking.equivalence import Checker, NotEquivalent, relative_error
from experiments.benchmarking.jax_program import LEARNING_RATE, TOLERANCE
from experiments.benchmarking.peers import PEERS
from experiments.benchmarking.problems import CPU_SHAPES, Problem, Shape, Unsupported, make_problem
from experiments.benchmarking.timing import Timing, interleave
from rnn_jax.analysis.ensembles import ensemble

SUITE = "ensembles"
CELL = "lstm"
SHAPES = tuple(shape for shape in CPU_SHAPES if shape.name in ("small", "sentiment"))
NUM_SEEDS = (1, 4, 16, 64)
PASSES = ("gradient", "train")
OURS = ("vmap", "map", "sequential")


class OurWay:
    """All models' gradients, or steps of Adam, by our layers: in one call for "vmap" and "map", else one a model."""

    def __init__(self, method: str, problems: list[Problem]):
        self.method = method
        self.compile_seconds: dict[str, float] = {}
        self.temp_bytes: dict[str, int | None] = {}
        self._stack, self._optimizer = problems[0].stack, optax.adam(LEARNING_RATE)
        models = [(problem.params, problem.xs, problem.cotangent) for problem in problems]
        together = [jax.tree.map(lambda *leaves: np.stack(leaves), *models)]
        self._calls = jax.tree.map(jnp.asarray, models if method == "sequential" else together)
        self._compiled: dict[str, Any] = {}
        self._states: list[Any] = []

    def gradient(self) -> list[Any]:
        """(∂loss/∂params, ∂loss/∂xs), one pair a call; returns when they are ready."""
        compiled = self.compile("gradient")
        return jax.block_until_ready([compiled(*arguments) for arguments in self._calls])

    def train_step(self) -> None:
        """One step of Adam from wherever the last one ended, in donated buffers; returns when it is done."""
        compiled = self.compile("train")
        results = [compiled(state, *data) for state, (_, *data) in zip(self._states, self._calls)]
        self._states = [state for state, _ in jax.block_until_ready(results)]

    def gradients(self) -> list[Any]:
        """The gradients of each model, in numpy."""
        results = jax.tree.map(np.asarray, self.gradient())
        if self.method == "sequential":
            return results
        ((params_bar, xs_bar),) = results
        return [jax.tree.map(lambda leaf, i=i: leaf[i], (params_bar, xs_bar)) for i in range(len(xs_bar))]

    def compile(self, pass_: str) -> Any:
        """The compiled pass, made when it is first asked for."""
        if pass_ not in self._compiled:
            arguments = self._calls[0]
            if pass_ == "train":
                self._states = [jax.jit(self._of_all(self._start))(params) for params, _, _ in self._calls]
                arguments = (self._states[0], *arguments[1:])
            function = self._train if pass_ == "train" else self._gradient
            start = time.perf_counter()
            jitted = jax.jit(self._of_all(function), donate_argnums=0 if pass_ == "train" else ())
            self._compiled[pass_] = compiled = jitted.lower(*arguments).compile()
            self.compile_seconds[pass_] = time.perf_counter() - start
            memory = compiled.memory_analysis()
            self.temp_bytes[pass_] = None if memory is None else memory.temp_size_in_bytes
        return self._compiled[pass_]

    def _of_all(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return function if self.method == "sequential" else ensemble(function, self.method)

    def _gradient(self, params, xs, cotangent):
        def loss(params, xs):
            return jnp.sum(self._stack.apply(params, xs).ys * cotangent)

        return jax.grad(loss, argnums=(0, 1))(params, xs)

    def _start(self, params):
        return jax.tree.map(jnp.copy, params), self._optimizer.init(params)

    def _train(self, state, xs, cotangent):
        params, moments = state
        params_bar, xs_bar = self._gradient(params, xs, cotangent)
        updates, moments = self._optimizer.update(params_bar, moments, params)
        return (optax.apply_updates(params, updates), moments), xs_bar


class TorchWay:
    """One model after the other: torch cannot vmap its recurrent layers."""

    def __init__(self, problems: list[Problem]):
        self.programs = [PEERS["torch"](problem) for problem in problems]
        self.compile_seconds: dict[str, float] = {}
        self.temp_bytes: dict[str, int | None] = {}

    def gradient(self) -> None:
        """The gradients of all models."""
        for program in self.programs:
            program.gradient()

    def train_step(self) -> None:
        """A step of Adam of all models."""
        for program in self.programs:
            program.train_step()


def rows(config: Any) -> Iterator[dict[str, Any]]:
    """A row for each shape, number of seeds, pass and way. Reads `blocks` and `min_block_seconds` of the config.

    Raises:
      NotEquivalent: a way computes something else.
    """
    for shape in SHAPES:
        for num_seeds in NUM_SEEDS:
            yield from compare(shape, num_seeds, blocks=config.blocks, min_block_seconds=config.min_block_seconds)


def compare(shape: Shape, num_seeds: int, *, blocks: int, min_block_seconds: float) -> Iterator[dict[str, Any]]:
    """The rows of one shape and number of seeds: checked first, then timed side by side."""
    problems = [make_problem(CELL, shape, seed=seed) for seed in range(num_seeds)]
    ways: dict[str, Any] = {method: OurWay(method, problems) for method in OURS}
    with contextlib.suppress(Unsupported):  # torch is not installed: our ways are still worth comparing
        ways["torch"] = TorchWay(problems)
    errors = check(ways, problems)
    for pass_ in PASSES:
        calls = {name: way.gradient if pass_ == "gradient" else way.train_step for name, way in ways.items()}
        timings = interleave(calls, blocks=blocks, min_block_seconds=min_block_seconds)
        for name, timing in timings.items():
            yield {
                "suite": SUITE,
                "shape": str(shape),
                "cell": CELL,
                "pass": pass_,
                "peer": name,
                "num_seeds": num_seeds,
                **figures(timing, timings, tokens=num_seeds * shape.batch * shape.time),
                "compile_seconds": ways[name].compile_seconds.get(pass_),
                "temp_bytes": ways[name].temp_bytes.get(pass_),
                "max_relative_error": errors[name],
            }


def check(ways: dict[str, Any], problems: list[Problem]) -> dict[str, float]:
    """The largest relative error of each way's gradients: the single model's beside float64, ours beside the single's.

    Raises:
      NotEquivalent: one is above 1e-5.
    """
    single = ways["sequential"].gradients()
    errors = {}
    for name in OURS:
        pairs = zip(jax.tree.leaves(ways[name].gradients()), jax.tree.leaves(single), strict=True)
        errors[name] = max(relative_error(actual, expected) for actual, expected in pairs)
        if not errors[name] <= TOLERANCE:  # NaN included
            raise NotEquivalent(f"{name} of {len(problems)} models differs from single ones by {errors[name]:.1e}")
    first = Checker(problems[0])
    errors["sequential"] = first.check(PEERS["ours"](problems[0]))
    if "torch" in ways:
        errors["torch"] = first.check(ways["torch"].programs[0])
    return errors


def figures(timing: Timing, all_timings: dict[str, Timing], *, tokens: int) -> dict[str, Any]:
    """Seconds and speeds of one way. The ratios are medians over blocks: to ours one by one, and of torch to this."""
    torch = all_timings.get("torch")
    return {
        "seconds": timing.quartiles(),
        "blocks": len(timing.seconds),
        "calls_per_block": timing.calls_per_block,
        "ratio_to_ours": timing.ratio_to(all_timings["sequential"]),
        "speedup_over_torch": None if torch is None else torch.ratio_to(timing),
        "tokens_per_second": tokens / statistics.median(timing.seconds),
    }
