"""Pictures of forecasts: what stands in which panel."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from rnn_jax.models.forecast_pictures import DrawnForecast
from rnn_jax.training import forecast_plots
from rnn_jax.training.forecast_plots import plot_forecasts, plot_steps_ahead

HOURS = np.datetime64("2024-03-01T00") + np.arange(20)


@pytest.fixture
def axes_of(monkeypatch, tmp_path):
    """What a picture consists of, caught before it becomes pixels."""
    caught = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **kw: (caught.append(self), save(self, *args, **kw))[1])

    def draw(plot, *arguments):
        assert plot(*arguments, tmp_path / "picture.png")
        return caught[-1].axes

    return draw


def lines_of(axes):
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def test_a_window_shows_history_forecast_interval_and_truth(axes_of):
    forecast = np.arange(4.0)
    one = DrawnForecast("the best", HOURS, np.arange(16.0), forecast, forecast + 1, (forecast - 2, forecast + 2), 0.8)
    (axes,) = axes_of(plot_forecasts, [one])
    lines = lines_of(axes)
    assert set(lines) == {"history", "truth", "forecast"} and axes.get_title() == "the best"
    np.testing.assert_array_equal(lines["history"].get_ydata(), np.arange(4.0, 16.0))  # three horizons of it
    np.testing.assert_array_equal(lines["forecast"].get_ydata(), forecast)
    np.testing.assert_array_equal(lines["truth"].get_ydata(), forecast + 1)
    assert (lines["forecast"].get_xdata() == HOURS[16:]).all()
    (band,) = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert band.get_label() == "80% interval" and (heights.min(), heights.max()) == (-2, 5)


def test_it_can_be_looked_at(tmp_path, rendered):
    one = DrawnForecast("one", HOURS, np.arange(16.0), np.arange(4.0), np.ones(4), (np.zeros(4), 2 * np.ones(4)), 0.8)
    assert plot_forecasts([one] * 3, tmp_path / "three.png")
    assert len(np.unique(imread(tmp_path / "three.png").reshape(-1, 4), axis=0)) > 20


def test_after_the_last_row_there_is_no_truth(axes_of):
    """Two windows side by side; a horizon of one step is a point."""
    later = DrawnForecast("next", np.arange(5), np.array([1.0, np.nan, 2.0, 3.0]), np.array([4.0]))
    first, second = axes_of(plot_forecasts, [later, later._replace(title="other")])
    assert set(lines_of(first)) == {"history", "forecast"} and lines_of(first)["forecast"].get_marker() == "."
    assert not first.collections and second.get_title() == "other"


def test_the_model_stands_out_among_the_errors_of_each_step(axes_of):
    errors = {"this model": np.array([1.0, 2.0]), "repeat last": np.array([1.5, 4.0])}
    (axes,) = axes_of(plot_steps_ahead, errors, "MSE")
    model, naive = axes.lines
    assert [line.get_label() for line in (model, naive)] == list(errors) and axes.get_ylabel() == "MSE"
    np.testing.assert_array_equal(naive.get_xdata(), [1, 2])
    assert model.get_linewidth() > naive.get_linewidth() and axes.get_ylim()[0] == 0


def test_a_picture_that_fails_ends_nothing(tmp_path, caplog):
    assert forecast_plots.plot_forecasts([], tmp_path / "none.png") is False
    assert not list(tmp_path.iterdir()) and "could not draw" in caplog.text
