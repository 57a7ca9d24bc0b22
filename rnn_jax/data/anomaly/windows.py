"""Windows of normal rows, in random order: what training reads."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rnn_jax.data.anomaly.codec import Encoded
from rnn_jax.data.digest import digest_of
from rnn_jax.data.sources import Batch, Dealt
from rnn_jax.errors import UserError


class Window(NamedTuple):
    """Steps of a window, and from one to the next. whole: leave out windows that hold a marked row or lack one.

    first: the first step that counts; others are read alone.
    """

    length: int
    stride: int
    whole: bool = False
    first: int = 0


class NormalWindows:
    """Windows, `stride` apart and one at the end of each series; what lacks at its end is missing.

    encoded: the rows of each series that are trained on. normal: of each, (T,) False where a row is marked: it is read,
    and no part of the loss.

    Raises:
      UserError: no window.
    """

    def __init__(
        self,
        encoded: Sequence[Encoded],
        normal: Sequence[np.ndarray],
        window: Window,
        batch_size: int,
        *,
        seed: int,
    ):
        length, stride = window.length, window.stride
        self._length = length
        padding = Encoded(*(np.zeros((length, *array.shape[1:]), array.dtype) for array in encoded[0]))
        rows = [Encoded(*map(np.concatenate, zip(one, padding, strict=True))) for one in encoded]
        self._rows = Encoded(*map(np.concatenate, zip(*rows, strict=True)))
        counts = [np.append(own, np.zeros(length, bool)) for own in normal]
        self._counts = np.concatenate(counts).astype(np.float32)
        begins = np.cumsum([0, *map(len, counts)])[:-1]
        starts = [begin + window_starts(len(own), length, stride) for begin, own in zip(begins, normal, strict=True)]
        self._starts = np.concatenate(starts)
        counting = self._counts[self._starts[:, None] + np.arange(window.first, length)] > 0
        self._starts = self._starts[counting.all(axis=1) if window.whole else counting.any(axis=1)]
        if not len(self._starts):
            needed = f"{length} (--window_length)" if window.whole else f"more than {window.first} (--warm_up)"
            raise UserError(
                f"There is nothing to train on: it takes {needed} normal rows in a row, and the longest series has"
                f" {max(map(len, normal)):,} rows to train on. Lower it, or give more rows."
            )
        self._dealt = Dealt(len(self._starts), batch_size, seed=seed)

    @property
    def steps_per_epoch(self) -> int:
        """How many batches hold every window once."""
        return self._dealt.steps_per_epoch

    def batch(self, step: int) -> Batch:
        """values and known (B, L, C), inputs (B, L, K), counts (B, L), weights (B,)."""
        rows = self._dealt.rows(step)
        is_real = rows >= 0
        at = self._starts[np.where(is_real, rows, 0)][:, None] + np.arange(self._length)
        batch = {name: array[at] for name, array in self._rows._asdict().items()}
        return batch | {"counts": self._counts[at] * is_real[:, None], "weights": is_real.astype(np.float32)}

    def digest(self) -> str:
        """Of all rows, and of which windows there are."""
        return digest_of(*self._rows, self._counts, self._starts)


def window_starts(rows: int, length: int, stride: int) -> np.ndarray:
    """Every `stride` rows, and so that the last window ends with the series; 0 alone where it is shorter than one."""
    last = max(rows - length, 0)
    starts = np.arange(0, last + 1, stride)
    return np.append(starts, last) if starts[-1] < last else starts
