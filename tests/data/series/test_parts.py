"""Parts in time: cut from one series, or joined from files and splits of datasets."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from data.builders import prepare

from rnn_jax.data.series.calendar import calendar_features, resolve_calendar
from rnn_jax.data.series.codec import fit_series_codec, read_like
from rnn_jax.data.series.frequency import Frequency
from rnn_jax.data.series.from_dataset import read_series_split
from rnn_jax.data.series.parts import read_series, read_series_parts
from rnn_jax.data.series_config import SeriesConfig
from rnn_jax.errors import UserError

HOUR, START = 3600, 1467331200


def tensor(*shape, dtype=np.float32):
    return tfds.features.Tensor(shape=shape, dtype=dtype)


def long_series(first, length):
    values = np.arange(first, first + length, dtype=np.float32)
    return [
        {"series": np.stack([values, -values], axis=1), "timestamp": START + HOUR * np.arange(first, first + length)}
    ]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    features = {"series": tensor(None, 2), "timestamp": tensor(None, dtype=np.int64)}
    splits = {"train": long_series(0, 50), "validation": long_series(50, 20), "test": long_series(70, 30)}
    prepare(folder, "long", features, splits | {"full": long_series(0, 100)})
    gap = {"train": long_series(0, 50), "test": long_series(55, 20), "overlapping": long_series(49, 5)}
    prepare(folder, "gap", features, gap)
    rows = {n: {"id": n, "series": np.arange(k, dtype=np.float32)} for n, k in (("a", 30), ("b", 40), ("c", 50))}
    tests = [{"id": n, "series": np.full(6, 9, np.float32)} for n in ("c", "a", "d")]
    prepare(
        folder, "many", {"id": tfds.features.Text(), "series": tensor(None)}, {"train": [*rows.values()], "test": tests}
    )
    two = {"x": tensor(None), "y": tensor(None), "count": tensor(None, dtype=np.int64), "note": tfds.features.Text()}
    example = {"x": np.ones(5, np.float32), "y": np.zeros(5, np.float32), "count": np.arange(5), "note": "n"}
    prepare(folder, "two_values", two, {"train": [example]})
    prepare(folder, "texts", {"text": tfds.features.Text()}, {"train": [{"text": "t"}]})
    return str(folder)


def config(data_dir, dataset, **knobs):
    return SeriesConfig(dataset=dataset, data_dir=data_dir, **{"horizon": 4, "context_length": 8, **knobs})


def test_splits_that_adjoin_are_one_series(data_dir):
    parts = read_series_parts(config(data_dir, "long"))
    (series,) = parts.data.series
    np.testing.assert_array_equal(series.values[:, 1], -np.arange(100.0))
    assert parts.bounds.tolist() == [[0, 50, 70, 100]]
    assert np.diff(series.times).astype(int).tolist() == [HOUR * 10**6] * 99
    assert parts.notes[-1].startswith("In time: train 50 rows until 2016-07-03 01:00, validation 20 rows until")


def test_one_split_is_cut_as_asked(data_dir):
    cut = config(data_dir, "long", train_split="full", split_rows=(60, 25, 10))
    assert read_series_parts(cut).bounds.tolist() == [[0, 60, 85, 95]]
    with pytest.raises(UserError, match="100 rows, and 120 are asked for"):
        read_series_parts(config(data_dir, "long", train_split="full", split_rows=(100, 10, 10)))
    with pytest.raises(UserError, match="three numbers"):
        read_series_parts(config(data_dir, "long", split_rows=(100,)))


def test_series_of_one_id_belong_together(data_dir):
    parts = read_series_parts(config(data_dir, "many"))
    assert [one.id for one in parts.data.series] == ["a", "b", "c", "d"]
    assert parts.bounds.tolist() == [[0, 26, 30, 36], [0, 36, 40, 40], [0, 45, 50, 56], [0, 0, 0, 6]]
    assert parts.data.series[2].values[-6:, 0].tolist() == [9.0] * 6
    assert any("1 of 3 series do not go on from an earlier part" in note for note in parts.notes)


def test_gaps_between_parts(data_dir):
    apart = read_series_parts(config(data_dir, "gap"))
    assert [len(one) for one in apart.data.series] == [50, 20]
    masked = read_series_parts(config(data_dir, "gap", gaps="mask"))
    (series,) = masked.data.series
    assert np.isnan(series.values[50:55]).all()
    assert series.values[55, 0] == 55
    assert masked.bounds.tolist() == [[0, 45, 50, 75]]
    with pytest.raises(UserError, match="gap overlapping begins at 2016-07-03 01:00, before an earlier part ends"):
        read_series_parts(config(data_dir, "gap", test_split="overlapping"))


@pytest.mark.parametrize(
    ("dataset", "knobs", "message"),
    [
        ("two_values", {}, "x, y can all be the values; choose one with --value_field"),
        ("two_values", {"value_field": "note"}, "--value_field=note is no sequence of numbers"),
        ("two_values", {"value_field": "x", "time_column": "y"}, "no sequence of integers; those are count"),
        ("two_values", {"value_field": "x", "id_column": "z"}, "--id_column=z is no field"),
        ("two_values", {"value_field": "x", "target": ("z",)}, "--target names 'z'; the columns are x, count, y"),
        ("two_values", {"value_field": "x", "static_columns": ("y",)}, "--static_columns names 'y'"),
        ("texts", {}, "no field is a sequence of numbers; the fields are text"),
    ],
)
def test_fields_that_do_not_fit(data_dir, dataset, knobs, message):
    with pytest.raises(UserError, match=message):
        read_series_split("train", config(data_dir, dataset, **knobs))


def test_other_sequences_may_help(data_dir):
    data = read_series(
        "train", config(data_dir, "two_values", value_field="x", past_columns=("y",), known_future=("count",))
    )
    assert data.columns.target == ("x",)
    np.testing.assert_array_equal(data.series[0].future[:, 0], np.arange(5))
    assert (data.series[0].id, data.has_ids) == ("n", True)


def table(path, first, length, step="h"):
    times = np.datetime64("2020-01-01", step) + np.arange(first, first + length)
    path.write_text("time,y\n" + "".join(f"{t},{i + first}\n" for i, t in enumerate(times)))
    return str(path)


def test_a_file_is_cut_in_time_with_the_usual_rounding(tmp_path):
    whole = table(tmp_path / "a.csv", 0, 7588)
    parts = read_series_parts(SeriesConfig(train_file=whole, horizon=96))
    assert parts.bounds.tolist() == [[0, 5311, 6071, 7588]]  # 7 : 1 : 2, as tables of exchange rates are cut
    small = read_series_parts(SeriesConfig(train_file=table(tmp_path / "b.csv", 0, 40), horizon=10))
    assert small.bounds.tolist() == [[0, 20, 30, 40]]  # a horizon each, at least
    with pytest.raises(UserError, match="no rows are left to train on"):
        read_series_parts(SeriesConfig(train_file=table(tmp_path / "c.csv", 0, 15), horizon=10))
    with pytest.raises(UserError, match="leave nothing to train on"):
        read_series_parts(SeriesConfig(train_file=whole, validation_fraction=0.5, test_fraction=0.5))


def test_files_that_adjoin(tmp_path):
    train, test = table(tmp_path / "a.csv", 0, 40), table(tmp_path / "b.csv", 40, 2)
    parts = read_series_parts(SeriesConfig(train_file=train, test_file=test, horizon=2))
    assert parts.bounds.tolist() == [[0, 36, 40, 42]]
    assert parts.data.series[0].values[-1, 0] == 41


def test_another_table_is_read_with_the_same_columns(tmp_path):
    train = SeriesConfig(train_file=table(tmp_path / "a.csv", 0, 40), horizon=2)
    codec, _ = fit_series_codec(read_series_parts(train), train)
    (tmp_path / "new.csv").write_text("other,time,y\n7,2021-01-01T00,5\n8,2021-01-01T01,6\n")
    data = read_like(str(tmp_path / "new.csv"), codec, train)
    assert data.columns == codec.columns
    assert codec.times(data.series[0], 4)[-1] == np.datetime64("2021-01-01T03")
    (tmp_path / "none.csv").write_text("time,x\n2021-01-01T00,5\n")
    with pytest.raises(UserError, match="names 'y'; the columns are time, x"):
        read_like(str(tmp_path / "none.csv"), codec, train)


def test_calendar_by_hand():
    times = np.array(["2024-02-29T06:30", "2024-03-04T18:00"], "datetime64[us]")  # a Thursday and a Monday
    found = calendar_features(times, ("hour", "weekday", "month"))
    turns = np.array([[6.5 / 24, 3 / 7, 1 / 12], [18 / 24, 0, 2 / 12]])
    np.testing.assert_allclose(found[:, 0::2], np.sin(2 * np.pi * turns), atol=1e-6)
    np.testing.assert_allclose(found[:, 1::2], np.cos(2 * np.pi * turns), atol=1e-6)
    minute_day = calendar_features(times, ("minute", "day", "yearday"))
    turns = np.array([[0.5, 28 / 31, 59 / 366], [0, 3 / 31, 63 / 366]])
    np.testing.assert_allclose(minute_day[:, 0::2], np.sin(2 * np.pi * turns), atol=1e-6)


@pytest.mark.parametrize(
    ("step", "names"),
    [("15min", "minute hour weekday yearday"), ("h", "hour weekday yearday"), ("D", "weekday yearday"), ("M", "month")],
)
def test_automatic_calendars(step, names):
    number, unit = (15, "min") if step == "15min" else (1, step)
    assert resolve_calendar(("auto",), Frequency(unit, number), "here") == tuple(names.split())


def test_no_calendar_without_times():
    with pytest.raises(UserError, match="--calendar=auto: here has no times"):
        resolve_calendar(("auto",), None, "here")
