"""Totals of classification, by hand-computed numbers and by scikit-learn."""

import numpy as np
import pytest
import sklearn.metrics

from rnn_jax.metrics.classification import ClassificationTotals, balanced_accuracy, by_recording, per_class


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


def test_numbers_of_each_class():
    confusion = np.array([[8, 2, 0], [1, 3, 0], [0, 0, 0]])  # 10 of the first, 4 of the second, none of the third
    expected = [[8 / 9, 0.8, 16 / 19], [3 / 5, 3 / 4, 6 / 9], [0, 0, 0]]
    np.testing.assert_allclose(per_class(confusion), expected)
    assert balanced_accuracy(confusion) == pytest.approx((0.8 + 0.75) / 2)
    assert balanced_accuracy(np.zeros((2, 2), int)) == 0


def test_a_recording_is_judged_by_all_its_windows():
    # Of recording 7 two windows of three say 0, not sure of it, and one says 1, sure of it.
    probabilities = np.array([[0.6, 0.4], [0.55, 0.45], [0.01, 0.99], [0.2, 0.8]])
    found = by_recording(np.log(probabilities), np.array([0, 0, 0, 1]), np.array([7, 7, 7, 9]))
    assert found == {"recording_accuracy": 0.5, "recording_vote_accuracy": 1.0}
