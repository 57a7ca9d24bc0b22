"""Areas and volumes by hand, by scikit-learn, and by the definition in plain loops."""

import itertools
import math

import numpy as np
import pytest
import sklearn.metrics

from rnn_jax.errors import UserError
from rnn_jax.metrics.anomaly_ranking import areas_under_curves, ranking_summary, volumes_under_surfaces
from rnn_jax.metrics.anomaly_spans import marks_of, spans_of


def series(seed, rows=60):
    """Labels with spans of any length, and scores with ties that know something of them."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(rows, int)
    for start in rng.integers(0, rows, rng.integers(1, 5)):
        labels[start : start + rng.integers(1, 10)] = 1
    return labels, np.round(rng.normal(size=rows) + labels * rng.random(), rng.integers(0, 3))


@pytest.mark.parametrize("seed", range(8))
def test_areas_are_those_of_scikit_learn(seed):
    labels, scores = series(seed)
    areas = areas_under_curves(labels, scores)
    assert areas.pr == pytest.approx(sklearn.metrics.average_precision_score(labels, scores))
    assert areas.roc == pytest.approx(sklearn.metrics.roc_auc_score(labels, scores))


def test_volumes_by_hand():
    """An anomaly in row 2; the row before the true one has the highest score. Tolerances 0 and 1 soften nothing.

    There: at 5 nothing is hit, at 4 all with a precision of 1/2: PR 0.5; one of four false ones before: ROC 0.75.
    With 2, rows 1 and 3 are anomalies by s = √(1/2): at 5, TP = s, P' = (1 + 1 + s)/2, precision s; at 4, TP = 1 + s,
    recall 1, precision (1 + s)/2, and the false positives stay at (1 − s)/(5 − P').
    """
    s = math.sqrt(0.5)
    positives = (2 + s) / 2
    first, false = s / positives, (1 - s) / (5 - (2 + s) / 2)
    pr = first * s + (1 - first) * (1 + s) / 2
    roc = false * first / 2 + (1 - false)
    volumes = volumes_under_surfaces([0, 0, 1, 0, 0], [1, 2, 4, 5, 3], buffer=2)
    assert volumes.pr == pytest.approx((0.5 + 0.5 + pr) / 3)
    assert volumes.roc == pytest.approx((0.75 + 0.75 + roc) / 3)
    assert (pr, roc) == pytest.approx((0.77705, 0.94066), abs=1e-5)


def plain_volumes(labels, scores, buffer, max_thresholds):
    """The definition as the authors write it: a loop over tolerances, thresholds, anomalies and rows."""
    rows, total_pr, total_roc = len(labels), 0.0, 0.0
    ranked = sorted(scores, reverse=True)
    thresholds = [ranked[int(place)] for place in np.linspace(0, rows - 1, max_thresholds)]
    spans = [(start, stop - 1) for start, stop in spans_of(labels)]
    for tolerance in range(buffer + 1):
        reach, soft = tolerance // 2, [float(label) for label in labels]
        zones = []
        for start, last in spans:
            for row in range(max(start - reach, 0), min(last + reach + 1, rows)):
                distance = max(start - row, row - last, 0)
                soft[row] = min(soft[row] + (math.sqrt(1 - distance / tolerance) if distance else 0.0), 1.0)
            if zones and zones[-1][1] >= start - reach:
                zones[-1] = (zones[-1][0], last + reach)
            else:
                zones.append((start - reach, last + reach))
        curve = [(0.0, 0.0, 1.0)]
        for threshold in thresholds:
            flags = [score >= threshold for score in scores]
            hits = sum(label for label, flag in zip(soft, flags) if flag)
            weight = sum(max(label, soft[row] * flags[row]) for row, label in enumerate(labels))
            positives = (sum(labels) + weight) / 2
            touched = [any(flags[max(start, 0) : last + 1]) for start, last in zones]
            recall = min(hits / positives, 1.0) * sum(touched) / len(zones)
            curve.append((recall, (sum(flags) - hits) / (rows - positives), hits / sum(flags)))
        total_pr += sum((r1 - r0) * p1 for (r0, _, _), (r1, _, p1) in itertools.pairwise(curve))
        closed = [*curve, (1.0, 1.0, 0.0)]
        total_roc += sum((f1 - f0) * (r0 + r1) / 2 for (r0, f0, _), (r1, f1, _) in itertools.pairwise(closed))
    return total_pr / (buffer + 1), total_roc / (buffer + 1)


@pytest.mark.parametrize(
    ("seed", "buffer", "thresholds"), [(0, 0, 60), (1, 5, 60), (2, 12, 20), (3, 25, 60), (4, 40, 60)]
)
def test_volumes_are_those_of_plain_loops(seed, buffer, thresholds):
    labels, scores = series(seed)
    volumes = volumes_under_surfaces(labels, scores, buffer, thresholds)
    assert tuple(volumes) == pytest.approx(plain_volumes(labels.tolist(), scores.tolist(), buffer, thresholds))


def test_all_thresholds_are_as_many_as_there_are_scores():
    labels, scores = series(5)
    assert volumes_under_surfaces(labels, scores, 7, None) == volumes_under_surfaces(labels, scores, 7, len(labels))


def test_only_the_order_of_scores_counts():
    labels, scores = series(6)
    summary = ranking_summary(labels, scores, buffer=8)
    assert ranking_summary(labels, np.exp(3 * scores) - 7, buffer=8) == pytest.approx(summary, abs=1e-14)
    assert ranking_summary(labels, -scores, buffer=8)["auc_roc"] == pytest.approx(1 - summary["auc_roc"])


def test_near_misses_count_in_volumes_alone():
    labels, beside, far = (marks_of([span], 100).astype(float) for span in ((40, 50), (50, 60), (80, 90)))
    near, away = ranking_summary(labels, beside, 20), ranking_summary(labels, far, 20)
    assert near["auc_pr"] == away["auc_pr"] and near["vus_pr"] > 1.5 * away["vus_pr"]


def test_edges_are_defined():
    """Constant scores: one threshold flags all; without a buffer TP = P, E = 1, and precision is the share of 1s."""
    labels = [0, 1, 1, 0, 0]
    assert ranking_summary(labels, np.ones(5), 0) == pytest.approx(
        {"vus_pr": 0.4, "auc_pr": 0.4, "vus_roc": 0.5, "auc_roc": 0.5}
    )
    assert all(math.isnan(value) for value in ranking_summary(np.zeros(5), np.arange(5), 3).values())
    all_of_them = ranking_summary(np.ones(5), np.arange(5), 3)
    assert math.isnan(all_of_them["auc_roc"]) and math.isnan(all_of_them["vus_roc"])
    assert all_of_them["auc_pr"] == 1.0 and all_of_them["vus_pr"] == pytest.approx(1.0)
    assert ranking_summary([1, 0, 0], [np.inf, 0.0, -np.inf], 1)["vus_pr"] == 1.0


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1, 0], [0.1, np.nan, 0.2], "1 of 3 scores are NaN, the first in row 1"),
        ([0, 1, 0], [0.1, 0.2], "scores have the shape .2,., labels have 3 rows"),
        ([0, 2, 0], [0.1, 0.2, 0.3], "labels, row 1: 2 is no mark"),
        ([], [], "at least one row"),
    ],
)
def test_what_cannot_be_ranked_is_refused(labels, scores, message):
    with pytest.raises(UserError, match=message):
        areas_under_curves(labels, scores)
    with pytest.raises(UserError, match=message):
        volumes_under_surfaces(labels, scores, 1)


def test_a_buffer_is_not_negative():
    with pytest.raises(UserError, match="buffer=-1: give a number of rows"):
        volumes_under_surfaces([0, 1], [0.0, 1.0], -1)
