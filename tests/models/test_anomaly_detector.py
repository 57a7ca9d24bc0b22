"""From errors to scores and flags, by numbers worked out by hand."""

import numpy as np
import pytest

from rnn_jax.errors import UserError
from rnn_jax.metrics.anomaly_thresholds import DynamicThreshold, after_normal, dynamic_decisions
from rnn_jax.models.anomaly_config import DetectorConfig
from rnn_jax.models.anomaly_detector import Detector, NormalErrors, fit_detector, fit_thresholds, mean_size, steady

NAN = np.nan


def normal_errors(*per_series):
    found = NormalErrors(len(per_series))
    for number, errors in enumerate(per_series):
        found.add(number, np.asarray(errors, float)[:, None], np.ones(len(errors), bool))
    return found


def test_gaussian_scores_are_deviations_from_the_normal_mean():
    """Errors −1 and 3 in turn: mean 1, deviation 2. The second series has too few: the Gaussian of both."""
    detector = fit_detector(normal_errors([-1, 3] * 5, [-1, 3]), DetectorConfig(quantile=0.5))
    for number in (0, 1):
        np.testing.assert_allclose(detector.scores(number, np.array([[1.0], [5.0], [-7.0]])), [0, 2, 4], rtol=1e-6)
    # All normal scores are 1: the threshold lies just above.
    assert not detector.thresholds.decide(0, np.ones(3)).flags.any()
    assert detector.thresholds.decide(0, np.array([1.0, 1.1])).flags.tolist() == [False, True]


def test_what_is_not_known_counts_as_the_mean():
    """Of two entries one unknown: the other's distance alone; of none known, the score of the row before."""
    errors = np.stack([[1, -1] * 6, [1, 1, -1, -1] * 3], axis=1)
    normal = NormalErrors(1)
    normal.add(0, errors, np.ones(12, bool))
    detector = fit_detector(normal, DetectorConfig())
    rows = np.array([[NAN, NAN], [3, NAN], [NAN, NAN], [3, 4]])
    np.testing.assert_allclose(detector.scores(0, rows), [0, 3, 3, 5], rtol=1e-6)


def test_smoothing_goes_over_gaps():
    """With span 3 an error weighs half of the one after it: (0.5 · 2 + 8) / 1.5 = 6; the unknown row keeps it."""
    np.testing.assert_allclose(steady(np.array([NAN, 2, 8, NAN, 0]), 3.0), [0, 2, 6, 6, 9 / 2 / 1.75])
    np.testing.assert_allclose(mean_size(np.array([[1, -3], [NAN, -3], [NAN, NAN]])), [2, 3, NAN])


def test_a_likelihood_compares_with_the_errors_before():
    """Of sizes 1, 3, 1, 3 the mean is 2, the deviation 1; 5 is three deviations out. Gaps are skipped."""
    detector = fit_detector(normal_errors([1, 3] * 5), DetectorConfig(score="likelihood"))
    scores = detector.scores(0, np.array([[-1.0], [3.0], [NAN], [1.0], [-3.0], [5.0]]))
    assert scores[0] == 0 and scores[2] == scores[1]
    assert scores[-1] == pytest.approx(3)


def test_thresholds_of_each_series_or_of_all():
    scores = [np.arange(10.0), np.arange(10.0) + 100, np.empty(0)]
    own = fit_thresholds(scores, DetectorConfig(quantile=0.5)).fixed
    np.testing.assert_allclose(own, [5, 105, 100], rtol=1e-12)  # without normal rows: those of all
    together = fit_thresholds(scores, DetectorConfig(quantile=0.5, threshold_by="all")).fixed
    np.testing.assert_allclose(together, [100] * 3, rtol=1e-12)
    with pytest.raises(UserError, match="no normal row"):
        fit_thresholds([np.empty(0)], DetectorConfig())


def test_dynamic_decisions_come_in_batches_and_are_those_of_the_whole():
    rng = np.random.default_rng(0)
    calm, scores = np.abs(rng.normal(size=60)), np.abs(rng.normal(size=50))
    scores[30:34] += 20
    config = DetectorConfig(
        score="smoothed", threshold="dynamic", dynamic_window=80, dynamic_batch=20, dynamic_buffer=2
    )
    rule = DynamicThreshold(80, 20, 2, config.dynamic_gap)
    expected = dynamic_decisions(scores, rule, after_normal(rule, calm))
    assert expected.flags[30:34].all() and expected.flags.sum() < 12
    thresholds = fit_thresholds([calm], config)
    stream = thresholds.stream(0)
    pieces = [stream.push(scores[i : i + 1]) for i in range(50)]
    assert [len(piece.flags) for piece in pieces].count(20) == 2
    np.testing.assert_array_equal(np.concatenate([piece.flags for piece in (*pieces, stream.finish())]), expected.flags)
    np.testing.assert_array_equal(thresholds.decide(0, scores).thresholds, expected.thresholds)


def test_a_detector_is_kept_and_read(tmp_path):
    config = DetectorConfig(threshold="dynamic")
    detector = fit_detector(normal_errors([-1, 3] * 5, [0, 1, 2]), config)
    detector.save(tmp_path, "fitted.json")
    read = Detector.load(tmp_path, "fitted.json")
    assert read == detector
    np.testing.assert_array_equal(read.thresholds.normal[1], detector.thresholds.normal[1])
