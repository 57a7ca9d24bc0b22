"""Forecasts without training, against numbers by hand and loops."""

import numpy as np
import pytest

from rnn_jax.data.series import seasonal

NAN = np.nan
HISTORY = np.array([[1.0, 4.0, 2.0, NAN, 3.0, 9.0, NAN]])[..., None]


def test_naive_forecasts_by_hand():
    np.testing.assert_allclose(seasonal.repeat_last(HISTORY, 2)[0, :, 0], [9, 9])
    # Seasons of three, from the end: (4, 2, –) and (3, 9, –); a step that no season has is the last value.
    np.testing.assert_allclose(seasonal.seasonal_naive(HISTORY, 3, 5)[0, :, 0], [3, 9, 9, 3, 9])
    np.testing.assert_allclose(seasonal.seasonal_naive(HISTORY, 4, 5)[0, :, 0], [9, 3, 9, 9, 9])
    np.testing.assert_allclose(seasonal.seasonal_naive(HISTORY, 8, 2)[0, :, 0], [9, 9])  # shorter than a season
    slope = (9 - 1) / 5  # from step 1 to step 6; the forecast begins two steps later
    np.testing.assert_allclose(seasonal.drift(HISTORY, 2)[0, :, 0], [9 + 2 * slope, 9 + 3 * slope])
    assert np.isnan(seasonal.repeat_last(np.full((1, 3, 1), NAN), 2)).all()


def test_the_last_season_is_repeated_in_every_row_and_column():
    history = np.random.default_rng(0).normal(size=(3, 11, 2))
    found = seasonal.seasonal_naive(history, 4, 6)
    for b, h, c in np.ndindex(found.shape):
        assert found[b, h, c] == history[b, 11 - 4 + h % 4, c]


def test_seasonal_index_by_hand():
    """Trend of (2, 6, 4, 10) with weights ¼ ½ ¼: (–, 4.5, 6, –); ratios 4/6 for even steps, 6/4.5 for odd ones."""
    np.testing.assert_allclose(seasonal.seasonal_index(np.array([2.0, 6.0, 4.0, 10.0]), 2), [2 / 3, 4 / 3])
    np.testing.assert_allclose(seasonal.seasonal_index(np.tile([1.0, 2.0, 6.0], 4), 3), [1 / 3, 2 / 3, 2])


def test_naive2_goes_on_with_the_season():
    """Of a series with a season alone it is the series, wherever in a season that ends."""
    season = np.array([1.0, 2.0, 6.0, 3.0])
    series = np.tile(season, 12)
    np.testing.assert_allclose(seasonal.naive2(series[:37], 4, 8), series[37:45], rtol=1e-9)
    np.testing.assert_allclose(seasonal.naive2(-series, 4, 3), [-3, -3, -3])  # not positive: no ratios
    np.testing.assert_allclose(seasonal.naive2(np.full(30, 5.0), 4, 3), [5, 5, 5])


@pytest.mark.parametrize("strength", [0.0, 0.2, 0.4, 0.6, 2.0])
def test_the_test_for_seasons_is_that_of_m4(strength):
    """The competition's own code, as a loop: r_k of k = 1 … m, and the limit with the squares of those before m."""
    random = np.random.default_rng(5)
    series, m = 10 + random.normal(size=60) + strength * np.sin(2 * np.pi * np.arange(60) / 6), 6

    def acf(k):
        mean = series.mean()
        above = sum((series[t] - mean) * (series[t - k] - mean) for t in range(k, 60))
        return above / sum((value - mean) ** 2 for value in series)

    limit = 1.645 * ((1 + 2 * sum(acf(k) ** 2 for k in range(1, m))) / 60) ** 0.5
    assert seasonal.has_season(series, m) == (abs(acf(m)) > limit)


def test_too_short_for_a_season():
    series = np.tile([1.0, 2.0, 6.0, 3.0], 12)
    assert seasonal.has_season(series, 4)
    assert not seasonal.has_season(series[:11], 4)
    assert not seasonal.has_season(np.tile(np.arange(1.0, 25.0), 3), 24)  # acf() of 72 values looks at 18 lags
