"""Scores from errors and from values alone: by scipy, scikit-learn, NumPy's definitions and by hand."""

import math

import numpy as np
import pytest
import scipy.signal
import scipy.stats
import sklearn.decomposition

from rnn_jax.errors import UserError
from rnn_jax.metrics.anomaly_baselines import (
    DEFAULT_PERIOD,
    constant_scores,
    fit_sub_pca,
    last_difference,
    period_of,
    random_scores,
)
from rnn_jax.metrics.anomaly_gaussian import fit_gaussian
from rnn_jax.metrics.windowed_gaussian import WindowedGaussian, windowed_gaussian


def test_surprise_is_the_negative_log_density():
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 3)) + [1.0, 0.0, -2.0]
    gaussian, errors = fit_gaussian(normal), rng.normal(size=(20, 3))
    mean, covariance = normal.mean(axis=0), np.cov(normal.T, bias=True)
    density = scipy.stats.multivariate_normal(mean, covariance)
    np.testing.assert_allclose(gaussian.surprise(errors), -density.logpdf(errors))
    centred = errors - mean
    squares = np.einsum("nd,de,ne->n", centred, np.linalg.inv(covariance), centred)
    np.testing.assert_allclose(gaussian.distance(errors), np.sqrt(squares))
    np.testing.assert_allclose(gaussian.surprise(errors[7]), gaussian.surprise(errors)[7])  # a stream: row by row


def test_errors_in_a_direction_without_variance_stand_out():
    """Two equal columns and a constant one: Σ is singular. Scores are finite, and highest where the law is broken."""
    column = np.random.default_rng(0).normal(size=100)
    gaussian = fit_gaussian(np.stack([column, column, np.zeros(100)], axis=1))
    along, across, constant = gaussian.distance([[2.0, 2.0, 0.0], [0.5, -0.5, 0.0], [0.0, 0.0, 0.5]])
    assert along < 4 and across > 100 and constant > 100 and math.isfinite(across)
    assert fit_gaussian(np.zeros((5, 2))).distance([3.0, 4.0]) == pytest.approx(5)


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        ([[1.0]], "at least 2 rows"),
        ([1.0, 2.0], "shape"),
        ([[1.0], [math.nan]], "1 of 2 .* the first in row 1"),
    ],
)
def test_errors_that_have_no_gaussian_are_refused(errors, message):
    with pytest.raises(UserError, match=message):
        fit_gaussian(errors)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_windowed_gaussian_by_its_definition(offset):
    """Window 10, step 4: rows 1 to 10 from all before, then from the last ten as of rows 10, 14, 18, …"""
    values = offset + np.random.default_rng(0).normal(size=40)
    expected = [0.0]
    for row in range(1, 40):
        known = row if row <= 10 else 10 + (row - 10) // 4 * 4
        past = values[max(known - 10, 0) : known]
        spread = past.std() or 1e-6
        expected.append(1 - scipy.stats.norm.sf(abs(values[row] - past.mean()) / spread))
    np.testing.assert_allclose(windowed_gaussian(values, 10, 4), expected, rtol=1e-7)
    state, streamed = WindowedGaussian(10, 4), []
    for value in values.tolist():
        score, state = state.score(value)
        streamed.append(score)
    np.testing.assert_array_equal(streamed, windowed_gaussian(values, 10, 4))


def test_windowed_gaussian_of_constant_values():
    assert windowed_gaussian([3, 3, 3, 4]).tolist() == [0, 0.5, 0.5, 1]
    with pytest.raises(UserError, match="nan is no number"):
        windowed_gaussian([1.0, math.nan])
    with pytest.raises(UserError, match="one series"):
        windowed_gaussian(np.zeros((3, 2)))


def test_scores_of_nothing():
    np.testing.assert_array_equal(random_scores(5, seed=3), random_scores(5, seed=3))
    assert (random_scores(5, seed=3) != random_scores(5, seed=4)).all()
    assert constant_scores(3).tolist() == [0, 0, 0]


def test_last_difference_by_hand():
    assert last_difference([1, 4, 2]).tolist() == [0, 3, 2]
    assert last_difference([[0, 0], [3, 4]]).tolist() == [0, 5]


@pytest.mark.parametrize("period", [7, 24, 168])
def test_the_period_of_a_season_is_found(period):
    series = np.sin(2 * np.pi * np.arange(2000) / period) + 0.1 * np.random.default_rng(0).normal(size=2000)
    assert abs(period_of(series) - period) <= 1
    centred = series - series.mean()
    correlation = scipy.signal.correlate(centred, centred)[1999:2400]
    peaks = scipy.signal.argrelextrema(correlation[3:], np.greater)[0] + 3
    assert period_of(series) == peaks[np.argmax(correlation[peaks])]


def test_without_a_period_there_is_a_default():
    for series in (np.full(50, 0.1), np.arange(100.0), [1.0], [1.0, 2.0]):
        assert period_of(series) == DEFAULT_PERIOD


def test_sub_pca_by_scikit_learn():
    rng = np.random.default_rng(0)
    train, test = np.cumsum(rng.normal(size=(2, 80)), axis=1)
    windows, others = (np.lib.stride_tricks.sliding_window_view(series, 6) for series in (train, test))
    mean, deviation = windows.mean(axis=0), windows.std(axis=0)
    pca = sklearn.decomposition.PCA().fit((windows - mean) / deviation)
    expected = np.zeros(len(others))
    for component, share in zip(pca.components_, pca.explained_variance_ratio_):
        expected += np.linalg.norm((others - mean) / deviation - component, axis=1) / share
    scores = fit_sub_pca(train, 6).scores(test)
    np.testing.assert_allclose(scores[3:-2], expected)
    assert (scores[:3] == scores[3]).all() and (scores[-2:] == scores[-3]).all()


def test_sub_pca_sees_a_break_in_the_season():
    rows = np.arange(600)
    series = np.stack([np.sin(rows / 3), np.cos(rows / 5)], axis=1) + 0.05 * np.random.default_rng(0).normal(
        size=(600, 2)
    )
    series[400:410, 1] += 3.0
    scores = fit_sub_pca(series[:300], 12).scores(series)
    assert 394 <= np.argmax(scores) <= 415


def test_what_has_no_windows_is_refused():
    for values, window, message in (
        ([1.0, 2.0], 3, "window=3: give 1 to 2"),
        ([1.0, 2.0], 2, "one window of 2 rows"),
        ([1.0, math.nan], 1, "1 of 2 rows are not finite, the first is row 1"),
        ([], 1, "shape"),
    ):
        with pytest.raises(UserError, match=message):
            fit_sub_pca(values, window)
    with pytest.raises(UserError, match="fitted on windows of 2 numbers, these have 4"):
        fit_sub_pca([1.0, 2.0, 4.0], 2).scores(np.zeros((5, 2)))
    assert np.isfinite(fit_sub_pca(np.ones(9), 3).scores(np.arange(9.0))).all()
