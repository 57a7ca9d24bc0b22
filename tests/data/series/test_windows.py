"""Windows of series, against a loop over them; that every one counts once, in batches of any size."""

import numpy as np
import pytest
from data.series.made import hourly, whole

from rnn_jax.data.series.calendar import calendar_features
from rnn_jax.data.series.codec import fit_series_codec
from rnn_jax.data.series.timeline import Timeline
from rnn_jax.data.series.windows import SeriesWindows, in_order, windows_after, windows_of
from rnn_jax.data.series_config import SeriesConfig
from rnn_jax.errors import UserError
from rnn_jax.metrics.forecasts import PointTotals

CONFIG = SeriesConfig(context_length=8, horizon=4, calendar=("hour",), scale_by="series")


def made(parts, config=CONFIG):
    codec, _ = fit_series_codec(parts, config)
    return Timeline(parts.data.series, codec, config.context_length, config.horizon), codec


def test_windows_are_counted_and_their_targets_lie_in_their_part(two_series):
    for part, (begin, end), (begin_b, end_b) in (
        ("train", (0, 30), (0, 15)),
        ("validation", (30, 45), (15, 20)),
        ("test", (45, 60), (20, 25)),
    ):
        windows = windows_of(two_series, part, 8, 4)
        expected = [(0, at) for at in range(60) if at >= 8 and begin <= at and at + 4 <= end]
        expected += [(1, at) for at in range(25) if at >= 8 and begin_b <= at and at + 4 <= end_b]
        assert list(zip(windows.series, windows.at, strict=True)) == expected
        assert not windows.notes


def test_strides_padding_and_what_gives_no_window(two_series):
    assert windows_of(two_series, "train", 8, 4, stride=5).at.tolist() == [8, 13, 18, 23, 8]
    assert windows_of(two_series, "train", 8, 4, pad_context=True).at.tolist()[:3] == [1, 2, 3]
    none = windows_of(two_series, "test", 22, 4)
    assert none.series.tolist() == [0] * 12
    assert none.notes == ("test: 1 of 2 series give no window: 1 fewer than --context_length=22 before a forecast"
                          " (see --pad_context).",)  # fmt: skip
    (note,) = windows_of(two_series, "test", 8, 6).notes
    assert "1 have fewer than --horizon=6 rows there" in note


def test_gathered_windows_are_those_of_a_loop(two_series):
    """In the units of the data, with what is before a series and what only fills the batch missing."""
    timeline, codec = made(two_series)
    series, at = np.array([0, 1, 1, -1]), np.array([45, 3, 21, 7])
    batch = timeline.gather(series, at)
    assert batch["weights"].tolist() == [1, 1, 1, 0]
    for b, (i, first) in enumerate(zip(series, at, strict=True)):
        if i < 0:
            assert not any(
                batch[name][b].any() for name in ("past", "past_mask", "past_features", "target_mask", "target")
            )
            continue
        one = two_series.data.series[i]
        location, scale = batch["location"][b], batch["scale"][b]
        for name, start, length in (("past", first - 8, 8), ("target", first, 4)):
            for step in range(length):
                row = start + step
                expected = one.values[row] if 0 <= row < len(one) else np.full(2, np.nan)
                known = ~np.isnan(expected)
                np.testing.assert_array_equal(batch[f"{name}_mask"][b, step], known)
                in_units = batch[name][b, step] * scale + location
                np.testing.assert_allclose(in_units[known], expected[known], rtol=1e-5)
                assert not batch[name][b, step][~known].any()
        row = first - 1
        hour = calendar_features(one.times[row : row + 1], ("hour",))[0]
        np.testing.assert_allclose(batch["past_features"][b, -1, :2], hour, atol=1e-6)
        future = (one.future[row] - codec.future_scaler.location) / codec.future_scaler.scale
        past = (one.past[row] - codec.past_scaler.location) / codec.past_scaler.scale
        np.testing.assert_allclose(batch["past_features"][b, -1, 2:], [*future, *past], rtol=1e-5)
        np.testing.assert_allclose(batch["future_features"][b, 0, 2:4],
                                   (one.future[first] - codec.future_scaler.location) / codec.future_scaler.scale,
                                   rtol=1e-5)  # fmt: skip
    assert batch["past_features"].shape == (4, 8, codec.num_features)
    assert batch["future_features"].shape == (4, 4, codec.num_future)
    assert {batch[name].dtype for name in ("past", "past_features", "static", "target", "scale")} == {
        np.dtype("float32")
    }


@pytest.mark.parametrize("batch_size", [1, 32, 256])
def test_scores_do_not_depend_on_the_batch_size(two_series, batch_size):
    """Those of repeat-last over all windows of the test part, against a loop."""
    timeline, _ = made(two_series)
    windows = windows_of(two_series, "test", 8, 4)
    totals, seen = PointTotals.zero(4, 2), []
    for rows, batch in in_order(timeline, windows, batch_size):
        forecast = np.repeat(batch["past"][:, -1:], 4, axis=1)
        totals = totals.add(forecast, batch["target"], batch["target_mask"], batch["series"])
        seen += rows[rows >= 0].tolist()
        assert len(batch["weights"]) == batch_size
        assert batch["weights"].sum() == (rows >= 0).sum()
    assert seen == list(range(len(windows)))
    errors = []
    for i, at in zip(windows.series, windows.at, strict=True):
        one = two_series.data.series[i]
        scaled = (one.values - timeline.location[i]) / timeline.scale[i]
        last = np.nan_to_num(scaled[at - 1])
        errors += [e for e in (scaled[at : at + 4] - last).ravel() if not np.isnan(e)]
    assert totals.summary()["mse"] == pytest.approx(np.mean(np.square(errors)), rel=1e-5)
    assert totals.summary()["mae"] == pytest.approx(np.mean(np.abs(errors)), rel=1e-5)


def test_an_epoch_holds_every_training_window_once(two_series):
    timeline, _ = made(two_series)
    windows = windows_of(two_series, "train", 8, 4)
    source = SeriesWindows(timeline, windows, 7, seed=3)
    first = [source.batch(step) for step in range(source.steps_per_epoch)]
    assert sum(batch["weights"].sum() for batch in first) == len(windows) == 19 + 4
    expected = sorted(
        float(timeline.gather(windows.series, windows.at)["target"].sum(axis=(1, 2))[i]) for i in range(23)
    )
    found = sorted(float(t) for b in first for t, w in zip(b["target"].sum(axis=(1, 2)), b["weights"]) if w)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    again = SeriesWindows(timeline, windows, 7, seed=3).batch(5)
    np.testing.assert_array_equal(source.batch(5)["past"], again["past"])
    assert not np.array_equal(source.batch(4)["series"], SeriesWindows(timeline, windows, 7, seed=4).batch(4)["series"])


def test_the_digest_notices_a_changed_value(two_series):
    timeline, _ = made(two_series)
    windows = windows_of(two_series, "train", 8, 4)
    digest = SeriesWindows(timeline, windows, 7, seed=0).digest()
    assert SeriesWindows(made(two_series)[0], windows, 9, seed=5).digest() == digest
    two_series.data.series[0].values[3, 0] = 17.0
    assert SeriesWindows(made(two_series)[0], windows, 7, seed=0).digest() != digest


def test_a_forecast_after_the_last_row():
    parts = whole(hourly(40, "a"), hourly(23, "b"), bounds=[[0, 20, 30, 40], [0, 15, 20, 23]])
    timeline, codec = made(parts)
    windows = windows_after(timeline)
    assert windows.at.tolist() == [40, 23]
    batch = timeline.gather(windows.series, windows.at)
    assert not batch["target_mask"].any()
    to_come = codec.times(parts.data.series[1], 27)[23:]
    assert to_come[0] == parts.data.series[1].times[-1] + np.timedelta64(1, "h")
    np.testing.assert_allclose(batch["future_features"][1], calendar_features(to_come, ("hour",)), atol=1e-6)


def test_what_is_known_in_advance_must_be_there(two_series):
    _, codec = made(two_series)
    with pytest.raises(UserError, match=r"needs k0, k1 .* step 1 after the last value .*'b' \(2020-01-02 01:00\)"):
        codec.require_future(two_series.data.series[1], 4)


def test_nothing_to_train_on(two_series):
    timeline, _ = made(two_series)
    with pytest.raises(UserError, match="--context_length=8 and --horizon=4"):
        SeriesWindows(timeline, windows_of(two_series, "train", 30, 4), 7, seed=0)
