"""Batches by step number, for training; results by row, for prediction."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from rnn_jax.data.batching import Batch, Ragged, epoch_batches, num_batches, ordered_batches


def training_batches(
    ragged: Ragged, first_step: int, last_step: int, *, rows_multiple_of: int = 1, seed: int, **shapes: Any
) -> Iterator[Batch]:
    """The batches of steps first_step … last_step − 1, epoch after epoch.

    Which batch a step gets is a function of (seed, step) alone: a resumed run sees the same ones. `shapes` are those
    of `num_batches`: batch_size, buckets, tokens_per_batch.
    """
    steps_per_epoch = num_batches(ragged.lengths, **shapes)
    step = first_step
    while step < last_step:
        epoch, done = divmod(step, steps_per_epoch)
        for batch in epoch_batches(
            ragged, seed=seed, epoch=epoch, skip=done, rows_multiple_of=rows_multiple_of, **shapes
        ):
            if step == last_step:
                return
            yield batch
            step += 1


def doubling_lengths(longest: int, shortest: int = 16) -> tuple[int, ...]:
    """16, 32, 64, … up to and including `longest`: lengths for texts that nobody has counted."""
    lengths = [shortest]
    while lengths[-1] < longest:
        lengths.append(2 * lengths[-1])
    return (*lengths[:-1], min(lengths[-1], max(longest, shortest)))


def map_rows(
    texts: Ragged,
    function: Callable[[Batch], Any],
    *,
    longest: int,
    batch_size: int,
    shortest: int = 16,
    tokens_per_batch: int | None = None,
    rows_multiple_of: int = 1,
) -> list[Any]:
    """function's row for each text, in order; inside, texts of like length share a batch.

    function(batch) returns an array or a tree of arrays with a row for each of the batch's. Few texts make a small
    batch (a power of two), so that a single line is answered at once.
    """
    rows = min(batch_size, 1 << max(texts.num_rows - 1, 0).bit_length())
    results: list[Any] = [np.empty(0)] * texts.num_rows
    for batch in ordered_batches(
        texts,
        batch_size=rows,
        buckets=doubling_lengths(longest, shortest),
        rows_multiple_of=rows_multiple_of,
        tokens_per_batch=tokens_per_batch,
    ):
        outputs = function(batch)
        for i, index in enumerate(batch.indices):
            if index >= 0:
                results[index] = jax.tree.map(lambda output, i=i: output[i], outputs)
    return results
