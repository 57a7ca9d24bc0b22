"""Rare classes: weights of examples in the loss, and batches that hold as many of each class."""

from typing import Any

import numpy as np

from rnn_jax.data.batching import permutation
from rnn_jax.data.sources import Batch, Buckets, MakeBatch

_STREAM = 4  # of a seed, with 0 to 3 for orders and cuts


def class_weights(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """n / (C n_c) for each class c that occurs: all classes weigh the same together, and all examples n."""
    counts = np.bincount(labels, minlength=num_classes)
    present = int((counts > 0).sum())
    return np.where(counts > 0, len(labels) / (present * np.maximum(counts, 1)), 0).astype(np.float32)


def weighted(make_batch: MakeBatch, of_class: np.ndarray) -> MakeBatch:
    """Batches whose examples have the weights of their classes."""

    def make(rows: np.ndarray, length: int) -> Batch:
        batch = make_batch(rows, length)
        return batch | {"weights": batch["weights"] * of_class[batch["labels"]]}

    return make


class BalancedBuckets(Buckets):
    """Buckets of rows that each epoch draws anew: n in all, as many of every class that occurs, but for a remainder.

    A class's rows come in random order, all of them before any comes again; the next epoch goes on where this one
    stopped, so that large classes are seen whole over several epochs.
    """

    def __init__(self, lengths: np.ndarray, make_batch: MakeBatch, labels: np.ndarray, *, seed: int, **options: Any):
        super().__init__(lengths, make_batch, seed=seed, **options)
        self._of_class = [np.flatnonzero(labels == one) for one in np.unique(labels)]

    def order(self, epoch: int) -> np.ndarray:
        """The rows of an epoch (n,), as many of every class."""
        shares = np.full(len(self._of_class), len(self._lengths) // len(self._of_class))
        shares[: len(self._lengths) - shares.sum()] += 1
        drawn = []
        for number, (own, share) in enumerate(zip(self._of_class, shares, strict=True)):
            places = np.arange(epoch * share, (epoch + 1) * share)
            rounds = places // len(own)
            orders = {
                int(turn): permutation(len(own), self._seed, int(turn), _STREAM, number) for turn in np.unique(rounds)
            }
            drawn += [own[orders[int(turn)][place % len(own)]] for turn, place in zip(rounds, places, strict=True)]
        return np.array(drawn)[super().order(epoch)]
