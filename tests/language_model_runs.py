"""The language model experiment, small enough for tests; and models without a run."""

import functools
import random

import jax
from experiment_runs import ExperimentRuns, lines_of, metrics_of, write
from flax import nnx
from oracles.jitting import quick_jit

from experiments import language_model
from rnn_jax.config import with_overrides
from rnn_jax.text.language_codec import fit_language_codec
from rnn_jax.training.task import Trained

SMALL = (
    "--embedding_size=8",
    "--hidden_size=8",
    "--batch_size=4",
    "--bptt=16",
    "--num_epochs=2",
    "--log_every_steps=8",
)
RUNS = ExperimentRuns(language_model, SMALL, SMALL)
run_here, is_refused, start, run, saved_state = RUNS.run_here, RUNS.is_refused, RUNS.start, RUNS.run, RUNS.saved_state


def lines(count, seed=0):
    """Lines of a few words in a fixed order, so that the next character is often known."""
    rng = random.Random(seed)
    chosen = (rng.choice(["the cat sat on the mat", "a dog ate it", "no, not so"]) for _ in range(count))
    return "".join(f"{line}.\n" for line in chosen)


def files(folder, size=24):
    """Flags that name a training, a validation and a test file, of so many lines and a third of that."""
    sizes = {"train": size, "validation": size // 3, "test": size // 3}
    paths = {
        name: write(folder / f"{name}.txt", lines(count, seed)) for seed, (name, count) in enumerate(sizes.items())
    }
    return tuple(f"--{name}_file={path}" for name, path in paths.items())


def trained_of(texts, *, scale=1.0, seed=0, **overrides):
    """A model of these texts that nobody has trained; the larger the scale, the surer it is of what it says."""
    small = {"embedding_size": 6, "hidden_size": (7,), "min_count": 1, "batch_size": 2, "bptt": 4}
    config = with_overrides(language_model.Config(), small | overrides)
    codec = fit_language_codec(config.text, texts)
    graph, params = nnx.split(RUNS.task.make_model(config, codec, nnx.Rngs(seed)))
    return Trained(RUNS.task, config, codec, graph, jax.tree.map(lambda leaf: scale * leaf, params))


def model_of(trained):
    """The network of it."""
    return nnx.merge(trained.graph, trained.params)


def stepper(trained):
    """(carry, tokens) → (carry, logits): its `step`, compiled once however often somebody asks."""
    return functools.partial(_step, trained.graph, trained.params)


@functools.partial(quick_jit, static_argnums=0)
def _step(graph, params, carry, tokens):
    return nnx.merge(graph, params).step(carry, tokens)


__all__ = [
    "RUNS",
    "SMALL",
    "files",
    "is_refused",
    "lines",
    "lines_of",
    "metrics_of",
    "model_of",
    "run",
    "run_here",
    "saved_state",
    "start",
    "stepper",
    "trained_of",
    "write",
]
