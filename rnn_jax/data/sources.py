"""What training reads: batch(step), a pure function of (seed, step), so that a resumed run sees the same batches.

Buckets   rows of different lengths, in batches of a few static shapes
Rows      rows of one shape

`lanes.py` has the one for long texts, `series/windows.py` that for windows of series.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from rnn_jax.data.batching import (
    Batches,
    Shapes,
    batch_counts,
    bucket_lengths,
    padding_waste,
    permutation,
    take,
)
from rnn_jax.data.digest import digest_of
from rnn_jax.errors import UserError

Batch = dict[str, np.ndarray]
_NOTHING = "There is nothing to train on: the training part is empty."

MakeBatch = Callable[[np.ndarray, int], Batch]
"""(rows, −1 for one that only fills the batch; length that they are padded to) → the arrays of a batch."""


class Source(Protocol):
    """Batches may hold arrays of any dtype and rank; "weights" says what counts, and how much."""

    @property
    def steps_per_epoch(self) -> int:
        """How many batches hold everything once."""

    def batch(self, step: int) -> Batch:
        """The batch of update `step`."""

    def digest(self) -> str:
        """Equal for the same rows in the same order, labels included, and only for those."""


class Buckets:
    """Rows sorted into buckets by length, padded to the length of their bucket: a step compiles once a bucket.

    Rows that don't fill a batch of their bucket move up into the next one. The seed deals the rows to the batches;
    which bucket comes when depends on the epoch alone, so that runs with other seeds have batches of the same shapes at
    the same steps.

    make_batch: fills the arrays. content: what `digest` hashes. multiple_of: of bucket lengths.
    tokens_per_batch: where given, most rows · bucket length, but at least one row. notes: what the user should know.

    Raises:
      UserError: no rows.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        make_batch: MakeBatch,
        *,
        content: Sequence[np.ndarray],
        batch_size: int,
        num_buckets: int,
        multiple_of: int,
        tokens_per_batch: int | None = None,
        seed: int,
        notes: tuple[str, ...] = (),
    ):
        if not len(lengths):
            raise UserError(_NOTHING)
        self._lengths, self._make_batch, self._content, self._seed = lengths, make_batch, content, seed
        buckets = bucket_lengths(lengths, num_buckets=num_buckets, multiple_of=multiple_of)
        self.shapes = Shapes(buckets, batch_size, tokens_per_batch)
        self.notes = notes
        self._epoch: tuple[int, Batches, np.ndarray] | None = None

    @functools.cached_property
    def steps_per_epoch(self) -> int:
        """The same for every seed and epoch."""
        return sum(count for _, _, count in batch_counts(self._lengths, self.shapes))

    @functools.cached_property
    def padding_waste(self) -> float:
        """The fraction of the positions of an epoch's batches that hold no token, filler rows included."""
        return padding_waste(self._lengths, self.shapes)

    def batch(self, step: int) -> Batch:
        """The batch of update `step`."""
        epoch, number = divmod(step, self.steps_per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            batches = Batches(self._lengths, self.order(epoch), self.shapes)
            self._epoch = epoch, batches, permutation(len(batches), epoch, 1)
        _, batches, order = self._epoch
        length, rows = batches[int(order[number])]
        return self._make_batch(rows, length)

    def order(self, epoch: int) -> np.ndarray:
        """The rows of an epoch (n,), in the order that deals them to the batches of their buckets."""
        return permutation(len(self._lengths), self._seed, epoch, 0)

    def longest(self) -> Batch:
        """A batch of the longest bucket, for what is to be known before training."""
        batches = Batches(self._lengths, np.arange(len(self._lengths)), self.shapes)
        length, rows = batches[len(batches) - 1]
        return self._make_batch(rows, length)

    def digest(self) -> str:
        """Of the content."""
        return digest_of(*self._content)


class Dealt:
    """Rows of one shape dealt to batches in random order; what lacks of the last batch of an epoch is −1."""

    def __init__(self, num_rows: int, batch_size: int, *, seed: int):
        self._num_rows, self._batch_size, self._seed = num_rows, batch_size, seed
        self._epoch: tuple[int, np.ndarray] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """How many batches hold every row once."""
        return -(-self._num_rows // self._batch_size)

    def rows(self, step: int) -> np.ndarray:
        """Those of update `step`, (B,)."""
        epoch, number = divmod(step, self.steps_per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = epoch, permutation(self._num_rows, self._seed, epoch, 0)
        chosen = self._epoch[1][number * self._batch_size : (number + 1) * self._batch_size]
        rows = np.full(self._batch_size, -1)
        rows[: len(chosen)] = chosen
        return rows


class Rows:
    """Rows of one shape in random order; the last batch of an epoch is filled with rows of weight 0.

    columns: arrays (n, …) by the names that they have in a batch.

    Raises:
      UserError: no rows.
    """

    def __init__(self, columns: Mapping[str, np.ndarray], batch_size: int, *, seed: int):
        self._columns = columns
        num_rows = len(next(iter(columns.values())))
        if not num_rows:
            raise UserError(_NOTHING)
        self._dealt = Dealt(num_rows, batch_size, seed=seed)

    @property
    def steps_per_epoch(self) -> int:
        """How many batches hold everything once."""
        return self._dealt.steps_per_epoch

    def batch(self, step: int) -> Batch:
        """The batch of update `step`."""
        rows = self._dealt.rows(step)
        batch = {name: take(column, rows) for name, column in self._columns.items()}
        return batch | {"weights": (rows >= 0).astype(np.float32)}

    def digest(self) -> str:
        """Of all columns."""
        return digest_of(*(self._columns[name] for name in sorted(self._columns)))


def in_order(lengths: np.ndarray, make_batch: MakeBatch, shapes: Shapes) -> Iterator[tuple[np.ndarray, Batch]]:
    """Every row exactly once, shorter buckets first: (rows, of which −1 only fill the batch; the batch)."""
    for length, rows in Batches(lengths, np.arange(len(lengths)), shapes):
        yield rows, make_batch(rows, length)


def map_rows(
    lengths: np.ndarray,
    make_batch: MakeBatch,
    function: Callable[[Batch], Any],
    *,
    buckets: tuple[int, ...],
    batch_size: int,
    tokens_per_batch: int | None = None,
) -> list[Any]:
    """function's row for each row, in order; inside, rows of like length share a batch.

    function(batch) returns an array or a tree of arrays with a row for each of the batch's. buckets: lengths that rows
    are padded to, such as `doubling_lengths`. Few rows make a small batch (a power of two), so that a single one is
    answered at once.
    """
    num_rows = min(batch_size, 1 << max(len(lengths) - 1, 0).bit_length())
    shapes = Shapes(buckets, num_rows, tokens_per_batch)
    results: list[Any] = [np.empty(0)] * len(lengths)
    for rows, batch in in_order(lengths, make_batch, shapes):
        outputs = function(batch)
        for i, row in enumerate(rows):
            if row >= 0:
                results[row] = jax.tree.map(lambda output, i=i: output[i], outputs)
    return results
