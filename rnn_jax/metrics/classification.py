"""Metrics as sums over examples, divided once: totals of batches of any sizes add up to those of the whole."""

from typing import NamedTuple

import numpy as np


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
        hits = np.diag(self.confusion)
        pairs = self.confusion.sum(axis=0) + self.confusion.sum(axis=1)
        f1 = np.divide(2.0 * hits, pairs, out=np.zeros(len(hits)), where=pairs > 0)
        weight = max(self.weight, 1.0)
        return {"loss": self.loss / weight, "accuracy": float(hits.sum()) / weight, "macro_f1": float(f1.mean())}
