"""The video experiment: what a run leaves behind, and its modes."""

import io
import json
import sys

import numpy as np
import pytest
import video_runs as runs
from experiment_runs import metrics_of

from rnn_jax.data.video.reading import read_clip_split
from rnn_jax.data.video_config import VideoConfig
from rnn_jax.training.trained import load


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "tiny"
    runs.run_here(*runs.TINY, f"--workdir={workdir}", "--num_layers=2", "--layer_dropout=0.1")
    return workdir


@pytest.fixture(scope="module")
def frames():
    return read_clip_split("test[:10]", VideoConfig()).frames


def answers(monkeypatch, capsys, workdir, text):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))
    capsys.readouterr()
    runs.run_here("--mode=predict", f"--workdir={workdir}")
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_run_directory(trained, frames):
    names = {path.name for path in trained.iterdir()}
    assert names >= {"config.json", "result.json", "codec.json", "curves.png"}
    assert names >= {f"{what}_test.{ending}" for what, ending in [("frames", "png"), ("steps_ahead", "png")]}
    lines = (trained / "report_test.md").read_text().splitlines()
    assert "WINS" in lines[0].upper() and any(line.startswith("| mean frame |") for line in lines)
    last, future = frames[:, 9:10] / 255, frames[:, 10:] / 255
    expected = np.square(future - last).sum() / (10 * 10)
    assert metrics_of(trained)["test/squared_error_copy_last"] == pytest.approx(expected, rel=1e-6)


def test_eval_agrees_with_training(trained, capsys):
    runs.run_here("--mode=eval", f"--workdir={trained}")
    scores = json.loads(capsys.readouterr().out.splitlines()[-1])
    result = metrics_of(trained)
    assert scores == {name: pytest.approx(result[name], rel=1e-5) for name in scores} and "test/squared_error" in scores


def test_predicted_frames_are_those_that_were_scored(trained, frames, tmp_path, capsys, monkeypatch):
    np.save(tmp_path / "clips.npy", frames[:, :10, :, :, 0])
    (said,) = answers(monkeypatch, capsys, trained, str(tmp_path / "clips.npy"))
    assert said == {
        "path": str(tmp_path / "clips.npy"), "frames": str(tmp_path / "clips.next.npy"), "videos": 10, "predicted": 10,
    }  # fmt: skip
    predicted = np.load(tmp_path / "clips.next.npy")
    assert predicted.shape == (10, 10, 16, 16) and predicted.dtype == np.uint8
    error = np.square((predicted - frames[:, 10:, :, :, 0].astype(float)) / 255).sum() / 100
    assert error == pytest.approx(metrics_of(trained)["test/squared_error"], rel=0.02)  # rounded to integers
    task = runs.RUNS.task
    assert load(task, trained).answer([str(tmp_path / "clips.npy")]) == [said]


def test_one_batch_can_be_learned_by_heart(tmp_path):
    splits = ("--train_split=train[:4]", "--validation_split=train[:4]", "--test_split=train[:4]")
    flags = ("--num_steps=80", "--eval_every_steps=80", "--learning_rate=0.02", "--hidden_size=16", "--batch_size=4")
    runs.run_here(*runs.TINY, f"--workdir={tmp_path / 'run'}", *splits, *flags, "--noshared_weights")
    result = metrics_of(tmp_path / "run")
    assert result["validation/squared_error"] < 0.5 * result["validation/squared_error_mean_frame"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--patch_size=5"], ["--patch_size=5", "16 × 16"]),
        (["--kernel_size=4"], ["--kernel_size=4"]),
        (["--num_context_frames=12"], ["20 frames", "22 are", "--num_context_frames"]),
        (["--video_field=frames"], ["frames", "video"]),
        (["--train_file=missing.npy"], ["missing.npy"]),
        (["--train_file=clips.avi"], ["clips.avi", ".npy"]),
        (["--num_objects=3"], ["--objects_dataset"]),
        (["--objects_dataset=synthetic_videos"], ["no field can be the image"]),
        (["--objects_dataset=synthetic_videos", "--train_file=a.npy"], ["--train_file", "--objects_dataset"]),
        (["--layer_dropout=0.1"], ["--num_layers above 1"]),
    ],
)
def test_messages(flags, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs.is_refused(words, *runs.SMALL, f"--workdir={tmp_path / 'run'}", *flags)
