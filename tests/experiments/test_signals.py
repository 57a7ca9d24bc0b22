"""The signals experiment: what a run leaves behind, its modes, and that its numbers are right."""

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest
import signal_runs as runs
from experiment_runs import metrics_of

from rnn_jax.data.signals.from_dataset import read_signal_split
from rnn_jax.data.signals_config import SignalConfig

CONVOLUTIONS = ("--convolution_sizes=6", "--convolution_strides=4", "--convolution_widths=6")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "tiny"
    augmentation = ("--jitter=0.1", "--scale_jitter=0.1", "--time_warp=0.1", "--mask_share=0.1")
    runs.run_here(*runs.TINY, f"--workdir={workdir}", *CONVOLUTIONS, *augmentation, "--class_weights=balanced")
    return workdir


@pytest.fixture(scope="module")
def examples():
    return read_signal_split("test[:64]", SignalConfig())


def answers(monkeypatch, capsys, workdir, text, *flags):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))
    capsys.readouterr()
    runs.run_here("--mode=predict", f"--workdir={workdir}", *flags)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def write_table(path, examples, rows):
    lines = ["id,0"]
    for row in rows:
        lines += [f"s{row},{float(value)!r}" for value in examples.sequences.row(row)[:, 0]]
    path.write_text("\n".join(lines) + "\n")


def test_the_run_directory(trained):
    names = {path.name for path in trained.iterdir()}
    assert names >= {"config.json", "result.json", "codec.json", "confusion_test.png", "classes_test.csv"}
    result = metrics_of(trained)
    with open(trained / "classes_test.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    f1 = [float(row["f1"]) for row in rows]
    assert result["test/macro_f1"] == pytest.approx(np.mean(f1), abs=1e-4)
    assert result["test/f1_rise-fall"] == pytest.approx(f1[1], abs=1e-4)
    assert sum(int(row["examples"]) for row in rows) == 64
    recalls = [float(row["recall"]) for row in rows if int(row["examples"])]
    assert result["test/balanced_accuracy"] == pytest.approx(np.mean(recalls), abs=1e-4)


def test_eval_and_predict_agree_with_training(trained, examples, tmp_path, capsys, monkeypatch):
    runs.run_here("--mode=eval", f"--workdir={trained}")
    scores = json.loads(capsys.readouterr().out.splitlines()[-1])
    result = metrics_of(trained)
    assert scores == {name: pytest.approx(result[name], rel=1e-5) for name in scores} and "test/accuracy" in scores
    write_table(tmp_path / "all.csv", examples, range(64))
    said = answers(monkeypatch, capsys, trained, str(tmp_path / "all.csv"))
    labels = [answer["label"] for answer in said]
    right = np.mean([label == true for label, true in zip(labels, examples.labels, strict=True)])
    assert right == pytest.approx(result["test/accuracy"])
    assert said[3]["of"].endswith("'s3'") and sum(said[3]["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_a_stream_ends_with_the_answer_to_the_whole(trained, examples, tmp_path, capsys, monkeypatch):
    np.save(tmp_path / "one.npy", examples.sequences.row(5))
    path = str(tmp_path / "one.npy")
    (whole,) = answers(monkeypatch, capsys, trained, path)
    said = answers(monkeypatch, capsys, trained, path, "--stream_every=40")
    total = int(examples.sequences.lengths[5])
    assert [answer["steps"] for answer in said] == [*range(40, total, 40), total]
    assert said[-1]["probabilities"] == pytest.approx(whole["probabilities"], rel=1e-3)


def test_the_exported_script_answers_alike(trained, examples, tmp_path, capsys, monkeypatch):
    np.save(tmp_path / "one.npy", examples.sequences.row(5))
    path = str(tmp_path / "one.npy")
    (whole,) = answers(monkeypatch, capsys, trained, path)
    runs.run_here("--mode=export", f"--workdir={trained}")
    command = [sys.executable, str(trained / "export" / "answer.py")]
    done = subprocess.run(command, input=path, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert said["label"] == whole["label"] and said["path"] == path
    assert said["probabilities"] == pytest.approx(whole["probabilities"], rel=1e-3)


def test_windows_are_scored_alone_and_as_recordings(tmp_path, capsys, monkeypatch, examples):
    workdir = tmp_path / "run"
    runs.run_here(*runs.TINY, f"--workdir={workdir}", "--window=40", "--num_steps=2", "--balanced_batches")
    result = metrics_of(workdir)
    assert {"test/recording_accuracy", "test/recording_vote_accuracy"} <= set(result)
    np.save(tmp_path / "one.npy", examples.sequences.row(0))
    (said,) = answers(monkeypatch, capsys, workdir, str(tmp_path / "one.npy"))
    assert [window["from"] for window in said["windows"]][:3] == [0, 20, 40]


def test_one_batch_can_be_learned_by_heart(tmp_path):
    splits = ("--train_split=train[:16]", "--validation_split=train[:16]")
    flags = ("--num_steps=80", "--eval_every_steps=80", "--learning_rate=0.02", "--head_size=8", "--statistics")
    runs.run_here(*runs.TINY, f"--workdir={tmp_path / 'run'}", *splits, *CONVOLUTIONS, *flags)
    assert metrics_of(tmp_path / "run")["validation/accuracy"] == 1.0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--front_end=pixels"], ["images", "(1,)"]),
        (["--front_end=frames"], ["videos", "(1,)"]),
        (["--front_end=log_mel"], ["--sample_rate"]),
        (["--signal_field=signl"], ["signl", "signal"]),
        (["--group_field=speaker"], ["speaker", "recorder"]),
        (["--static_fields=gain"], ["gain", "recorder"]),
        (["--train_file=missing.csv"], ["missing.csv"]),
        (["--train_file=data.mp3"], ["data.mp3", ".csv"]),
        (["--convolution_sizes=4,4", "--convolution_widths=3,3,3"], ["convolutions", "one each"]),
        (["--convolution_widths=3"], ["--convolution_sizes"]),
        (["--window_step=3"], ["--window "]),
        (["--stream_every=3"], ["--mode=predict"]),
    ],
)
def test_messages(flags, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs.is_refused(words, *runs.SMALL, f"--workdir={tmp_path / 'run'}", *flags)
