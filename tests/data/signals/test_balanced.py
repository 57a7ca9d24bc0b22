"""Class weights by hand, and batches with as many of each class."""

from collections import Counter

import numpy as np
import pytest

from rnn_jax.data.signals.balanced import BalancedBuckets, class_weights, weighted

LABELS = np.array([0] * 17 + [1] * 4 + [2] * 3)
LENGTHS = np.arange(24) % 5 + 1


def make_batch(rows, length):
    labels = np.where(rows >= 0, LABELS[rows], 0)
    return {"rows": rows, "labels": labels, "weights": (rows >= 0).astype(np.float32), "length": length}


def test_classes_weigh_the_same_together():
    weights = class_weights(LABELS, 4, "balanced")
    np.testing.assert_allclose(weights, [24 / 3 / 17, 2, 24 / 9, 0], rtol=1e-6)
    assert weights[LABELS].sum() == pytest.approx(24)
    batch = weighted(make_batch, weights)(np.array([20, -1]), 1)
    np.testing.assert_allclose(batch["weights"], [2, 0])


def test_classes_weigh_as_the_roots_of_their_sizes():
    weights = class_weights(np.array([0] * 16 + [1] * 4), 3, "square_root")
    np.testing.assert_allclose(weights, [20 / 24, 40 / 24, 0], rtol=1e-6)  # 16 : 4 becomes 4 : 2, and 20 in all


def test_every_epoch_has_as_many_of_each_class_and_all_rows_come_in_turn():
    options = {"content": (LABELS,), "batch_size": 5, "num_buckets": 2, "multiple_of": 1}
    source = BalancedBuckets(LENGTHS, make_batch, LABELS, seed=3, **options)
    assert source.steps_per_epoch == 5
    seen = Counter()
    for epoch in range(3):
        batches = [source.batch(5 * epoch + step) for step in range(5)]
        rows = np.concatenate([batch["rows"] for batch in batches])
        rows = rows[rows >= 0]
        assert Counter(LABELS[rows]) == {0: 8, 1: 8, 2: 8}
        assert all(LENGTHS[batch["rows"][batch["rows"] >= 0]].max() <= batch["length"] for batch in batches)
        seen += Counter(rows.tolist())
    assert {seen[row] for row in range(17)} == {1, 2}  # 24 draws of 17 rows
    assert {seen[row] for row in range(17, 21)} == {6} and {seen[row] for row in range(21, 24)} == {8}
    again = BalancedBuckets(LENGTHS, make_batch, LABELS, seed=3, **options)
    np.testing.assert_array_equal(again.batch(7)["rows"], source.batch(7)["rows"])
