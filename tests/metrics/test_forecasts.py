"""Errors of forecasts, against numbers computed by hand and definitions written out as loops."""

import numpy as np
import pytest
from scipy import stats

from rnn_jax.metrics import forecasts as m

NAN = np.nan
# Two windows of two steps of one column; one truth is missing.
TARGET = np.array([[[1.0], [2.0]], [[4.0], [NAN]]])
FORECAST = np.array([[[2.0], [2.0]], [[1.0], [7.0]]])


def test_point_errors_by_hand():
    assert m.mse(FORECAST, TARGET) == pytest.approx((1 + 0 + 9) / 3)
    assert m.mae(FORECAST, TARGET) == pytest.approx(4 / 3)
    assert m.rmse(FORECAST, TARGET) == pytest.approx(np.sqrt(10 / 3))
    assert m.smape(FORECAST, TARGET) == pytest.approx((200 / 3 + 0 + 200 * 3 / 5) / 3)
    np.testing.assert_allclose(m.mae(FORECAST, TARGET, axis=(0, 2)), [2.0, 0.0])  # each step ahead
    np.testing.assert_allclose(m.mae(FORECAST, TARGET, axis=(1, 2)), [0.5, 3.0])  # each window


def test_smape_of_two_zeros_is_zero():
    assert m.smape(np.zeros((1, 1, 1)), np.zeros((1, 1, 1))) == 0.0


def test_what_is_masked_counts_nowhere():
    mask = np.array([[[True], [False]], [[False], [False]]])
    garbage = np.where(mask, FORECAST, np.inf)
    with np.errstate(invalid="ignore"):
        assert m.mse(garbage, TARGET, mask) == 1.0
    assert np.isnan(m.mae(FORECAST, TARGET, np.zeros_like(mask)))


def test_mase_and_owa_by_hand():
    history = np.array([1.0, 5.0, 2.0, 7.0, NAN, 4.0])  # a season of two: |2 − 1|, |7 − 5|, |4 − 7|
    scale = m.naive_scale(history[:, None], 2)
    np.testing.assert_allclose(scale, [2.0])
    assert m.mase(FORECAST, TARGET, scale) == pytest.approx(4 / 3 / 2)
    assert np.isnan(m.mase(FORECAST, TARGET, np.zeros(1)))  # a constant history defines none
    assert m.owa(9.0, 3.0, 18.0, 2.0) == pytest.approx((0.5 + 1.5) / 2)


def test_quantile_losses_by_hand():
    target = np.array([[[10.0]]])
    quantiles = np.array([[[[8.0, 11.0, 13.0]]]])
    losses = m.quantile_losses(quantiles, (0.1, 0.5, 0.9), target)
    np.testing.assert_allclose(losses[0, 0, 0], [0.1 * 2, 0.5 * 1, 0.1 * 3])
    assert m.quantile_loss(quantiles, (0.1, 0.5, 0.9), target) == pytest.approx(1.0 / 3)
    assert m.weighted_quantile_loss(quantiles, (0.1, 0.5, 0.9), target) == pytest.approx(2 * 1.0 / 3 / 10)


def test_crps_of_samples_is_its_definition():
    random = np.random.default_rng(0)
    samples, target = random.normal(size=(3, 2, 1, 7)), random.normal(size=(3, 2, 1))
    target[1, 0, 0] = NAN
    values = []
    for at in np.ndindex(target.shape):
        if not np.isnan(target[at]):
            x = samples[at]
            spread = np.mean([[abs(a - b) for b in x] for a in x])
            values.append(np.mean(np.abs(x - target[at])) - spread / 2)
    assert m.crps_of_samples(samples, target) == pytest.approx(np.mean(values), rel=1e-12)


def test_crps_of_many_quantiles_is_that_of_the_distribution():
    levels = (np.arange(2000) + 0.5) / 2000
    quantiles, y = stats.norm.ppf(levels), 0.7
    exact = y * (2 * stats.norm.cdf(y) - 1) + 2 * stats.norm.pdf(y) - 1 / np.sqrt(np.pi)  # Gneiting and Raftery, eq. 21
    found = m.crps_of_quantiles(quantiles[None, None, None], levels, np.full((1, 1, 1), y))
    assert found == pytest.approx(exact, rel=1e-3)


def test_coverage_counts_the_ends():
    target = np.array([[[1.0], [2.0], [3.0], [NAN]]])
    assert m.coverage(np.full_like(target, 2), np.full_like(target, 3), target) == pytest.approx(2 / 3)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_totals_of_batches_are_those_of_the_whole(batch_size):
    random = np.random.default_rng(1)
    target, forecast = random.normal(size=(2, 8, 4, 2)).astype(np.float32)
    mask = random.random(target.shape) < 0.7
    series = np.array([0, 1, 0, 2, 2, 2, 0, 0])
    totals = m.PointTotals.zero(4, 4)
    for start in range(0, 8, batch_size):
        part = slice(start, start + batch_size)
        totals = totals.add(forecast[part], np.where(mask, target, np.nan)[part], mask[part], series[part])
    errors = (forecast.astype(np.float64) - target)[mask]
    assert totals.summary()["mse"] == pytest.approx(np.mean(errors**2), rel=1e-9)
    assert totals.summary()["rmse"] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-9)
    for step in range(4):
        own = np.abs(forecast.astype(np.float64) - target)[:, step][mask[:, step]]
        assert totals.by_step()["mae"][step] == pytest.approx(own.mean(), rel=1e-9)
    own = np.abs(forecast.astype(np.float64) - target)[series == 2][mask[series == 2]]
    np.testing.assert_allclose(totals.by_series()["mae"][2], own.mean())
    assert np.isnan(totals.by_series()["mae"][3])  # a series that nobody forecast
