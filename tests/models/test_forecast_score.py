"""Scores of forecasts against plain loops over the rows of a table, and what is said of them."""

import dataclasses

import numpy as np
import pytest

from rnn_jax.data.series.reading import read_forecasting
from rnn_jax.data.series_config import SeriesConfig
from rnn_jax.models import forecast_score
from rnn_jax.models.backtest_config import BacktestConfig
from rnn_jax.models.forecast_report import report, verdict
from rnn_jax.models.rolling_origins import scored

LENGTH, HORIZON, SEASON = 6, 4, 3
ROWS, TRAIN, VALIDATION = 60, 30, 10  # the other 20 are for the test
LEVELS = (0.1, 0.5, 0.9)


@pytest.fixture
def values():
    """(60, 2): a season with a trend, and a walk; one value is missing."""
    rng = np.random.default_rng(0)
    steps = np.arange(ROWS)
    found = np.stack([10 + 0.1 * steps + 3 * (steps % SEASON), 50 + np.cumsum(rng.normal(size=ROWS))], axis=1)
    found[45, 1] = np.nan
    return np.round(found, 3)


@pytest.fixture
def config(values, tmp_path):
    file = tmp_path / "table.csv"
    rows = [f"{a},{'' if np.isnan(b) else b}" for a, b in values]
    file.write_text("\n".join(["load,price", *rows]) + "\n")
    return SeriesConfig(
        train_file=str(file),
        context_length=LENGTH,
        horizon=HORIZON,
        season=SEASON,
        split_rows=(TRAIN, VALIDATION, ROWS - TRAIN - VALIDATION),
    )


def half_of_the_last(function, batch, key):
    """A forecaster: half of the last value, scaled as it is; its quantiles lie one to either side."""
    del function, key
    point = np.repeat(0.5 * batch["past"][:, -1:], HORIZON, axis=1)
    return {"point": point, "quantiles": np.stack([point - 1, point, point + 1], axis=-1)}


def plain_windows(values):
    """First steps of all windows of the test part."""
    return range(TRAIN + VALIDATION, ROWS - HORIZON + 1)


def plain_errors(values, forecast_of):
    """Scaled errors and errors in units of every known value of every window, one after the other."""
    location, scale = np.nanmean(values[:TRAIN], axis=0), np.nanstd(values[:TRAIN], axis=0)
    scaled = (values - location) / scale
    errors = []
    for at in plain_windows(values):
        forecast = forecast_of(scaled, at)
        for step in range(HORIZON):
            for column in range(2):
                if not np.isnan(values[at + step, column]):
                    error = forecast[step, column] - scaled[at + step, column]
                    truth = values[at + step, column]
                    errors.append((error, error * scale[column], truth, truth + error * scale[column], column))
    return np.array(errors)


def half(scaled, at):
    last = np.where(np.isnan(scaled[at - 1]), 0, scaled[at - 1])  # what models read where a value is missing
    return np.repeat(0.5 * last[None], HORIZON, axis=0)


@pytest.mark.parametrize("batch_size", [1, 3, 256])
def test_every_window_counts_once(config, values, monkeypatch, batch_size):
    monkeypatch.setattr("rnn_jax.data.series.reading._SCORE_BATCH_SIZE", batch_size)
    part = read_forecasting(config, 0, None).parts["test"]
    found = forecast_score.score_part(half_of_the_last, part, LEVELS, 0, with_baselines=False)
    errors = plain_errors(values, half)
    assert len(part.windows) == len(plain_windows(values)) == 17
    summary = found.summary()
    assert summary["mse"] == pytest.approx(np.square(errors[:, 0]).mean(), rel=1e-5)
    assert summary["mae"] == pytest.approx(np.abs(errors[:, 0]).mean(), rel=1e-5)
    assert summary["rmse_units"] == pytest.approx(np.sqrt(np.square(errors[:, 1]).mean()), rel=1e-5)
    symmetric = 200 * np.abs(errors[:, 1]) / (np.abs(errors[:, 2]) + np.abs(errors[:, 3]))
    assert summary["smape"] == pytest.approx(symmetric.mean(), rel=1e-5)
    before = values[: TRAIN + VALIDATION]
    seasonal = np.nanmean(np.abs(before[SEASON:] - before[:-SEASON]), axis=0)
    relative = np.abs(errors[:, 1]) / seasonal[errors[:, 4].astype(int)]
    assert summary["mase"] == pytest.approx(relative.mean(), rel=1e-4)
    np.testing.assert_allclose(found.per_window.mean(), summary["mse"], rtol=0.05)  # but for the missing value


def test_quantiles_are_scored_in_units_and_their_interval_counted(config, values):
    part = read_forecasting(config, 0, None).parts["test"]
    summary = forecast_score.score_part(half_of_the_last, part, LEVELS, 0, with_baselines=False).summary()
    errors = plain_errors(values, half)
    scale = np.nanstd(values[:TRAIN], axis=0)[errors[:, 4].astype(int)]
    losses = []
    for level, shift in zip(LEVELS, (-1, 0, 1), strict=True):
        above = -(errors[:, 0] + shift)  # truth less quantile
        losses.append(np.maximum(level * above, (level - 1) * above) * scale)
    assert summary["quantile_loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert summary["coverage"] == pytest.approx((np.abs(errors[:, 0]) <= 1).mean())
    assert summary["crps"] == pytest.approx(2 * summary["quantile_loss"])


def test_naive_forecasts_are_those_of_a_loop(config, values):
    part = read_forecasting(config, 0, None).parts["test"]
    found = forecast_score.score_part(half_of_the_last, part, LEVELS, 0, with_baselines=True)
    assert set(found.errors) == {"model", "repeat_last", "seasonal_naive", "drift", "naive2", "linear"}

    def last_known(scaled, at, column, step=1):
        while np.isnan(scaled[at - step, column]):
            step += SEASON if step >= SEASON else 1
        return scaled[at - step, column]

    def repeat(scaled, at):
        return np.array([[last_known(scaled, at, column) for column in range(2)]] * HORIZON)

    def season(scaled, at):
        rows = [at - SEASON + step % SEASON for step in range(HORIZON)]
        back = lambda row, c: scaled[row, c] if not np.isnan(scaled[row, c]) else scaled[row - SEASON, c]  # noqa: E731
        return np.array([[back(row, column) for column in range(2)] for row in rows])

    for name, forecast_of in {"repeat_last": repeat, "seasonal_naive": season}.items():
        errors = plain_errors(values, forecast_of)
        assert found.errors[name].summary()["mse"] == pytest.approx(np.square(errors[:, 0]).mean(), rel=1e-4), name


def test_a_forecast_that_is_no_number_counts(config):
    """One value of one window, NaN: the model's errors are no numbers either, and the report says so."""
    part = read_forecasting(config, 0, None).parts["test"]
    calls = []

    def nearly(function, batch, key):
        found = half_of_the_last(function, batch, key)
        if not calls:
            found["point"][0, 1, 0] = found["quantiles"][0, 1, 0] = np.nan
        calls.append(key)
        return found

    scores = forecast_score.score_part(nearly, part, LEVELS, 0, with_baselines=True)
    summary = scores.summary()
    assert all(np.isnan(summary[name]) for name in ("mse", "mae_units", "smape", "mase", "owa", "quantile_loss"))
    assert np.isfinite(scores.errors["repeat_last"].summary()["mse"])
    assert np.isnan(scores.per_window).sum() == 1
    first = report(part, scores).splitlines()[0]
    assert first.startswith("test: THE MODEL'S FORECASTS ARE NOT ALL NUMBERS. The MSE of ".replace("test", part.name))


def test_the_first_line_says_who_wins(config):
    part = read_forecasting(config, 0, None).parts["test"]

    def said(forecaster):
        return forecast_score.score_part(forecaster, part, LEVELS, 0, with_baselines=True)

    def truth(function, batch, key):
        first = int(batch["weights"].sum())  # forecasters get no targets; this one knows the part
        return {"point": part.gather(np.arange(first))["target"]}

    lost = said(half_of_the_last)
    assert verdict("test", lost.errors).startswith("test: A NAIVE FORECAST WINS. The MSE of naive2 0.")
    assert report(part, lost).splitlines()[0] == verdict("test", lost.errors)
    won = said(truth)
    assert won.errors["model"].summary()["mse"] == 0
    assert verdict("test", won.errors).startswith("test: the model wins. Its MSE is 0, that of ")
    better = {name: errors for name, errors in lost.errors.items() if name not in ("seasonal_naive", "naive2")}
    better["linear"] = won.errors["model"]
    assert verdict("test", better).startswith("test: the linear forecast wins. The MSE of linear 0, of the model ")
    text = report(part, lost)
    assert "| seasonal naive |" in text and "| forecast | 1 | 2 | 3 | 4 |" in text and "The interval of 80%" in text


def test_origins_roll_back_from_the_end(config, values):
    part = read_forecasting(config, 0, None).parts["test"]
    metrics, scores = scored(half_of_the_last, part, BacktestConfig(backtest=3), LEVELS, is_final=True)
    origins = metrics["origins"]
    assert [(one["origin"], one["windows"]) for one in origins] == [(48, 1), (52, 1), (56, 1)]
    assert len(scores.per_window) == 3
    scale = np.nanstd(values[:TRAIN], axis=0)
    location = np.nanmean(values[:TRAIN], axis=0)
    scaled = (values - location) / scale
    for one in origins:
        at = one["origin"]
        assert one["mse"] == pytest.approx(np.square(half(scaled, at) - scaled[at : at + HORIZON]).mean(), rel=1e-5)
    closer, _ = scored(half_of_the_last, part, BacktestConfig(backtest=2, backtest_step=1), LEVELS, is_final=True)
    assert [one["origin"] for one in closer["origins"]] == [55, 56]


def test_published_tables_drop_the_last_batch(config):
    part = read_forecasting(config, 0, None).parts["test"]
    metrics, scores = scored(half_of_the_last, part, BacktestConfig(published_batch_size=5), LEVELS, is_final=True)
    assert metrics["windows_left_out"] == 17 % 5
    known = scores.per_window[:15]
    counts = np.full(15, 8.0)
    counts[2:6] = 7  # the windows that the missing value is in
    assert metrics["mse_published"] == pytest.approx((known * counts).sum() / counts.sum(), rel=1e-5)
    assert metrics["mse_published"] != metrics["mse"]


def test_during_training_only_the_model_is_scored(config):
    part = read_forecasting(config, 0, None).parts["validation"]
    metrics, scores = scored(half_of_the_last, part, BacktestConfig(published_batch_size=5), LEVELS, is_final=False)
    assert set(scores.errors) == {"model"}
    assert set(metrics) == {
        *("mse", "mae", "mse_units", "mae_units", "rmse_units", "smape", "mase"),
        *("quantile_loss", "crps", "coverage"),
    }


def test_a_history_longer_than_the_look_back_has_the_season(config, values):
    """A look-back of 2 rows: the season of 3 is taken from the rows before it; of a missing value, the one before."""
    short = dataclasses.replace(config, context_length=2)
    part = read_forecasting(short, 0, None).parts["test"]
    found = forecast_score.score_part(half_of_the_last, part, LEVELS, 0, with_baselines=True)
    long = read_forecasting(config, 0, None).parts["test"]
    same = forecast_score.score_part(half_of_the_last, long, LEVELS, 0, with_baselines=True)
    assert found.errors["seasonal_naive"].summary() == same.errors["seasonal_naive"].summary()


def test_logarithms_are_scored_in_units(config, values):
    part = read_forecasting(dataclasses.replace(config, transform="log"), 0, None).parts["test"]
    summary = forecast_score.score_part(half_of_the_last, part, LEVELS, 0, with_baselines=True).summary()
    logs = np.log(values)
    location, scale = np.nanmean(logs[:TRAIN], axis=0), np.nanstd(logs[:TRAIN], axis=0)
    scaled, errors, losses = (logs - location) / scale, [], []
    for at in plain_windows(values):
        forecast, truth = half(scaled, at), values[at : at + HORIZON]
        errors.append(np.exp(forecast * scale + location) - truth)
        for level, shift in zip(LEVELS, (-1, 0, 1), strict=True):
            above = truth - np.exp((forecast + shift) * scale + location)
            losses.append(np.maximum(level * above, (level - 1) * above))
    assert summary["mae_units"] == pytest.approx(np.nanmean(np.abs(errors)), rel=1e-5)
    assert summary["quantile_loss"] == pytest.approx(np.nanmean(losses), rel=1e-5)
