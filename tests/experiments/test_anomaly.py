"""The anomaly experiment on tables: training, report, the same flags from tables and streams, and its messages."""

import csv
import io
import json
import shutil
import sys

import anomaly_runs as runs
import numpy as np
import pytest

from rnn_jax.data.anomaly.codec import AnomalyCodec
from rnn_jax.models.anomaly_detector import Detector

AT = (160, 200, 260)
TRAINED = ("--train_share=0.4", "--num_steps=120", "--eval_every_steps=60", "--learning_rate=0.03")


def times(count):
    hours = np.datetime64("2024-01-01T00:00") + np.arange(count) * np.timedelta64(60, "m")
    return [str(hour).replace("T", " ") for hour in hours]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on a wave with three jumps, 40 % of it normal; the table is beside it."""
    folder = tmp_path_factory.mktemp("anomaly")
    values, marks = runs.wave(at=AT)
    columns = {"time": times(runs.ROWS), "load": values, "fault": marks}
    table = runs.write_table(folder / "load.csv", columns)
    flags = (f"--train_file={table}", "--mark_column=fault", f"--workdir={folder / 'run'}")
    runs.run_here(*runs.SMALL, *TRAINED, *flags)
    return folder


def printed(capsys, *arguments):
    capsys.readouterr()
    runs.run_here(*arguments)
    return capsys.readouterr().out


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_jumps_are_found(trained):
    """Each jump is three rows of 180; the wave goes on as high as they reach."""
    result = runs.metrics_of(trained / "run")
    assert result["test/vus_pr"] > 0.6 > result["test/share_flagged"]
    assert result["test/span_recall"] == 1 and result["test/auc_pr"] > 0.5
    lines = (trained / "run/report_test.md").read_text().splitlines()
    assert lines[0].startswith("test: the model wins. The VUS-PR of the model ")
    assert f"| model | {result['test/vus_pr']:.4g} |" in "\n".join(lines)
    for name in ("anomalies_test.png", "fitted.json", "curves.png"):
        assert (trained / "run" / name).exists(), name
    assert "validation/loss" in result and "validation/vus_pr" not in result


def test_marks_are_scored_by_and_nothing_else(trained, tmp_path, capsys):
    """The same table without marks, or with all others: the same thresholds, scores and flags."""
    values, _ = runs.wave(at=AT)
    table = runs.write_table(tmp_path / "bare.csv", {"time": times(runs.ROWS), "load": values})
    runs.run_here(*runs.SMALL, *TRAINED, f"--train_file={table}", f"--workdir={tmp_path / 'run'}")
    assert "nothing can be scored" in capsys.readouterr().out
    fitted = [Detector.load(folder / "run", "fitted.json") for folder in (trained, tmp_path)]
    assert fitted[0] == fitted[1]
    assert "test/share_flagged" in (result := runs.metrics_of(tmp_path / "run")) and "test/vus_pr" not in result


def test_a_table_and_a_stream_have_the_same_answers(trained, capsys, monkeypatch):
    table, run = trained / "load.csv", f"--workdir={trained / 'run'}"
    whole = rows_of(printed(capsys, "--mode=predict", run, f"--input={table}"))
    assert list(whole[0]) == ["time", "score", "threshold", "flag"]
    assert [row["time"] for row in whole] == times(runs.ROWS)
    assert all(whole[row]["flag"] == "1" for row in AT)
    threshold = Detector.load(trained / "run", "fitted.json").thresholds.fixed[0]
    assert all(int(row["flag"]) == (float(row["score"]) >= threshold) for row in whole)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(table.read_bytes())))
    streamed = rows_of(printed(capsys, "--mode=predict", run, "--stream"))
    assert [row["time"] for row in streamed] == times(runs.ROWS)
    for name in ("score", "threshold", "flag"):
        found, expected = ([float(row[name]) for row in rows] for rows in (streamed, whole))
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-5)
    share = np.mean([int(row["flag"]) for row in whole[120:]])
    assert share == pytest.approx(runs.metrics_of(trained / "run")["test/share_flagged"])


def test_eval_repeats_the_score_and_reads_other_tables(trained, capsys):
    result, run = runs.metrics_of(trained / "run"), f"--workdir={trained / 'run'}"
    scores = json.loads(printed(capsys, "--mode=eval", run))
    assert scores["test/vus_pr"] == result["test/vus_pr"]
    values, marks = runs.wave(80, at=(40,), seed=1)
    other = runs.write_table(trained / "other.csv", {"load": values, "fault": marks})
    found = json.loads(printed(capsys, "--mode=eval", run, f"--part={other}"))
    assert found[f"{other}/span_recall"] == 1


def test_an_autoencoder_of_many_series_with_holes(tmp_path, capsys, monkeypatch):
    """Windows, dynamic thresholds, a long table whose rows are mixed: what is decided later comes out the same."""
    columns: dict[str, list] = {"pump": [], "flow": [], "heat": [], "speed": []}
    for row in range(120):
        for number, pump in enumerate("ab"):
            columns["pump"].append(pump)
            columns["flow"].append(float("nan") if row % 17 == 3 else round(float(np.sin(row + number)), 3))
            columns["heat"].append(row % 4)
            columns["speed"].append(row % 2)
    table = runs.write_table(tmp_path / "pumps.csv", columns)
    flags = (
        "--model=autoencoder", "--window_length=8", "--score=smoothed", "--smoothing_span=3", "--threshold=dynamic",
        "--dynamic_window=30", "--dynamic_batch=7", "--dynamic_buffer=2", "--id_column=pump", "--input_columns=speed",
        "--hidden_size=4", "--batch_size=8", "--num_steps=2", "--train_share=0.5",
    )  # fmt: skip
    runs.run_here(*flags, f"--train_file={table}", f"--workdir={tmp_path / 'run'}")
    assert AnomalyCodec.load(tmp_path / "run").has_missing
    whole = rows_of(printed(capsys, "--mode=predict", f"--workdir={tmp_path / 'run'}", f"--input={table}"))
    assert [row["id"] for row in whole[:4]] == ["a", "b", "a", "b"] and whole[3]["row"] == "4"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(table.read_bytes())))
    streamed = rows_of(printed(capsys, "--mode=predict", f"--workdir={tmp_path / 'run'}", "--stream"))
    assert len(streamed) == len(whole)
    by_row = {row["row"]: row for row in streamed}
    for row in whole:
        found = by_row[row["row"]]
        assert found["id"] == row["id"] and found["flag"] == row["flag"]
        assert float(found["score"]) == pytest.approx(float(row["score"]), rel=1e-3)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--mark_column=fautl"], ["--mark_column names 'fautl'", "fault"]),
        (["--bidirectional"], ["--bidirectional", "--model=autoencoder"]),
        (["--warm_up=20"], ["--bptt=20", "--warm_up=20"]),
        (["--target=lod"], ["lod", "load"]),
        (["--train_share=0.01"], ["3 normal rows", "too few", "--train_share"]),
        (["--train_share=0.05", "--warm_up=15"], ["more than 15 (--warm_up)", "12 rows"]),
        (["--window_length=8"], ["--window_length needs --model=autoencoder"]),
        (["--threshold=dynamic", "--quantile=0.9"], ["--quantile needs --threshold=quantile"]),
        (["--stream"], ["--stream needs --mode=predict"]),
        (["--dataset=telemanom/msl"], ["--dataset needs no --train_file"]),
        (["--test_file=missing.csv"], ["missing.csv"]),
    ],
)
def test_messages(trained, tmp_path, monkeypatch, flags, words):
    monkeypatch.chdir(tmp_path)
    small = [flag for flag in runs.SMALL if flag.split("=")[0] not in [other.split("=")[0] for other in flags]]
    runs.is_refused(words, *small, f"--train_file={trained / 'load.csv'}", f"--workdir={tmp_path / 'run'}", *flags)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_tables_that_cannot_be_watched_are_refused(trained, tmp_path):
    run = f"--workdir={trained / 'run'}"
    other = runs.write_table(tmp_path / "other.csv", {"lod": [1, 2, 3]})
    runs.is_refused(["'load'", "lod"], "--mode=predict", run, f"--input={other}")
    runs.is_refused(["'load'", "lod"], "--mode=predict", run, f"--input={other}", "--stream")
    bad = runs.write_table(tmp_path / "bad.csv", {"load": [1, "high", 3]})
    runs.is_refused(["high", "no number"], "--mode=predict", run, f"--input={bad}", "--stream")


def test_a_run_without_thresholds_says_so(trained, tmp_path):
    shutil.copytree(trained / "run", tmp_path / "run")
    (tmp_path / "run/fitted.json").unlink()
    words = ["no thresholds yet", "Run its command again"]
    runs.is_refused(words, "--mode=predict", f"--workdir={tmp_path / 'run'}", f"--input={trained / 'load.csv'}")
