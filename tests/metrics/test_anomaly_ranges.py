"""Scores by span: by hand, and by their definitions in plain loops."""

import math

import numpy as np
import pytest
import sklearn.metrics

from rnn_jax.errors import UserError
from rnn_jax.metrics.anomaly_affiliation import affiliation_scores
from rnn_jax.metrics.anomaly_ranges import (
    SpanCounts,
    best_f1,
    point_adjusted,
    range_scores,
    row_scores,
    span_counts,
)
from rnn_jax.metrics.anomaly_spans import marks_of, spans_of

#        rows  0  1  2  3  4  5  6  7  8  9
LABELS = [0, 1, 1, 1, 1, 0, 0, 0, 1, 0]
FLAGS = [1, 1, 0, 1, 0, 0, 1, 0, 0, 0]


def test_spans_and_back():
    assert spans_of(LABELS).tolist() == [[1, 5], [8, 9]]
    np.testing.assert_array_equal(marks_of(spans_of(LABELS), 10), LABELS)
    assert spans_of([1, 1]).tolist() == [[0, 2]] and spans_of([0]).shape == (0, 2)
    assert marks_of([[-3, 1], [2, 9]], 4).tolist() == [True, False, True, True]


def test_ranges_by_hand():
    """True span 1-4: rows 1 and 3 in two pieces, overlap (2/4)/2 = 1/4; span 8 is missed. Predicted: 0-1 half, 3 whole,
    6 not at all: precision (1/2 + 1 + 0)/3. Recall (0.2 + 0.8/4 + 0)/2.
    """
    scores = range_scores(LABELS, FLAGS)
    assert scores == pytest.approx((0.5, 0.2))
    assert scores.f1 == pytest.approx(2 * 0.5 * 0.2 / 0.7)


@pytest.mark.parametrize(
    ("bias", "share", "precise"),
    [("flat", 2 / 4, 1 / 2), ("front", (4 + 2) / 10, 1 / 3), ("back", (1 + 3) / 10, 2 / 3), ("middle", 3 / 6, 1 / 2)],
)
def test_a_bias_weighs_rows(bias, share, precise):
    """Weights of span 1-4: front 4 3 2 1, back 1 2 3 4, middle 1 2 2 1; of the prediction 0-1, whose row 1 is true."""
    assert range_scores(LABELS, FLAGS, alpha=0.0, bias=bias) == pytest.approx(((precise + 1 + 0) / 3, share / 2 / 2))


def plain_overlap(span, others, alpha):
    rows = set(range(*span))
    met = [rows & set(range(*other)) for other in others if rows & set(range(*other))]
    share = sum(len(part) for part in met) / len(rows)
    return alpha * bool(met) + (1 - alpha) * share * (1 / len(met) if met else 0)


@pytest.mark.parametrize("seed", range(5))
def test_ranges_are_those_of_sets_of_rows(seed):
    rng = np.random.default_rng(seed)
    labels, flags = rng.random(40) < 0.4, rng.random(40) < 0.5
    true, found = spans_of(labels).tolist(), spans_of(flags).tolist()
    precision = np.mean([plain_overlap(span, true, 0.0) for span in found])
    recall = np.mean([plain_overlap(span, found, 0.3) for span in true])
    assert range_scores(labels, flags, alpha=0.3) == pytest.approx((precision, recall))


def test_spans_are_counted_once():
    """Span 1-4 is found, by two predictions; 8 is missed; the prediction of row 6 is false."""
    counts = span_counts(LABELS, FLAGS)
    assert counts == SpanCounts(found=1, missed=1, false=1)
    both = counts.add(span_counts([1, 0, 1], [1, 1, 1]))
    assert both == SpanCounts(found=3, missed=1, false=1)
    assert both.scores() == pytest.approx((3 / 4, 3 / 4))


def test_touching_spans_can_be_told_apart():
    assert span_counts([0, 1, 1, 0], [0, 1, 0, 0]).found == 1
    assert span_counts([0, 1, 1, 0], [0, 1, 0, 0], true_spans=[[1, 2], [2, 3]]) == SpanCounts(1, 1, 0)


def test_point_adjustment_by_hand():
    adjusted = point_adjusted(LABELS, FLAGS)
    assert adjusted.tolist() == [bool(row) for row in [1, 1, 1, 1, 1, 0, 1, 0, 0, 0]]
    assert row_scores(LABELS, adjusted) == pytest.approx((4 / 6, 4 / 5))
    assert row_scores(LABELS, FLAGS) == pytest.approx((2 / 4, 2 / 5))


@pytest.mark.parametrize("adjust", [False, True])
def test_the_best_f1_is_that_of_all_thresholds_tried(adjust):
    rng = np.random.default_rng(3)
    labels, scores = rng.random(50) < 0.3, rng.integers(0, 9, 50) / 8
    tried = {}
    for threshold in np.unique(scores):
        flags = scores >= threshold
        tried[threshold] = sklearn.metrics.f1_score(labels, point_adjusted(labels, flags) if adjust else flags)
    best = best_f1(labels, scores, adjust)
    assert best.f1 == pytest.approx(max(tried.values())) and tried[best.threshold] == pytest.approx(best.f1)


def test_random_scores_are_found_good_by_point_adjustment():
    """One span of 500 of 5,000 rows is hit by 1 % of random flags almost surely, with 45 false: 2·500/(1000 + 45)."""
    labels = marks_of([[2000, 2500]], 5000)
    scores = np.random.default_rng(0).random(5000)
    assert best_f1(labels, scores, adjust=True).f1 > 0.95
    assert best_f1(labels, scores).f1 < 0.25


def test_affiliation_by_hand():
    """J = [2, 4), its zone [0, 8). I = [5, 6): d = x − 4, nearer are 2 + min(d, 2) + min(d, 4) = 2 + 2d of 8 rows;
    mean of 3/4 − d/4 over d in [1, 2): 3/8.
    Recall: d = 5 − y; nearer are min(d, y) + min(d, 8 − y), in all ∫₂^2.5 y + ∫_2.5^4 (5 − y) + ∫₂^4 (5 − y) =
    1.125 + 2.625 + 4 = 7.75: 1 − 7.75/8/2.
    """
    labels, flags = marks_of([[2, 4]], 8), marks_of([[5, 6]], 8)
    assert affiliation_scores(labels, flags) == pytest.approx((0.375, 0.515625))
    assert affiliation_scores(labels, labels) == (1.0, 1.0)


def sampled_affiliation(labels, flags, steps=40):
    """By places on a fine grid, compared one with the other."""
    rows = len(labels)
    grid = (np.arange(rows * steps) + 0.5) / steps
    true = spans_of(labels).astype(float)
    zone = np.array([[max(a - x, x - b, 0.0) for a, b in true] for x in grid]).argmin(axis=1)
    flagged, anomalous = flags[grid.astype(int)], labels[grid.astype(int)]
    precisions, recalls = [], []
    for index in range(len(true)):
        here = zone == index
        within, mine, hit = grid[here], grid[here & anomalous], grid[here & flagged]
        to_span = np.abs(within[:, None] - mine).min(axis=1)
        if hit.size:
            chances = [(to_span >= np.abs(x - mine).min()).mean() for x in hit]
            precisions.append(np.mean(chances))
        chances = [(np.abs(within - y) >= np.abs(y - hit).min()).mean() if hit.size else 0.0 for y in mine]
        recalls.append(np.mean(chances))
    return np.mean(precisions), np.mean(recalls)


@pytest.mark.parametrize("seed", range(6))
def test_affiliation_is_a_chance_among_places(seed):
    rng = np.random.default_rng(seed)
    labels, flags = rng.random(16) < 0.3, rng.random(16) < 0.3
    labels[5], flags[11] = True, True
    assert affiliation_scores(labels, flags) == pytest.approx(sampled_affiliation(labels, flags), abs=0.02)


def test_what_is_near_is_better():
    labels = marks_of([[40, 45], [80, 85]], 100)
    near, far = (affiliation_scores(labels, marks_of([[row, row + 3]], 100)) for row in (46, 60))
    assert near.precision > far.precision and near.recall > far.recall
    assert near.recall < 0.5  # the other span is missed


@pytest.mark.parametrize("metric", [range_scores, affiliation_scores, row_scores, lambda *x: span_counts(*x).scores()])
def test_edges_are_defined(metric):
    assert all(math.isnan(value) for value in metric([0, 0, 0], [0, 1, 0]))
    assert metric([0, 1, 0], [0, 0, 0]) == (0.0, 0.0) and metric([0, 1, 0], [0, 0, 0]).f1 == 0.0
    assert metric([1, 1, 1], [1, 1, 1]) == (1.0, 1.0) and metric([1], [1]) == (1.0, 1.0)
    with pytest.raises(UserError, match="2 rows are predicted, 3 have labels"):
        metric([0, 1, 0], [0, 1])


def test_misuse_is_refused():
    with pytest.raises(UserError, match="alpha=2"):
        range_scores([0, 1], [0, 1], alpha=2)
    with pytest.raises(UserError, match="1 of 2 scores are NaN"):
        best_f1([0, 1], [0.0, np.nan])
    assert math.isnan(best_f1([0, 0], [0.0, 1.0]).f1)
