"""Sequences of different lengths as batches of a few static shapes.

Rows are sorted into buckets by length and padded to the length of their bucket, so a training step compiles once a
bucket. Rows that don't fill a batch of their bucket move up into the next one: only the last batch of the longest
bucket can be partly empty. The order is a pure function of (seed, epoch), the same on every platform: the seed deals
the rows to the batches; which bucket comes when depends on the epoch alone, so that runs with other seeds have batches
of the same shapes at the same steps, and can be computed as one program.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, Int64, UInt64

Lengths = Int64[np.ndarray, " n"]


@dataclasses.dataclass(frozen=True, eq=False)
class Ragged:
    """n rows of different lengths, end to end: row i is values[offsets[i]:offsets[i + 1]]."""

    values: Int32[np.ndarray, " N"]
    offsets: Int64[np.ndarray, " n_plus_1"]

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[int] | np.ndarray]) -> "Ragged":
        """Joins the rows."""
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        values = np.concatenate([np.asarray(row, np.int32) for row in rows]) if len(rows) else np.zeros(0, np.int32)
        return cls(values, offsets)

    def __len__(self) -> int:
        return self.num_rows

    @property
    def num_rows(self) -> int:
        """n."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Lengths:
        """The number of values in each row."""
        return np.diff(self.offsets)

    def row(self, i: int) -> Int32[np.ndarray, " length"]:
        """The values of row i."""
        return self.values[self.offsets[i] : self.offsets[i + 1]]


class Batch(NamedTuple):
    """B rows padded to T tokens. Filler rows complete a batch: no tokens, index -1, weight 0."""

    tokens: Int32[np.ndarray, "B T"]
    lengths: Int32[np.ndarray, " B"]
    indices: Int32[np.ndarray, " B"]
    weights: Float32[np.ndarray, " B"]


class BatchPlan(NamedTuple):
    """Which rows make a batch, and the length they are padded to."""

    length: int
    rows: Int64[np.ndarray, " real_rows"]


def bucket_lengths(lengths: np.ndarray, num_buckets: int = 8, multiple_of: int = 8) -> tuple[int, ...]:
    """At most num_buckets bucket lengths, multiples of multiple_of, that pad these rows with the fewest tokens.

    Dynamic programming over the histogram of lengths; the longest bucket holds the longest row.
    """
    if num_buckets < 1 or multiple_of < 1:
        raise ValueError(f"num_buckets={num_buckets} and multiple_of={multiple_of} must be positive.")
    longest = max(int(np.max(lengths, initial=0)), 1)
    # With very long rows a coarser grid keeps this cheap and costs less than 0.4 % of the longest row.
    multiple = multiple_of * max(1, -(-longest // (256 * multiple_of)))
    num_cells = -(-longest // multiple)
    cells = np.maximum(-(-np.asarray(lengths, np.int64) // multiple), 1) - 1
    rows_up_to = np.concatenate([[0], np.cumsum(np.bincount(cells, minlength=num_cells))])
    ends = np.arange(num_cells + 1)
    # cost[j, i]: tokens when one bucket of length i · multiple holds the rows in the cells j … i - 1
    cost = np.where(ends[:, None] < ends, (rows_up_to - rows_up_to[:, None]) * ends.astype(float), np.inf)
    best, choices = np.where(ends == 0, 0.0, np.inf), []
    for _ in range(min(num_buckets, num_cells)):
        total = np.minimum(best[:, None] + cost, np.where(ends[:, None] == ends, best, np.inf))
        choices.append(np.argmin(total, axis=0))
        best = np.min(total, axis=0)
    end, found = num_cells, []
    for choice in reversed(choices):
        if rows_up_to[choice[end]] < rows_up_to[end]:  # buckets without rows are of no use
            found.append(int(end) * multiple)
        end = choice[end]
    return tuple(reversed(found)) or (multiple,)


def permutation(n: int, *entropy: int) -> Int64[np.ndarray, " n"]:
    """A random permutation of 0 … n - 1, a pure function of the entropy (integers) on every platform and version."""
    # NumPy promises the raw bits of a generator to stay, not what shuffle() makes of them.
    seeds = np.random.SeedSequence([value % 2**64 for value in entropy])
    bits: UInt64[np.ndarray, " n"] = np.random.PCG64(seeds).random_raw(n)
    return np.argsort(bits, kind="stable")


def epoch_batches(
    ragged: Ragged,
    *,
    batch_size: int,
    buckets: Sequence[int],
    seed: int,
    epoch: int,
    rows_multiple_of: int = 1,
    tokens_per_batch: int | None = None,
    skip: int = 0,
) -> Iterator[Batch]:
    """One epoch of training batches in random order: every row exactly once, a pure function of (seed, epoch).

    Args:
      batch_size: most rows in a batch.
      tokens_per_batch: where given, also most rows · bucket length (but at least one row).
      rows_multiple_of: batches get filler rows up to a multiple of this (the number of devices); which rows make a
        batch doesn't depend on it.
      skip: number of batches to leave out at the start, those that a resumed run has seen.
    """
    order = permutation(len(ragged), seed, epoch, 0)
    plans = plan_batches(
        ragged.lengths, order, batch_size=batch_size, buckets=buckets, tokens_per_batch=tokens_per_batch
    )
    for i in permutation(len(plans), epoch, 1)[skip:]:
        length, rows = plans[i]
        num_rows = _rows_in_batch(length, batch_size, tokens_per_batch, rows_multiple_of)
        yield pad_rows(ragged, rows, length=length, num_rows=num_rows)


def ordered_batches(
    ragged: Ragged,
    *,
    batch_size: int,
    buckets: Sequence[int],
    rows_multiple_of: int = 1,
    tokens_per_batch: int | None = None,
) -> Iterator[Batch]:
    """Every row exactly once, shorter buckets first, without randomness; `indices` leads back to the rows."""
    order = np.arange(len(ragged))
    plans = plan_batches(
        ragged.lengths, order, batch_size=batch_size, buckets=buckets, tokens_per_batch=tokens_per_batch
    )
    for length, rows in plans:
        num_rows = _rows_in_batch(length, batch_size, tokens_per_batch, rows_multiple_of)
        yield pad_rows(ragged, rows, length=length, num_rows=num_rows)


def plan_batches(
    lengths: np.ndarray,
    order: np.ndarray,
    *,
    batch_size: int,
    buckets: Sequence[int],
    tokens_per_batch: int | None = None,
) -> list[BatchPlan]:
    """Deals the rows, in the given order, to batches of their buckets; the rest of a bucket moves up to the next."""
    bucket_of = _bucket_of(lengths, buckets)[order]
    plans: list[BatchPlan] = []
    rest = order[:0]
    for bucket, length in enumerate(buckets):
        rows = np.concatenate([rest, order[bucket_of == bucket]])
        size = _rows_in_batch(length, batch_size, tokens_per_batch)
        num_full = len(rows) // size
        plans.extend(BatchPlan(length, full) for full in rows[: num_full * size].reshape(num_full, size))
        rest = rows[num_full * size :]
    if len(rest):
        plans.append(BatchPlan(buckets[-1], rest))
    return plans


def num_batches(
    lengths: np.ndarray, *, batch_size: int, buckets: Sequence[int], tokens_per_batch: int | None = None
) -> int:
    """How many batches an epoch has: the same for every seed and epoch, from the lengths alone."""
    return sum(count for _, _, count in batch_counts(lengths, batch_size, buckets, tokens_per_batch))


def padding_waste(
    lengths: np.ndarray, *, batch_size: int, buckets: Sequence[int], tokens_per_batch: int | None = None
) -> float:
    """The fraction of the positions of an epoch's batches that hold no token, filler rows included."""
    positions = sum(
        size * length * count for length, size, count in batch_counts(lengths, batch_size, buckets, tokens_per_batch)
    )
    return 1 - int(np.sum(lengths)) / positions if positions else 0.0


def pad_rows(ragged: Ragged, rows: Int64[np.ndarray, " real_rows"], *, length: int, num_rows: int) -> Batch:
    """The rows as a batch of tokens (num_rows, length), completed with filler rows."""
    num_real = len(rows)
    starts = ragged.offsets[rows]
    lengths = np.zeros(num_rows, np.int32)
    lengths[:num_real] = ragged.offsets[rows + 1] - starts
    indices = np.full(num_rows, -1, np.int32)
    indices[:num_real] = rows
    tokens = np.zeros((num_rows, length), np.int32)
    for i in range(num_real):  # each row is contiguous: copying it beats gathering its tokens by index
        tokens[i, : lengths[i]] = ragged.values[starts[i] : starts[i] + lengths[i]]
    return Batch(tokens, lengths, indices, weights=(indices >= 0).astype(np.float32))


def pad_like(batch: Batch, ragged: Ragged, fill: int = 0) -> Int32[np.ndarray, "B T"]:
    """The rows of another Ragged of the same lengths, its labels say, in the places of the batch's tokens."""
    padded = np.full(batch.tokens.shape, fill, np.int32)
    for i, (row, length) in enumerate(zip(batch.indices, batch.lengths)):
        if row >= 0:
            padded[i, :length] = ragged.row(int(row))
    return padded


def _rows_in_batch(length: int, batch_size: int, tokens_per_batch: int | None, rows_multiple_of: int = 1) -> int:
    rows = batch_size if tokens_per_batch is None else max(1, min(batch_size, tokens_per_batch // length))
    return -(-rows // rows_multiple_of) * rows_multiple_of


def batch_counts(
    lengths: np.ndarray, batch_size: int, buckets: Sequence[int], tokens_per_batch: int | None = None
) -> Iterator[tuple[int, int, int]]:
    """(length, rows in a batch, number of batches) of each bucket: `plan_batches` in numbers."""
    rest = 0
    for length, rows in zip(buckets, np.bincount(_bucket_of(lengths, buckets), minlength=len(buckets)), strict=True):
        size = _rows_in_batch(length, batch_size, tokens_per_batch)
        count, rest = divmod(rest + int(rows), size)
        if rest and length == buckets[-1]:
            count += 1
        yield length, size, count


def _bucket_of(lengths: np.ndarray, buckets: Sequence[int]) -> np.ndarray:
    if list(buckets) != sorted(set(buckets)) or not buckets or buckets[0] < 1:
        raise ValueError(f"buckets={buckets} must be positive and increasing.")
    if int(np.max(lengths, initial=0)) > buckets[-1]:
        raise ValueError(f"A row of {int(np.max(lengths))} tokens is longer than the longest bucket, {buckets[-1]}.")
    return np.searchsorted(np.asarray(buckets), lengths, side="left")
