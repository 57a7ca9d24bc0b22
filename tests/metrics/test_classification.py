"""Totals of classification, by hand-computed numbers and by scikit-learn."""

import numpy as np
import pytest
import sklearn.metrics

from rnn_jax.metrics.classification import ClassificationTotals


def test_totals_do_not_depend_on_how_examples_are_batched():
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 3, 50), rng.integers(0, 3, 50)
    totals = ClassificationTotals.zero(3)
    for part in (slice(0, 7), slice(7, 8), slice(8, 50)):
        size = part.stop - part.start
        totals = totals.add(2.0 * size, size, labels[part], predictions[part])
    summary = totals.summary()
    assert summary["loss"] == pytest.approx(2.0)
    assert summary["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(labels, predictions))
    assert summary["macro_f1"] == pytest.approx(sklearn.metrics.f1_score(labels, predictions, average="macro"))
    np.testing.assert_array_equal(totals.confusion, sklearn.metrics.confusion_matrix(labels, predictions))


def test_adding_leaves_the_earlier_totals_alone():
    zero = ClassificationTotals.zero(2)
    zero.add(1.0, 1.0, np.array([0]), np.array([1]))
    assert zero.confusion.sum() == 0 and zero.summary() == {"loss": 0.0, "accuracy": 0.0, "macro_f1": 0.0}
