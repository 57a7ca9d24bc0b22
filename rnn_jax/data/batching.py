"""Sequences of different lengths as batches of a few static shapes: which rows make a batch, in which order.

Rows are sorted into buckets by length and padded to the length of their bucket, so a training step compiles once a
bucket. Rows that don't fill a batch of their bucket move up into the next one: only the last batch of the longest
bucket can be partly empty. Everything is a pure function of its arguments, the same on every platform.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32, Int64, UInt64

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

    def take(self, rows: np.ndarray, most: int | None = None) -> "Ragged":
        """These rows, in this order; of each the first `most` values."""
        lengths = self.lengths[rows] if most is None else np.minimum(self.lengths[rows], most)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        moved = np.repeat(self.offsets[rows] - offsets[:-1], lengths)  # from its place here to the one in its row
        return Ragged(np.asarray(self.values[np.arange(offsets[-1]) + moved]), offsets)


class Shapes(NamedTuple):
    """What batches look like: the lengths that rows are padded to, increasing; most rows in a batch.

    tokens_per_batch: where given, also most rows · length, but at least one row.
    """

    buckets: tuple[int, ...]
    batch_size: int
    tokens_per_batch: int | None = None

    def rows(self, length: int) -> int:
        """The number of rows of a batch of this length, fillers included."""
        if self.tokens_per_batch is None:
            return self.batch_size
        return max(1, min(self.batch_size, self.tokens_per_batch // length))


class Batches:
    """The batches that an order of the rows gives; number i is (length, rows), −1 for rows that only fill it.

    Rows lie one bucket after the other; what does not fill a batch is where the next bucket's batches begin.
    """

    def __init__(self, lengths: np.ndarray, order: np.ndarray, shapes: Shapes):
        bucket_of = _bucket_of(lengths, shapes.buckets)[order]
        self._rows = order[np.argsort(bucket_of, kind="stable")]
        self._shapes = shapes
        self._starts, self._counts = [], []  # of each bucket's batches
        start, end = 0, 0
        for length, rows in zip(shapes.buckets, np.bincount(bucket_of, minlength=len(shapes.buckets)), strict=True):
            end += int(rows)
            self._starts.append(start)
            self._counts.append((end - start) // shapes.rows(length))
            start += self._counts[-1] * shapes.rows(length)
        self._counts[-1] += start < end
        self._ends = np.cumsum(self._counts)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, i: int) -> tuple[int, np.ndarray]:
        bucket = int(np.searchsorted(self._ends, i, side="right"))
        length = self._shapes.buckets[bucket]
        size = self._shapes.rows(length)
        start = self._starts[bucket] + (i - (int(self._ends[bucket]) - self._counts[bucket])) * size
        rows = self._rows[start : start + size]
        if len(rows) == size:
            return length, rows
        return length, np.concatenate([rows, np.full(size - len(rows), -1, rows.dtype)])

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        return map(self.__getitem__, range(len(self)))


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
    bits = _random_bits(n, *entropy)
    # A stable argsort of the bits. Sorting numbers is several times faster than sorting rows by them: so each carries
    # its row in place of its last bits, and the few that agree in the others are put right.
    num_bits = np.uint64(max(n, 1).bit_length())
    last = (np.uint64(1) << num_bits) - np.uint64(1)
    packed = np.sort((bits & ~last) | np.arange(n, dtype=np.uint64))
    order = (packed & last).astype(np.int64)
    packed >>= num_bits
    tied = np.flatnonzero(packed[1:] == packed[:-1])
    for run in np.split(tied, np.flatnonzero(np.diff(tied) > 1) + 1) if len(tied) else ():
        rows = order[run[0] : run[-1] + 2]
        order[run[0] : run[-1] + 2] = rows[np.argsort(bits[rows], kind="stable")]
    return order


def uniform(n: int, *entropy: int) -> Float64[np.ndarray, " n"]:
    """n random numbers in [0, 1), as `permutation` a pure function of the entropy."""
    return (_random_bits(n, *entropy) >> np.uint64(11)) * 2.0**-53


def _random_bits(n: int, *entropy: int) -> UInt64[np.ndarray, " n"]:
    # NumPy promises the raw bits of a generator to stay, not what its methods make of them.
    seeds = np.random.SeedSequence([value % 2**64 for value in entropy])
    return np.random.PCG64(seeds).random_raw(n)


def batch_counts(lengths: np.ndarray, shapes: Shapes) -> Iterator[tuple[int, int, int]]:
    """(length, rows in a batch, number of batches) of each bucket: `Batches` in numbers, whatever the order."""
    rest = 0
    rows_in = np.bincount(_bucket_of(lengths, shapes.buckets), minlength=len(shapes.buckets))
    for length, rows in zip(shapes.buckets, rows_in, strict=True):
        size = shapes.rows(length)
        count, rest = divmod(rest + int(rows), size)
        if rest and length == shapes.buckets[-1]:
            count += 1
        yield length, size, count


def padding_waste(lengths: np.ndarray, shapes: Shapes) -> float:
    """The fraction of the positions of an epoch's batches that hold no token, filler rows included."""
    positions = sum(size * length * count for length, size, count in batch_counts(lengths, shapes))
    return 1 - int(np.sum(lengths)) / positions if positions else 0.0


def doubling_lengths(longest: int, shortest: int = 16) -> tuple[int, ...]:
    """16, 32, 64, … up to and including `longest`: lengths for texts that nobody has counted."""
    lengths = [shortest]
    while lengths[-1] < longest:
        lengths.append(2 * lengths[-1])
    return (*lengths[:-1], min(lengths[-1], max(longest, shortest)))


def pad(ragged: Ragged, rows: np.ndarray, length: int, fill: int = 0) -> Int32[np.ndarray, "B T"]:
    """The rows, each followed by `fill` up to the length; −1 is a row of `fill` alone."""
    padded = np.full((len(rows), length), fill, np.int32)
    for i, row in enumerate(rows):  # each row is contiguous: copying it beats gathering its tokens by index
        if row >= 0:
            values = ragged.row(int(row))
            padded[i, : len(values)] = values
    return padded


def lengths_of(ragged: Ragged, rows: np.ndarray) -> Int32[np.ndarray, " B"]:
    """The lengths of the rows; 0 for −1."""
    return np.where(rows >= 0, ragged.offsets[rows + 1] - ragged.offsets[rows], 0).astype(np.int32)


def take(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """values[rows], with zeros for −1."""
    taken = values[rows]
    taken[rows < 0] = 0
    return taken


def _bucket_of(lengths: np.ndarray, buckets: Sequence[int]) -> np.ndarray:
    if list(buckets) != sorted(set(buckets)) or not buckets or buckets[0] < 1:
        raise ValueError(f"buckets={buckets} must be positive and increasing.")
    longest = int(np.max(lengths, initial=0))
    if longest > buckets[-1]:
        raise ValueError(f"A row of {longest} tokens is longer than the longest bucket, {buckets[-1]}.")
    bucket_of_length = np.searchsorted(np.asarray(buckets), np.arange(longest + 1)).astype(np.int8)
    return bucket_of_length[lengths]
