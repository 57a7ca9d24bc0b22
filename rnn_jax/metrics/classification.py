"""Metrics as sums over examples, divided once: totals of batches of any sizes add up to those of the whole."""

from typing import NamedTuple

import numpy as np

from rnn_jax.metrics.means import mean_of


class ClassificationTotals(NamedTuple):
    """Sums over examples: the loss in nats, their weight, and confusion[label, prediction]."""

    loss: float
    weight: float
    confusion: np.ndarray

    @classmethod
    def zero(cls, num_classes: int) -> "ClassificationTotals":
        """No example yet."""
        return cls(0.0, 0.0, np.zeros((num_classes, num_classes), np.int64))

    def add(self, loss: float, weight: float, labels: np.ndarray, predictions: np.ndarray) -> "ClassificationTotals":
        """The totals with one more batch of real examples."""
        confusion = self.confusion.copy()
        np.add.at(confusion, (labels, predictions), 1)
        return ClassificationTotals(self.loss + loss, self.weight + weight, confusion)

    def summary(self) -> dict[str, float]:
        """Mean loss in nats, accuracy, and F1 averaged over classes (0 for one never seen nor predicted)."""
        loss, hits = (mean_of(total, self.weight) for total in (self.loss, float(np.trace(self.confusion))))
        return {"loss": loss, "accuracy": hits, "macro_f1": float(per_class(self.confusion)[:, 2].mean())}


def balanced_accuracy(confusion: np.ndarray) -> float:
    """The mean recall of the classes that occur, of confusion[label, prediction]; 0 where none does."""
    occurs = confusion.sum(axis=1) > 0
    return float(per_class(confusion)[occurs, 1].mean()) if occurs.any() else 0.0


def per_class(confusion: np.ndarray) -> np.ndarray:
    """(C, 3): precision, recall and F1 of each class; 0 where it is never predicted, or never there."""
    hits, predicted, there = np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1)
    ratios = [(hits, predicted), (hits, there), (2 * hits, predicted + there)]
    return np.stack([np.divide(a, b, out=np.zeros(len(hits)), where=b > 0) for a, b in ratios], axis=1)


def by_recording(log_probs: np.ndarray, labels: np.ndarray, recordings: np.ndarray) -> dict[str, float]:
    """Accuracies over recordings, of what is said of their windows: log_probs (n, C), labels and recordings (n,).

    recording_accuracy: of the class with the largest mean log-probability; recording_vote_accuracy: of the one that
    most windows have, of several the first. A recording has the label that most of its windows have.
    """
    num_classes = log_probs.shape[1]
    _, numbers = np.unique(recordings, return_inverse=True)
    sums = np.zeros((numbers.max() + 1, num_classes))
    votes, truth = np.zeros_like(sums), np.zeros_like(sums)
    np.add.at(sums, numbers, log_probs)
    np.add.at(votes, (numbers, log_probs.argmax(axis=1)), 1)
    np.add.at(truth, (numbers, labels), 1)
    label = truth.argmax(axis=1)
    return {
        "recording_accuracy": float((sums.argmax(axis=1) == label).mean()),
        "recording_vote_accuracy": float((votes.argmax(axis=1) == label).mean()),
    }
