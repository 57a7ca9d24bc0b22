"""The forecasting experiment on tables: training, report, evaluation from rolling origins, and what comes next."""

import csv
import io
import json
import sys

import forecasting_runs as runs
import jax
import numpy as np
import pytest

from experiments import load
from rnn_jax.errors import UserError
from rnn_jax.models.forecast_score import forecast


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on one hourly column; its table is beside it."""
    folder = tmp_path_factory.mktemp("forecasting")
    table = runs.write_table(folder / "load.csv", {"time": runs.times(0, runs.HOURS), "load": runs.load()})
    flags = ("--num_steps=150", "--eval_every_steps=75", "--learning_rate=0.03")
    runs.run_here(*runs.SMALL, *flags, f"--train_file={table}", f"--workdir={folder / 'run'}")
    return folder


def printed(capsys, *arguments):
    capsys.readouterr()
    runs.run_here(*arguments)
    return capsys.readouterr().out


def test_the_report_begins_with_who_wins(trained):
    """A wave that a linear map continues without error: the report does not hide that it wins."""
    result = runs.metrics_of(trained / "run")
    lines = (trained / "run/report_test.md").read_text().splitlines()
    assert lines[0].startswith("test: the linear forecast wins. The MSE of linear ")
    assert result["test/mse_linear"] < 1e-3 < result["test/mse"] < result["test/mse_repeat_last"]
    assert f"| model | {result['test/mse']:.4g} | {result['test/mae']:.4g} |" in "\n".join(lines)
    for name in ("forecasts_test.png", "steps_ahead_test.png", "curves.png", "report_validation.md"):
        assert (trained / "run" / name).exists(), name


def test_the_model_learns_the_wave(trained):
    """Of a wave of known height: a quarter of its variance is left at most; and about half are in the interval."""
    result = runs.metrics_of(trained / "run")
    assert result["test/mse_units"] < 0.25 * np.var(runs.load())
    assert result["test/mse_units"] == pytest.approx(result["test/mse"] * np.var(runs.load()[:168]), rel=1e-3)
    assert 0.4 < result["test/coverage"] <= 1


def test_what_comes_after_the_last_row(trained, capsys, monkeypatch):
    """The numbers are those of the network for the last window, in units, at the hours that follow."""
    table = trained / "load.csv"
    out = printed(capsys, "--mode=predict", f"--workdir={trained / 'run'}", f"--input={table}")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["time"] for row in rows] == runs.times(runs.HOURS, 12)
    assert list(rows[0]) == ["time", "load", "load 0.1", "load 0.25", "load 0.5", "load 0.75", "load 0.9"]
    model = load(trained / "run")
    history = runs.load()[:168]
    location, scale = history.mean(), history.std()
    batch = {
        "past": ((runs.load()[-24:] - location) / scale).astype(np.float32)[None, :, None],
        "past_mask": np.ones((1, 24, 1), bool),
        "past_features": np.zeros((1, 24, 0), np.float32),
        "future_features": np.zeros((1, 12, 0), np.float32),
        "static": np.zeros((1, 0), np.float32),
        "series": np.zeros(1, np.int32),
        "location": np.full((1, 1), location, np.float32),
        "scale": np.full((1, 1), scale, np.float32),
        "weights": np.ones(1, np.float32),
    }
    found = jax.device_get(model(forecast, batch, jax.random.key(0)))
    np.testing.assert_allclose(
        [float(row["load"]) for row in rows], found["point"][0, :, 0] * scale + location, rtol=1e-5
    )
    low, high = ([float(row[f"load {level}"]) for row in rows] for level in (0.1, 0.9))
    np.testing.assert_allclose(low, found["quantiles"][0, :, 0, 0] * scale + location, rtol=1e-5)
    assert (np.array(low) <= high).all()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(table.read_bytes())))
    assert printed(capsys, "--mode=predict", f"--workdir={trained / 'run'}") == out
    assert model.answer_file(table)[0]["load"] == float(rows[0]["load"])


def test_eval_repeats_the_score_and_rolls_origins(trained, capsys):
    result = runs.metrics_of(trained / "run")
    scores = json.loads(printed(capsys, "--mode=eval", f"--workdir={trained / 'run'}"))
    assert scores["test/mse"] == result["test/mse"]
    rolled = json.loads(printed(capsys, "--mode=eval", f"--workdir={trained / 'run'}", "--backtest=3"))
    assert [one["origin"] for one in rolled["test/origins"]] == [
        runs.times(at, 1)[0] for at in (runs.HOURS - 36, runs.HOURS - 24, runs.HOURS - 12)
    ]
    other = runs.write_table(trained / "more.csv", {"time": runs.times(500, 60), "load": runs.load(560)[500:]})
    found = json.loads(printed(capsys, "--mode=eval", f"--workdir={trained / 'run'}", f"--part={other}"))
    assert found[f"{other}/mse"] > 0


def test_many_series_with_what_is_known_of_them(tmp_path, capsys):
    """Ids, a static word, a covariate that is known in advance, holes; forecasts come back by id."""
    steps = np.arange(100)
    columns: dict[str, list] = {name: [] for name in ("shop", "kind", "day", "price", "sold")}
    for shop, (kind, level) in {"a": ("small", 5), "b": ("big", 40), "c": ("big", 30)}.items():
        sold = level * (1 + 0.5 * np.sin(steps * 2 * np.pi / 7))
        sold[60] = np.nan
        days = np.datetime64("2023-01-01") + np.arange(112)
        columns["shop"] += [shop] * 112
        columns["kind"] += [kind] * 112
        columns["day"] += [str(day) for day in days]
        columns["price"] += list(np.round(1 + (np.arange(112) % 5) / 10, 2))
        columns["sold"] += [*np.round(sold), *[float("nan")] * 12]  # twelve days to come
    table = runs.write_table(tmp_path / "shops.csv", columns)
    flags = (
        "--id_column=shop", "--static_columns=kind", "--known_future=price", "--target=sold", "--calendar=weekday",
        "--series_embedding_size=2", "--scale_by=series",
        "--decoder=recursive", "--output=negative_binomial", "--num_samples=5",
    )  # fmt: skip
    small = [flag for flag in runs.SMALL if "segment" not in flag]
    runs.run_here(*small, *flags, f"--train_file={table}", "--num_steps=3", f"--workdir={tmp_path / 'run'}")
    out = printed(capsys, "--mode=predict", f"--workdir={tmp_path / 'run'}", f"--input={table}")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["id"] for row in rows] == ["a"] * 12 + ["b"] * 12 + ["c"] * 12
    assert rows[0]["time"] == "2023-04-11" and rows[-1]["time"] == "2023-04-22"
    assert all(float(row["sold"]) >= 0 for row in rows)  # counts
    assert "Of 3 series the model forecasts" in (tmp_path / "run/report_test.md").read_text()
    fourth = {name: values[:112] for name, values in columns.items()} | {"shop": ["d"] * 112}
    other = runs.write_table(tmp_path / "other.csv", fourth)
    with pytest.raises(UserError, match="'d' is none of the 3 that the model tells apart"):
        runs.run_here("--mode=predict", f"--workdir={tmp_path / 'run'}", f"--input={other}")
    lines = [line for line in table.read_text().splitlines() if line < "a,small,2023-04-11" or line[0] == "s"]
    (tmp_path / "past.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match="needs price for all of them: step 1 after the last value of the series 'a'"):
        runs.run_here("--mode=predict", f"--workdir={tmp_path / 'run'}", f"--input={tmp_path / 'past.csv'}")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--horizon=500"], ["--horizon=500", "Lower"]),
        (["--context_length=400", "--segment_length=12"], ["--context_length=400", "Lower"]),
        (["--decoder=recursive", "--output=quantiles"], ["--output=quantiles", "--decoder=direct"]),
        (["--segment_length=50"], ["--segment_length=50", "at most 24"]),
        (["--decoder=direct", "--segment_length=6"], ["--segment_length needs --decoder=segments"]),
        (["--bidirectional"], ["--bidirectional", "forwards only"]),
        (["--output=negative_binomial", "--normalization=last"], ["--normalization=last", "mean_abs"]),
        (["--output=negative_binomial", "--normalization=none"], ["is of counts", "load is", "row 1"]),
        (["--quantiles=0.9,0.1"], ["--quantiles=0.9,0.1", "rise"]),
        (["--target=lod"], ["lod", "load"]),
        (["--series_embedding_size=4"], ["--series_embedding_size=4", "leave it out"]),
        (["--backtest=3"], ["--backtest needs --mode=eval"]),
        (["--dataset=ett/h1"], ["--dataset needs no --train_file"]),
        (["--train_file=missing.csv"], ["missing.csv"]),
    ],
)
def test_messages(trained, tmp_path, monkeypatch, flags, words):
    monkeypatch.chdir(tmp_path)
    given = () if any("--train_file" in flag for flag in flags) else (f"--train_file={trained / 'load.csv'}",)
    small = [flag for flag in runs.SMALL if flag.split("=")[0] not in [other.split("=")[0] for other in flags]]
    small = [flag for flag in small if not ("segment" in flag and any("--decoder" in other for other in flags))]
    runs.is_refused(words, *small, *given, f"--workdir={tmp_path / 'run'}", *flags)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_table_that_is_too_short_is_refused(trained, tmp_path):
    short = runs.write_table(tmp_path / "short.csv", {"time": runs.times(0, 10), "load": runs.load(10)})
    runs.is_refused(["10 rows", "24"], "--mode=predict", f"--workdir={trained / 'run'}", f"--input={short}")
    other = runs.write_table(tmp_path / "other.csv", {"time": runs.times(0, 40), "lod": runs.load(40)})
    runs.is_refused(["load"], "--mode=predict", f"--workdir={trained / 'run'}", f"--input={other}")
