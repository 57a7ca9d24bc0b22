"""NAB's score by hand and by the definition in plain loops."""

import math

import numpy as np
import pytest

from rnn_jax.errors import UserError
from rnn_jax.metrics.anomaly_spans import marks_of, spans_of
from rnn_jax.metrics.nab_score import PROFILES, NabFile, best_nab_score, nab_score, probationary_rows

WINDOW = marks_of([[8, 12]], 20)  # of 20 rows, 3 of them probationary
STANDARD, LOW_FP, LOW_FN = PROFILES["standard"], PROFILES["reward_low_FP"], PROFILES["reward_low_FN"]


def detections(*rows):
    return [NabFile(WINDOW, np.isin(np.arange(20), rows).astype(float))]


def sigmoid(x):
    return 2 / (1 + math.exp(5 * x)) - 1


def test_by_hand():
    """Row 9 is found at −3/4 of the window; row 14 is false, (14 − 11)/(4 − 1) = 1 window behind: −0.98661 · 0.11."""
    found, false = 0.954045 / 0.986614, -0.986614
    assert nab_score(detections(9, 14), 0.5) == pytest.approx(50 * (found + 0.11 * false + 1), abs=1e-3)
    assert nab_score(detections(9, 14), 0.5, LOW_FP) == pytest.approx(50 * (found + 0.22 * false + 1), abs=1e-3)
    assert nab_score(detections(9, 14), 0.5, LOW_FN) == pytest.approx(100 / 3 * (found + 0.11 * false + 2), abs=1e-3)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_nothing_and_perfection(profile):
    assert nab_score(detections(), 0.5, profile) == pytest.approx(0)
    assert nab_score(detections(8), 0.5, profile) == pytest.approx(100)
    assert nab_score(detections(8, 9, 10, 11), 0.5, profile) == pytest.approx(100)  # the best one of a window counts
    assert nab_score(detections(0, 1, 2, 8), 0.5, profile) == pytest.approx(100)  # probation


def test_earlier_is_better_and_far_off_is_worst():
    scores = [nab_score(detections(row), 0.5) for row in (8, 9, 10, 11, 12, 13, 19, 7)]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] == pytest.approx(50 * -0.11)  # no window before it


def test_probation_ends_at_750_rows():
    assert [probationary_rows(rows) for rows in (6, 20, 4032, 5000, 22695)] == [0, 3, 604, 750, 750]


def plain_score(files, threshold, profile):
    """Row by row, as NAB's sweeper does it."""
    raw, count = 0.0, 0
    for windows, scores in files:
        rows, spans = len(windows), spans_of(windows).tolist()
        best = {}
        for row in range(min(math.floor(0.15 * rows), 750), rows):
            current = [span for span in spans if span[0] <= row < span[1]]
            previous = [span for span in spans if span[1] <= row]
            detected = scores[row] >= threshold
            if current:
                start, stop = current[0]
                value = sigmoid(-(stop - row) / (stop - start)) / sigmoid(-1) * profile.found
                best[start] = max(best.get(start, -profile.missed), value if detected else -profile.missed)
            elif detected and previous:
                start, stop = previous[-1]
                behind = (row - stop + 1) / max(stop - start - 1, 1)
                raw += profile.false * (sigmoid(behind) if behind <= 3 else -1)
            elif detected:
                raw -= profile.false
        raw, count = raw + sum(best.values()), count + len(best)
    return 100 * (raw + profile.missed * count) / ((profile.found + profile.missed) * count)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@pytest.mark.parametrize("seed", range(3))
def test_by_plain_loops(seed, profile):
    rng = np.random.default_rng(seed)
    files = []
    for rows in (40, 70):
        windows = marks_of([[start, start + rng.integers(1, 9)] for start in rng.integers(0, rows, 3)], rows)
        files.append(NabFile(windows, rng.integers(0, 12, rows) / 11))
    thresholds = [2.0, *np.arange(12) / 11]
    plain = [plain_score(files, threshold, profile) for threshold in thresholds]
    assert [nab_score(files, threshold, profile) for threshold in thresholds] == pytest.approx(plain)
    best = best_nab_score(files, profile)
    assert best.score == pytest.approx(max(plain))
    assert nab_score(files, best.threshold, profile) == pytest.approx(best.score)


def test_the_best_threshold_may_be_to_detect_nothing():
    """All rows but those of the window have higher scores: 36 false detections cost more than one found earns."""
    files = [NabFile(marks_of([[35, 36]], 41), marks_of([[0, 35], [36, 41]], 41).astype(float))]
    assert best_nab_score(files) == (0.0, math.inf)


def test_edges_are_defined():
    assert math.isnan(nab_score([NabFile(np.zeros(10), np.zeros(10))], 0.5))
    assert math.isnan(nab_score([NabFile([1, 1] + [0] * 18, np.zeros(20))], 0.5))  # over before probation is
    with pytest.raises(UserError, match="1 of 2 scores are NaN"):
        nab_score([NabFile([0, 1], [0.0, math.nan])], 0.5)
    with pytest.raises(UserError, match="no file to score"):
        best_nab_score([])
