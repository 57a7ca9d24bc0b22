"""Sequences of frames of any shape, end to end in one array; windows of them are views."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from rnn_jax.data.digest import digest_of


@dataclasses.dataclass(frozen=True, eq=False)
class Sequences:
    """n sequences: number i is values[starts[i] : starts[i] + lengths[i]]; a step is one frame (*frame)."""

    values: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    @classmethod
    def from_rows(cls, rows: Sequence[np.ndarray]) -> "Sequences":
        """Joins arrays (T_i, *frame) of one frame shape and dtype."""
        lengths = np.array([len(row) for row in rows], np.int64)
        return cls(np.concatenate(rows), np.cumsum(lengths) - lengths, lengths)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def frame(self) -> tuple[int, ...]:
        """The shape of one step."""
        return self.values.shape[1:]

    def row(self, i: int) -> np.ndarray:
        """Sequence i (T_i, *frame)."""
        return self.values[self.starts[i] : self.starts[i] + self.lengths[i]]

    def take(self, rows: np.ndarray) -> "Sequences":
        """These sequences, in this order."""
        return Sequences(self.values, self.starts[rows], self.lengths[rows])

    def used(self) -> np.ndarray:
        """The frames that lie in some sequence, each once (N, *frame)."""
        counts = np.zeros(len(self.values) + 1, np.int64)
        np.add.at(counts, self.starts, 1)
        np.add.at(counts, self.starts + self.lengths, -1)
        return self.values[np.cumsum(counts)[:-1] > 0]

    def windows(self, length: int, step: int) -> tuple["Sequences", np.ndarray]:
        """Windows `step` apart, and which sequence each is of.

        The last window of a sequence ends with it, so that every step is in one; a sequence of at most `length` steps
        is one window.
        """
        starts, owners = [], []
        for owner, (start, total) in enumerate(zip(self.starts, self.lengths, strict=True)):
            last = max(int(total) - length, 0)
            own = [*range(0, last, step), last]
            starts += [int(start) + at for at in own]
            owners += [owner] * len(own)
        owner_of = np.array(owners, np.int64)
        return Sequences(self.values, np.array(starts, np.int64), np.minimum(length, self.lengths[owner_of])), owner_of

    def digest(self) -> str:
        """Of all sequences."""
        return digest_of(self.values, self.starts, self.lengths)
