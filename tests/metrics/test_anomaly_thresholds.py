"""Thresholds without labels: by hand, by the definition in plain loops, and in a stream as in a batch."""

import math
import statistics

import numpy as np
import pytest

from rnn_jax.errors import UserError
from rnn_jax.metrics.anomaly_thresholds import (
    DynamicState,
    DynamicThreshold,
    Smoothing,
    after_normal,
    dynamic_decisions,
    finish,
    push,
    quantile_threshold,
    smooth,
)


def test_a_quantile_flags_no_more_than_its_share():
    scores = np.arange(100) / 100
    assert quantile_threshold(scores, 0.95) == pytest.approx(0.95)  # numbers 0 to 94 are 95 %: 0.95 itself is the next
    assert (scores >= quantile_threshold(scores, 0.95)).mean() <= 0.05
    assert not (scores >= quantile_threshold(scores, 1.0)).any()
    assert not (np.ones(9) >= quantile_threshold(np.ones(9), 0.5)).any()  # constant scores flag nothing
    for bad, message in (([], "no quantile"), ([math.nan], "1 of them NaN")):
        with pytest.raises(UserError, match=message):
            quantile_threshold(bad, 0.9)
    with pytest.raises(UserError, match="quantile=95"):
        quantile_threshold(scores, 95)


def test_smoothing_by_hand():
    """span 3: α = 1/2. 4, (4/2 + 2)/(1 + 1/2), (4/4 + 2/2 + 5)/(1 + 1/2 + 1/4)."""
    assert smooth([4, 2, 5], 3) == pytest.approx([4, 4 / 1.5, 7 / 1.75])
    assert smooth([4, 2, 5], 1).tolist() == [4, 2, 5]
    with pytest.raises(UserError, match="span=0"):
        smooth([1], 0)


def test_smoothing_takes_each_column_by_itself_and_goes_on_from_its_state():
    errors = np.random.default_rng(0).random((50, 3))
    whole, state = smooth(errors, 10), Smoothing(10)
    np.testing.assert_allclose(whole[:, 1], smooth(errors[:, 1], 10))
    ages = np.arange(50)[::-1]
    np.testing.assert_allclose(whole[-1], (9 / 11) ** ages @ errors / ((9 / 11) ** ages).sum())
    for row, error in enumerate(errors):
        smoothed, state = state.next(error)
        np.testing.assert_array_equal(smoothed, whole[row])


def spiky(rows, spikes, seed=0):
    errors = 0.1 + 0.01 * np.random.default_rng(seed).random(rows)
    for row, height in spikes.items():
        errors[row : row + 3] = height
    return errors


def test_a_spike_is_flagged_with_its_surroundings():
    decisions = dynamic_decisions(spiky(200, {90: 2.0}), DynamicThreshold(window=200, batch=10, buffer=5))
    assert np.flatnonzero(decisions.flags).tolist() == list(range(85, 98))
    assert 0.11 < decisions.thresholds[0] < 2.0


def test_a_spike_hardly_above_normal_errors_is_pruned():
    """(0.121 − 0.11)/0.121 = 0.09 < 0.13, (0.2 − 0.11)/0.2 = 0.45. A floor above it has the same effect."""
    rule = DynamicThreshold(window=300, batch=10, buffer=2, gap=0.13)
    assert not dynamic_decisions(spiky(300, {90: 0.121}), rule).flags.any()
    assert dynamic_decisions(spiky(300, {90: 0.121}), rule._replace(gap=0.01)).flags.sum() == 7
    assert dynamic_decisions(spiky(300, {90: 0.2}), rule).flags.sum() == 7
    assert not dynamic_decisions(spiky(300, {90: 0.2}), rule._replace(floor=0.2)).flags.any()


def plain_window(errors, before, new, rule):
    """The definition for one window: which of its last `new` rows are flagged, and the threshold."""
    rows = len(errors)
    mean, deviation = statistics.fmean(errors), statistics.pstdev(errors)

    def beside(hits):
        return sorted(
            {row for hit in hits for row in range(hit - rule.buffer, hit + rule.buffer + 1) if 0 <= row < rows}
        )

    def grouped(marked):
        groups = []
        for row in marked:
            if groups and groups[-1][-1] == row - 1:
                groups[-1].append(row)
            else:
                groups.append([row])
        return groups

    best, epsilon = -math.inf, mean + 12 * deviation
    for z in [2.5 + 0.5 * step for step in range(19)]:
        candidate = mean + z * deviation
        marked = beside([row for row in range(rows) if errors[row] >= candidate])
        if marked and len(marked) < rows / 2 and len(grouped(marked)) <= 5:
            calm = [error for error in errors if error < candidate]
            gain = (mean - statistics.fmean(calm)) / mean + (deviation - statistics.pstdev(calm)) / deviation
            gain /= len(marked) + len(grouped(marked)) ** 2
            if gain >= best:
                best, epsilon = gain, candidate
    marked = [row for row in beside([r for r in range(rows) if errors[r] >= epsilon]) if row >= rows - new]
    normal = max((errors[row] for row in range(rows) if row not in marked and not before[row]), default=0.0)
    ordered = sorted(grouped(marked), key=lambda group: -max(errors[row] for row in group))
    tops = [max(errors[row] for row in group) for group in ordered] + [normal]
    kept = 0
    for index in range(len(ordered)):
        if (tops[index] - tops[index + 1]) / tops[index] >= rule.gap:
            kept = index + 1
    return {row for group in ordered[:kept] for row in group}, epsilon


@pytest.mark.parametrize("seed", range(4))
def test_decisions_are_those_of_plain_loops(seed):
    rule, rows = DynamicThreshold(window=60, batch=10, buffer=3, gap=0.1), 114
    rng = np.random.default_rng(seed)
    errors = spiky(rows, {int(row): 0.2 + rng.random() for row in rng.integers(0, rows, 4)}, seed)
    flags, thresholds = [False] * rows, [0.0] * rows
    for stop in [60, 70, 80, 90, 100, 110, 114]:
        new = {60: 60, 114: 4}.get(stop, 10)
        start = stop - 60
        marked, epsilon = plain_window(errors[start:stop].tolist(), flags[start:stop], new, rule)
        for row in range(stop - new, stop):
            flags[row], thresholds[row] = row - start in marked, epsilon
    decisions = dynamic_decisions(errors, rule)
    assert any(flags) and decisions.flags.tolist() == flags
    np.testing.assert_allclose(decisions.thresholds, thresholds)


@pytest.mark.parametrize("chunks", [[1] * 95, [30, 0, 65], [47, 1, 47]])
@pytest.mark.parametrize("primed", [False, True])
def test_a_stream_is_decided_as_a_batch(chunks, primed):
    rule = DynamicThreshold(window=40, batch=7, buffer=2)
    errors = spiky(95, {20: 0.9, 64: 0.5, 92: 1.5})
    start = after_normal(rule, spiky(50, {}, seed=1)) if primed else DynamicState()
    whole, state, flags, thresholds = dynamic_decisions(errors, rule, start), start, [], []
    for chunk in np.split(errors, np.cumsum(chunks)[:-1]):
        decided, state = push(rule, state, chunk)
        flags, thresholds = [*flags, *decided.flags], [*thresholds, *decided.thresholds]
    assert len(flags) == (91 if primed else 89)  # 13 batches; or the first 40 rows and 7 batches
    last = finish(rule, state)
    assert [*flags, *last.flags] == whole.flags.tolist()
    assert [*thresholds, *last.thresholds] == whole.thresholds.tolist()
    assert whole.flags[[20, 64, 92]].all()


def test_edges_are_defined():
    constant = dynamic_decisions(np.full(30, 0.5))
    assert not constant.flags.any() and len(constant.flags) == 30 and np.isinf(constant.thresholds).all()
    assert len(dynamic_decisions([]).flags) == 0
    for bad in ([0.1, math.nan], [-0.1], [[0.1]]):
        with pytest.raises(UserError, match="finite and not negative"):
            dynamic_decisions(bad)
