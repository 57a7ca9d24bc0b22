"""A long text as lanes that are read side by side, a window at a time, for truncated backpropagation through time."""

from random import Random
from statistics import NormalDist

import numpy as np

from rnn_jax.data.batching import Ragged, permutation
from rnn_jax.data.digest import digest_of
from rnn_jax.data.sources import Batch
from rnn_jax.errors import UserError

_SHORTEST = 5  # of windows whose length varies
_HALF_AS_OFTEN = 0.05


class Lanes:
    """Documents end to end, as `batch_size` lanes that are read side by side, a window of `length` steps at a time.

    Each window goes on where the one before it ended, so the carry of a batch is where the next one starts. `resets`
    say where it does not: at the first step of an epoch and before each document, where the token `boundary` is read.
    The label of a step is the token after it; weights count the real ones, the first of the text included. Several
    documents come in another order in every epoch.

    varies: lengths are drawn as by Merity et al. (2018): from a normal distribution around `length`, or, once in twenty
      times, half of it, with a standard deviation of 5 and no less than that. Every epoch has the same lengths in an
      order of its own, and all windows are padded to the longest, so that there is one program; `mask` says what is
      real, and `scale` (B,) how long the window is in terms of `length`: what the learning rate is to be scaled by.

    Raises:
      UserError: nothing to train on, or a lane that is shorter than one window.
    """

    def __init__(
        self, documents: Ragged, batch_size: int, length: int, *, boundary: int, seed: int, varies: bool = False
    ):
        self._documents, self._batch_size, self._length = documents, batch_size, length
        self._boundary, self._seed = boundary, seed
        num_tokens = len(documents.values)
        if not num_tokens:
            raise UserError(
                "There is nothing to train on: the training text has no tokens. Give another --train_file or --dataset."
            )
        if batch_size > num_tokens:
            raise UserError(
                f"--batch_size={batch_size} is more lanes than the training text has tokens, {num_tokens:,}: lower it."
            )
        self._ends = np.linspace(0, num_tokens, batch_size + 1).round().astype(np.int64)
        self.lane_length = int(np.diff(self._ends).max())
        if length > self.lane_length:
            raise UserError(
                f"--bptt={length} is longer than a lane: the training text has {num_tokens:,} tokens, which"
                f" --batch_size={batch_size} divides into lanes of {self.lane_length:,}. Lower either."
            )
        self.notes = (f"{num_tokens:,} tokens to train on, as {batch_size} lanes of {self.lane_length:,}.",)
        self._varies = varies
        # Of every seed the same ones: they have equal shapes and epochs, and share a program.
        self._lengths = _window_lengths(self.lane_length, length, 0 if varies else None)
        self._epoch: tuple[int, np.ndarray, np.ndarray, np.ndarray] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """How many windows a lane has."""
        return len(self._lengths)

    def batch(self, step: int) -> Batch:
        """tokens, labels, weights, resets: (B, T); where lengths vary also mask and scale."""
        epoch, window = divmod(step, self.steps_per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = epoch, *self._arranged(epoch)
        _, values, lengths, starts = self._epoch
        size = int(self._lengths.max())
        tokens, labels = np.zeros((2, self._batch_size, size), np.int32)
        weights = np.zeros((self._batch_size, size), np.float32)
        for lane in range(self._batch_size):
            start = self._ends[lane] + starts[window]
            real = int(np.clip(self._ends[lane + 1] - start, 0, lengths[window]))
            if real:
                tokens[lane, 0] = values[start - 1] if start else self._boundary
                tokens[lane, 1:real] = values[start : start + real - 1]
            labels[lane, :real] = values[start : start + real]
            weights[lane, :real] = 1
        resets = tokens == self._boundary
        resets[:, 0] |= window == 0
        batch = {"tokens": tokens, "labels": labels, "weights": weights, "resets": resets}
        if not self._varies:
            return batch
        scale = np.full(self._batch_size, lengths[window] / self._length, np.float32)
        return batch | {"mask": weights > 0, "scale": scale}

    def _arranged(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The labels of an epoch; the lengths of its windows; where these start in a lane."""
        documents, lengths = self._documents, self._lengths
        if len(documents) > 1:
            documents = documents.take(permutation(len(documents), self._seed, epoch, 0))
        if self._varies:
            lengths = lengths[permutation(len(lengths), self._seed, epoch, 1)]
        starts = np.cumsum(lengths) - lengths
        return documents.values, lengths, starts

    def digest(self) -> str:
        """Of the documents."""
        return digest_of(self._documents.values, self._documents.offsets)


def _window_lengths(lane_length: int, length: int, seed: int | None) -> np.ndarray:
    """Lengths of windows that hold a lane, the last one cut; all the same without a seed."""
    if seed is None:
        return np.full(-(-lane_length // length), length)
    random = Random(seed)  # random() is the one method whose values Python promises to keep
    lengths: list[int] = []
    missing = lane_length
    while missing > 0:
        mean = length / 2 if random.random() < _HALF_AS_OFTEN else length
        drawn = NormalDist(mean, _SHORTEST).inv_cdf(max(random.random(), 2**-53))
        lengths.append(min(max(_SHORTEST, round(drawn)), missing))
        missing -= lengths[-1]
    return np.array(lengths)
