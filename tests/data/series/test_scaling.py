"""Scales know training rows only, and come back as they were kept."""

import dataclasses

import numpy as np
import pytest
from data.series.made import hourly, whole

from rnn_jax.data.series.codec import SeriesCodec, fit_series_codec
from rnn_jax.data.series.scaling import fit_scaler, fit_static
from rnn_jax.data.series.series import Columns, Series
from rnn_jax.data.series_config import SeriesConfig
from rnn_jax.errors import UserError

NAN = np.nan
A = np.array([[1.0, 5.0, NAN], [3.0, 5.0, NAN], [NAN, 5.0, NAN]])
B = np.array([[5.0, 5.0, NAN]])


def test_statistics_by_hand():
    scaler, notes = fit_scaler([A, B], ["a", "b"], "standard", "column", ["x", "flat", "none"])
    np.testing.assert_allclose(scaler.location, [3, 5, 0])
    np.testing.assert_allclose(scaler.scale, [np.sqrt(8 / 3), 1, 1])
    assert notes == [
        "Scaling: no training values: none; the scale is 1.",
        "Scaling: the same value in all training rows: flat; the scale is 1.",
    ]
    mean_abs, _ = fit_scaler([-A, B], ["a", "b"], "mean_abs", "column", ["x", "flat", "none"])
    np.testing.assert_allclose(mean_abs.scale, [3, 5, 1])
    np.testing.assert_allclose(mean_abs.location, 0)
    none, _ = fit_scaler([A, B], ["a", "b"], "none", "series", ["x", "flat", "none"])
    np.testing.assert_allclose(none.of("a", A), [[0, 0, 0], [1, 1, 1]])


def test_each_series_by_itself_and_new_ones_by_their_own_values():
    empty = np.full((0, 3), NAN)
    scaler, notes = fit_scaler([A, B, empty], ["a", "b", "c"], "mean_abs", "series", ["x", "y", "z"])
    np.testing.assert_allclose(scaler.of("a", B)[1], [2, 5, 1])
    np.testing.assert_allclose(scaler.of("b", A)[1], [5, 5, 1])
    np.testing.assert_allclose(scaler.of("c", A)[1], [3, 5, 1])  # no training rows: the scale of all
    np.testing.assert_allclose(scaler.of("new", 10 * A)[1], [20, 50, 1])
    assert notes[0].startswith("Scaling: 1 series have no training values")


def test_logarithms_are_scaled_and_come_back_in_units():
    x = np.array([[1.0], [np.e], [np.e**2], [NAN]])
    scaler, _ = fit_scaler([x], ["a"], "standard", "series", ["x"], "log")
    location, scale = scaler.of("a", x)
    np.testing.assert_allclose([location[0], scale[0]], [1, np.sqrt(2 / 3)])
    np.testing.assert_allclose(scaler.scaled(np.array([[np.e**3]]), location, scale), [[2 / np.sqrt(2 / 3)]])
    np.testing.assert_allclose(
        scaler.in_units(np.array([[0.0], [1.0]]), location, scale)[:, 0], [np.e, np.e**1.8164966]
    )
    np.testing.assert_allclose(scaler.of("new", x**2)[0], [2])  # of its own logarithms


def test_what_has_no_logarithm_is_named():
    series = dataclasses.replace(hourly(40, "b"), values=np.full((40, 2), 3.0))
    series.values[7, 1] = 0
    with pytest.raises(
        UserError, match=r"--transform=log is of positive values, and y1 is 0 in row 8 of the series 'b'"
    ):
        fit_series_codec(whole(series, bounds=[[0, 20, 30, 40]]), SeriesConfig(transform="log"))


@pytest.mark.parametrize("by", ["column", "series"])
def test_later_rows_change_nothing(by):
    def fitted(last):
        series = hourly(40, "a", past=1, future=1)
        for array in (series.values, series.past, series.future):
            array[20:] += last
        parts = whole(series, hourly(40, "b", past=1, future=1), bounds=[[0, 20, 30, 40], [0, 20, 30, 40]])
        return fit_series_codec(parts, SeriesConfig(scale_by=by))[0]

    assert fitted(0.0) == fitted(1e6)
    changed = hourly(40, "a", past=1, future=1)
    changed.values[19] += 1.0  # the last row that counts
    parts = whole(changed, hourly(40, "b", past=1, future=1), bounds=[[0, 20, 30, 40], [0, 20, 30, 40]])
    assert fitted(0.0) != fit_series_codec(parts, SeriesConfig(scale_by=by))[0]


def test_statics_are_numbers():
    rows = [(1.0, "red"), (3.0, "blue"), (NAN, "red")]
    series = [Series(str(i), A, None, A[:, :0], A[:, :0], row) for i, row in enumerate(rows)]
    static = fit_static(series, Columns(("y",), static=("size", "colour")))
    assert static.size == 3
    np.testing.assert_allclose(static.encode((3.0, "blue")), [1, 1, 0])
    np.testing.assert_allclose(static.encode((NAN, "green")), [0, 0, 0])


def test_the_codec_is_kept_whole(tmp_path):
    series = [dataclasses.replace(hourly(40, i, seed=n), static=(i, 2.0)) for n, i in enumerate("ab")]
    parts = whole(*series, bounds=[[0, 20, 30, 40]] * 2)
    columns = parts.data.columns._replace(static=("name", "size"))
    parts = parts._replace(data=dataclasses.replace(parts.data, columns=columns))
    codec, notes = fit_series_codec(parts, SeriesConfig(scale_by="series", calendar=("auto",)))
    codec.save(tmp_path)
    loaded = SeriesCodec.load(tmp_path)
    assert loaded == codec
    assert loaded.columns == columns
    assert (loaded.season, loaded.step.text, loaded.calendar) == (24, "h", ("hour", "weekday", "yearday"))
    np.testing.assert_array_equal(loaded.features(series[1], 3), codec.features(series[1], 3))
    assert notes == ("A season is 24 steps (--season says another).",)
