"""Series with marks out of tables and datasets: which rows are normal, and what is refused."""

import dataclasses

import numpy as np
import pytest
import tensorflow_datasets as tfds
from data.builders import prepare

from rnn_jax.data.anomaly.codec import id_column_of
from rnn_jax.data.anomaly.parts import read_anomalies
from rnn_jax.data.anomaly.reading import marks_of, read_marked
from rnn_jax.data.anomaly.windows import NormalWindows, Window, window_starts
from rnn_jax.data.anomaly_config import AnomalyConfig
from rnn_jax.errors import UserError

WINDOW = Window(4, 2)


def table(path, text):
    path.write_text(text)
    return str(path)


def long_table(path, *, marks=lambda machine, row: int(machine == "b" and row in (15, 16))):
    rows = [f"{m},{t},{t + 10 * (m == 'b')},{t % 3},{marks(m, t)}" for t in range(20) for m in ("a", "b")]
    return table(path, "\n".join(["machine,time_step,flow,speed,fault", *rows]) + "\n")


def config(**knobs):
    return AnomalyConfig(dataset="", **knobs)


LONG = {"id_column": "machine", "mark_column": "fault", "target": ("flow",), "input_columns": ("speed",)}


def test_a_long_table_is_cut_where_its_normal_rows_end(tmp_path):
    """0.5 of 20 rows are normal, a fifth of these chooses; scales are those of the first 8 rows of each."""
    path = long_table(tmp_path / "pumps.csv")
    data = read_anomalies(config(train_file=path, train_share=0.5, **LONG), WINDOW, 0, None)
    test, validation = data.parts["test"], data.parts["validation"]
    assert [one.id for one in test.series] == ["a", "b"]
    assert validation.bounds.tolist() == [[8, 10]] * 2 and test.bounds.tolist() == [[10, 20]] * 2
    assert marks_of(test.series[1]).nonzero()[0].tolist() == [15, 16] and not marks_of(test.series[0]).any()
    encoded = data.codec.encode_series(test.series[1])
    np.testing.assert_allclose(encoded.values[:, 0], (np.arange(20) - 3.5) / np.arange(8).std(), rtol=1e-5)
    speeds = np.arange(8) % 3
    np.testing.assert_allclose(encoded.inputs[:8, 0], (speeds - speeds.mean()) / speeds.std(), rtol=1e-5)
    batch = data.train().batch(0)
    assert batch["values"].shape == (32, 4, 1) and batch["weights"].sum() == 6  # at 0, 2, 4 of two series


def test_a_test_table_is_scored_whole_and_its_marks_are_found_by_name(tmp_path):
    train = table(tmp_path / "train.csv", "load,is_anomaly\n" + "1.5,0\n2.5,0\n" * 10)
    test = table(tmp_path / "test.csv", "load,is_anomaly\n" + "1.5,0\n9,1\n" * 4)
    data = read_anomalies(config(train_file=train, test_file=test), WINDOW, 0, None)
    part = data.parts["test"]
    assert part.codec.target == ("load",) and part.bounds.tolist() == [[0, 8]]
    assert marks_of(part.series[0]).sum() == 4 and part.normal.bounds.tolist() == [[16, 20]]


def test_marked_rows_among_the_normal_ones_are_told_of_and_left_out(tmp_path):
    path = long_table(tmp_path / "pumps.csv", marks=lambda machine, row: int(row == 3))
    data = read_anomalies(config(train_file=path, train_share=0.5, **LONG), WINDOW, 0, None)
    assert any("2 rows marked as anomalous among the normal ones" in note for note in data.notes)
    counts = data.train().batch(0)["counts"]
    assert counts.sum() == 6 * 4 - 2 * 2 - 8 * 0  # row 3 lies in the windows at 0 and 2 of both series
    kept = np.delete(np.arange(8), 3)
    np.testing.assert_allclose(data.codec.scaler.location[0], kept.mean())


def test_windows_that_must_be_whole_hold_no_marked_row(tmp_path):
    path = long_table(tmp_path / "pumps.csv", marks=lambda machine, row: int(row == 3))
    data = read_anomalies(config(train_file=path, train_share=0.5, **LONG), WINDOW._replace(whole=True), 0, None)
    assert data.train().batch(0)["weights"].sum() == 2  # those at 4
    with pytest.raises(
        UserError, match=r"it takes 30 \(--window_length\) normal rows in a row, and the longest series has"
    ):
        read_anomalies(config(train_file=path, train_share=0.5, **LONG), Window(30, 2, True), 0, None).train()


@pytest.mark.parametrize(("rows", "starts"), [(4, [0]), (3, [0]), (9, [0, 2, 4, 5]), (10, [0, 2, 4, 6])])
def test_the_last_window_ends_with_the_series(rows, starts):
    assert window_starts(rows, 4, 2).tolist() == starts


def test_a_short_series_is_padded_and_what_is_padded_does_not_count(tmp_path):
    path = table(tmp_path / "short.csv", "x\n1\n2\n4\n")
    (series,) = read_marked(path, config(train_file=path)).series
    pumps = config(train_file=long_table(tmp_path / "p.csv"), train_share=0.5, **LONG)
    codec = read_anomalies(pumps, WINDOW, 0, None).codec
    encoded = codec.encode("a", series.values, np.zeros((3, 1)))
    batch = NormalWindows([encoded], [np.ones(3, bool)], WINDOW, 2, seed=0).batch(0)
    assert batch["counts"][0].tolist() == [1, 1, 1, 0] and not batch["known"][0, 3].any()


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """One like NAB's files, with two fields that may be the marks; one like telemetry in two splits, with commands."""
    folder = tmp_path_factory.mktemp("tfds")
    numbers = lambda *shape, dtype=np.int64: tfds.features.Tensor(shape=(None, *shape), dtype=dtype)  # noqa: E731
    text = tfds.features.Text()
    features = {"name": text, "value": numbers(dtype=np.float64), "timestamp": numbers()}
    features |= {"in_anomaly_window": numbers(), "is_anomaly": numbers()}
    times = 1_400_000_000 + np.array([0, 300, 301, *range(900, 18_000, 300)])  # not a grid
    marks = (np.arange(60) > 50).astype(int)
    rows = [
        {
            "name": name,
            "value": np.arange(60.0) % 7,
            "timestamp": times,
            "in_anomaly_window": marks,
            "is_anomaly": marks,
        }
        for name in ("one", "two")
    ]
    prepare(folder, "files", features, {"train": rows})
    features = {"channel": text, "telemetry": numbers(dtype=np.float32), "commands": numbers(2, dtype=np.uint8)}
    features |= {"is_anomaly": numbers(dtype=np.uint8), "spans": numbers(2)}

    def channel(name, length, marked):
        commands = np.tile([[0, 1], [1, 1]], (length // 2, 1)).astype(np.uint8)
        marks = (np.arange(length) < marked).astype(np.uint8)
        spans = np.array([[0, marked - 1]] * bool(marked), np.int64).reshape(-1, 2)
        values = np.sin(np.arange(length)).astype(np.float32)
        return {"channel": name, "telemetry": values, "commands": commands, "is_anomaly": marks, "spans": spans}

    splits = {
        "train": [channel("P", 30, 0), channel("Q", 20, 0)],
        "test": [channel("Q", 40, 3), channel("P", 10, 2)],
    }
    return prepare(folder, "telemetry", features, splits)


def test_a_dataset_of_one_split(datasets):
    """Times that are no grid do not matter: rows are steps. Of 60 rows 0.15 are normal, and no more than asked for."""
    wanted = AnomalyConfig(dataset="files", data_dir=datasets, mark_column="in_anomaly_window", train_share=0.5)
    data = read_anomalies(wanted, WINDOW, 0, None)
    assert data.parts["test"].bounds.tolist() == [[30, 60]] * 2 and data.codec.target == ("value",)
    data = read_anomalies(dataclasses.replace(wanted, max_train_rows=20), WINDOW, 0, None)
    assert data.parts["test"].bounds.tolist() == [[20, 60]] * 2
    with pytest.raises(UserError, match="in_anomaly_window, is_anomaly can all be the marks; choose one"):
        read_anomalies(dataclasses.replace(wanted, mark_column=""), WINDOW, 0, None)
    with pytest.raises(UserError, match="--mark_column=value is no sequence of zeros and ones"):
        read_anomalies(dataclasses.replace(wanted, mark_column="value"), WINDOW, 0, None)
    with pytest.raises(UserError, match="two series have one id"):
        read_anomalies(dataclasses.replace(wanted, dataset="files,files"), WINDOW, 0, None)


def test_a_dataset_of_two_splits_with_commands(datasets):
    wanted = AnomalyConfig(dataset="telemetry", data_dir=datasets, input_columns=("commands",))
    data = read_anomalies(wanted, WINDOW, 0, None)
    part = data.parts["test"]
    found = {one.id: (*bounds, marks_of(one).sum()) for one, bounds in zip(part.series, part.bounds, strict=True)}
    assert found == {"Q": (0, 40, 3), "P": (0, 10, 2)} and data.codec.inputs == ("commands/0", "commands/1")
    normal = data.parts["validation"]
    chosen = {one.id: tuple(bounds) for one, bounds in zip(normal.series, normal.bounds, strict=True)}
    assert chosen == {"P": (24, 30), "Q": (16, 20)}
    assert all(normal.series[data.codec.number_of(one.id)].id == one.id for one in part.series)
    inputs = data.codec.encode_series(part.series[0]).inputs
    np.testing.assert_allclose(inputs[:2], [[-1, 0], [1, 0]])  # the second is 1 in all training rows: not read
    # Of a table of these channels nobody has named the column of ids.
    row = {"telemetry": "P", "t": "1", "sensor": "Q"}
    assert id_column_of(data.codec, wanted, row) == "sensor"
    assert id_column_of(data.codec, dataclasses.replace(wanted, id_column="t"), row) == "t"
    with pytest.raises(UserError, match="--input_columns names 'comands'; the sequences of numbers are"):
        read_anomalies(dataclasses.replace(wanted, input_columns=("comands",)), WINDOW, 0, None)


@pytest.mark.parametrize(
    ("text", "knobs", "words"),
    [
        ("x,fault\n1,0\n2,2\n", {"mark_column": "fault"}, "t.csv:3: the column 'fault' marks anomalies, and holds '2'"),
        ("x,fault\n1,0\n2,\n", {"mark_column": "fault"}, "holds 'nothing': 1 for an anomaly"),
        ("x,y\n1,0\n2,1\n", {"input_columns": ("z",)}, "--input_columns names 'z'; the columns are x, y"),
        ("x,y\n1,0\n2,1\n", {"input_columns": ("x",), "target": ("x",)}, "'x' is named by two flags"),
        ("x\n1\n2\n3\n", {}, "0 normal rows of the series '' .3 rows in all. are too few"),
        ("time,x\n2020-01-02,1\n2020-01-01,2\n", {}, "t.csv:3: 2020-01-01 comes after 2020-01-02. --sort sorts"),
        ("x,y\n,1\n,2\n", {"target": ("x",)}, "all values of the series '' are missing"),
    ],
)
def test_messages(tmp_path, text, knobs, words):
    path = table(tmp_path / "t.csv", text)
    with pytest.raises(UserError, match=words):
        read_anomalies(config(train_file=path, **knobs), WINDOW, 0, None)


def test_series_of_which_nothing_is_known_are_refused(tmp_path):
    train, test = long_table(tmp_path / "train.csv"), tmp_path / "test.csv"
    table(test, (tmp_path / "train.csv").read_text().replace("\na,", "\nc,"))
    with pytest.raises(UserError, match="the series 'c' is none of"):
        read_anomalies(config(train_file=train, test_file=str(test), **LONG), WINDOW, 0, None)
    table(test, "machine,flow,speed\na,1,2\na,2,2\n")
    with pytest.raises(UserError, match="--mark_column names 'fault'"):
        read_anomalies(config(train_file=train, test_file=str(test), **LONG), WINDOW, 0, None)
