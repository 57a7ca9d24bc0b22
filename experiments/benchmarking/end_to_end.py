"""Tokens per second of the IMDB recipe's bidirectional LSTM: ours, Flax NNX and torch; and our loop beside its program.

The three train the same model from the same weights on the same batches. What differs between frameworks is left out of
the recipe: dropout (other random numbers), clipping, and the bag of n-grams. The share of the loop's time that is
inside of the compiled program is measured on the whole recipe, with all of that.
"""

import itertools
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from experiments.benchmarking import twins
from experiments.benchmarking.equivalence import NotEquivalent
from experiments.benchmarking.problems import Unsupported
from experiments.benchmarking.results import timing_columns
from experiments.benchmarking.timing import Timing, interleave
from experiments.benchmarking.training_loop import time_in_program
from experiments.sentiment import Config
from experiments.tasks.sentiment import TASK
from rnn_jax.config import config_from_flags, define_flags, fields_of, with_overrides
from rnn_jax.errors import UserError
from rnn_jax.training.prepare import Prepared, prepare

SUITE = "end_to_end"
RECIPE = Path(__file__).parents[1] / "recipes" / "imdb.flags"
BATCHES = 10  # in a timed call
LOOP_STEPS, LOOP_REPEATS = 100, 5
FIRST_LOSS_TOLERANCE = 1e-5
# Rounding differs, and Adam's first steps are ±learning_rate however small the gradient.
LATER_LOSS_TOLERANCE = 1e-2


def rows(config: Any) -> Iterator[dict[str, Any]]:
    """Rows of tokens per second, then one of the loop. Reads `dataset`, `data_dir` and `blocks` of the config.

    Raises:
      NotEquivalent: a twin's loss differs from ours.
    """
    full = recipe(config.dataset, config.data_dir)
    yield from compare(comparable(full), blocks=config.blocks)
    yield loop_row(full, num_steps=LOOP_STEPS, repeats=LOOP_REPEATS)


def recipe(dataset: str, data_dir: str) -> Config:
    """The IMDB recipe on a dataset."""
    flag_values = flags.FlagValues()
    define_flags(Config, flag_values)
    flag_values(["recipe", f"--flagfile={RECIPE}", f"--dataset={dataset}", f"--data_dir={data_dir}"])
    return config_from_flags(Config, flag_values)


def comparable(config: Config) -> Config:
    """What all frameworks compute alike."""
    rates = [name for name in fields_of(Config) if name.endswith("_dropout")]
    changes = dict.fromkeys(rates, 0.0) | {"variational_dropout": False, "ngram_vocabulary_size": 0}
    changes |= {"clip_global_norm": 0.0, "schedule": "constant", "warmup_steps": 0, "pooling": "mean_max"}
    return with_overrides(config, changes)


def compare(config: Config, *, blocks: int, batches: int = BATCHES) -> Iterator[dict[str, Any]]:
    """The rows of ours and of every twin, after their losses agreed."""
    prepared = prepare(TASK, config)
    arrays = full_batches(prepared, batches)
    params, train_ours = twins.ours(prepared)
    weights = twins.weights_of(params)
    trains = {
        "ours": train_ours,
        "flax_nnx": twins.flax_twin(config, weights, cell="lstm"),
        "flax_nnx_optimized": twins.flax_twin(config, weights, cell="optimized_lstm"),
    }
    try:
        trains["torch"] = twins.torch_twin(config, weights)
    except Unsupported as reason:
        print(f"torch: {reason}")
    errors = check(trains, arrays)
    timings = interleave(
        {name: lambda train=train: train_on(train, arrays) for name, train in trains.items()},
        blocks=blocks,
        min_block_seconds=0.0,  # a call is `batches` steps, which is long enough
    )
    tokens = sum(int(batch["lengths"].sum()) for batch in arrays)
    for name, timing in timings.items():
        yield {
            **row_of(config, name),
            **timing_columns(timing, timings["ours"]),
            "steps_per_call": len(arrays),
            "tokens_per_second": tokens / statistics.median(timing.seconds),
            "compile_seconds": None,  # one program a bucket, compiled as they come
            "temp_bytes": None,
            "max_relative_error": errors[name],
        }


def row_of(config: Config, name: str) -> dict[str, Any]:
    """What identifies a row."""
    return {"suite": SUITE, "shape": config.data.dataset, "cell": "lstm", "pass": "train", "peer": name}


def train_on(train: twins.Twin, arrays: list[twins.Arrays]) -> list[float]:
    """Trains on the batches in turn; the losses, for which it waits at the end only."""
    return [float(loss) for loss in [train(batch) for batch in arrays]]


def check(trains: dict[str, twins.Twin], arrays: list[twins.Arrays]) -> dict[str, float]:
    """Trains on every batch, which compiles every shape; the relative error of each first loss beside ours.

    Raises:
      NotEquivalent: a first loss differs by more than 1e-5, or a later one by more than 1e-2.
    """
    losses = {name: np.asarray(train_on(train, arrays)) for name, train in trains.items()}
    differences = {name: np.abs(own / losses["ours"] - 1) for name, own in losses.items()}
    for name, difference in differences.items():
        if not (difference[0] <= FIRST_LOSS_TOLERANCE and (difference <= LATER_LOSS_TOLERANCE).all()):
            raise NotEquivalent(f"{name}: losses {losses[name]}, ours {losses['ours']}")
    return {name: float(difference[0]) for name, difference in differences.items()}


def full_batches(prepared: Prepared, number: int) -> list[twins.Arrays]:
    """The first full batches of an epoch: none with filler rows or empty texts, which torch refuses.

    Raises:
      UserError: the dataset has no full batch.
    """
    batches = map(prepared.source.batch, range(prepared.source.steps_per_epoch))
    chosen = list(itertools.islice((b for b in batches if b["weights"].all() and b["lengths"].all()), number))
    if not chosen:
        raise UserError(
            f"--dataset={prepared.config.data.dataset} has no full batch of {prepared.config.text.batch_size} texts."
        )
    return chosen


def loop_row(config: Config, *, num_steps: int, repeats: int) -> dict[str, Any]:
    """The share of the loop's time that is inside of the compiled program, the median of the repeats."""
    times = time_in_program(config, num_steps=num_steps, repeats=repeats)
    return {
        **row_of(config, "loop/program"),
        "share": statistics.median(time.share for time in times),
        "seconds": Timing([time.loop for time in times], num_steps).quartiles(),
        "program_seconds": Timing([time.program for time in times], num_steps).quartiles(),
        "blocks": repeats,
        "calls_per_block": num_steps - 1,
    }
