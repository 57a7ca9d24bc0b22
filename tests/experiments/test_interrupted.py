"""Kills and stops at any moment: the run that continues ends bit for bit as the one that nobody disturbed."""

import functools
import json
import random
import signal
import time

import language_model_runs
import pytest
import sentiment_runs
import seq2seq_runs
import tagging_runs
from experiment_runs import lines_of, metrics_of
from training.toy_runs import killed_at

WINDOWS = ("--random_bptt", "--recurrent_dropout=0.2", "--temporal_penalty=1", "--nonmonotone_interval=1")
SEQ2SEQ = ("--teacher_forcing=linear", "--average_checkpoints=2", "--plateau_patience=1", "--select_by=loss")
FLAGS = {
    sentiment_runs.RUNS: (*sentiment_runs.TINY, "--num_epochs=3"),
    tagging_runs.RUNS: (*tagging_runs.TINY, "--decoder=crf", "--label_scheme=bioes", "--num_epochs=2"),
    seq2seq_runs.RUNS: (*seq2seq_runs.TINY, *SEQ2SEQ, "--num_epochs=6"),
    language_model_runs.RUNS: (*language_model_runs.SMALL, *WINDOWS, "--num_epochs=3"),
}
NUM_KILLS = 2


# A tagger keeps between steps what a classifier does.
EXPERIMENTS = [pytest.param(runs, marks=[pytest.mark.exhaustive] * (runs is tagging_runs.RUNS)) for runs in FLAGS]


@pytest.fixture(scope="module", params=EXPERIMENTS, ids=lambda runs: runs.script.EXPERIMENT)
def runs(request):
    return request.param


@pytest.fixture(scope="module")
def command(runs, tmp_path_factory):
    is_language_model = runs is language_model_runs.RUNS
    more = (
        language_model_runs.files(tmp_path_factory.mktemp("texts"), 48) if is_language_model else ("--ema_decay=0.95",)
    )
    return (*FLAGS[runs], *more, "--output_dropout=0.2", "--checkpoint_every_steps=4")


@pytest.fixture(scope="module")
def undisturbed(runs, command, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("undisturbed") / "run"
    runs.run_here(*command, f"--workdir={workdir}")
    return workdir


@pytest.fixture
def only_sentiment(runs):
    """What all experiments do by the same code is tried with one of them, as every start of a process takes seconds."""
    if runs is not sentiment_runs.RUNS:
        pytest.skip("the same code as in sentiment")


def assert_same(runs, workdir, expected):
    assert metrics_of(workdir) == metrics_of(expected)
    assert lines_of(workdir) == lines_of(expected)
    for kind in ("latest", "best"):
        (step, arrays, host), (expected_step, expected_arrays, expected_host) = (
            runs.saved_state(path, kind) for path in (workdir, expected)
        )
        assert (step, host) == (expected_step, expected_host)
        assert len(arrays) > 10 and arrays.keys() == expected_arrays.keys()
        assert [name for name in arrays if arrays[name] != expected_arrays[name]] == []


def test_cut_at_any_step(runs, command, undisturbed, tmp_path, monkeypatch):
    """In this process, which has everything compiled: before the first checkpoint, and twice behind one."""
    last = max(line["step"] for line in lines_of(undisturbed))
    for step in sorted({min(last // 3, 3), last // 2, last - 1}):
        with monkeypatch.context() as patch, killed_at(step, patch):
            runs.run_here(*command, f"--workdir={tmp_path}")
        assert not (tmp_path / "result.json").exists()
    runs.run_here(*command, f"--workdir={tmp_path}")
    assert_same(runs, tmp_path, undisturbed)


@pytest.mark.slow
@pytest.mark.usefixtures("only_sentiment")
def test_killed_again_and_again(runs, command, undisturbed, tmp_path):
    """As a process, by SIGKILL, in the middle of a save and elsewhere; continued in this one."""
    workdir, moments = tmp_path / "run", random.Random(0)
    kills = 0
    while kills < NUM_KILLS:
        process = runs.start(*command, f"--workdir={workdir}")
        during_save = kills % 2 == 0
        wait_for(process, functools.partial(being_saved, workdir / "checkpoints", during_save))
        if process.poll() is not None:
            break  # it finished before the moment came
        if not during_save:
            time.sleep(moments.uniform(0.0, 0.1))
        process.kill()
        process.communicate()
        kills += 1
    assert kills == NUM_KILLS
    runs.run_here(*command, f"--workdir={workdir}")
    assert_same(runs, workdir, undisturbed)


def being_saved(checkpoints, during_save):
    return any(checkpoints.glob(".tmp_*")) if during_save else any(checkpoints.glob("latest_*"))


def wait_for(process, condition):
    while process.poll() is None and not condition():
        time.sleep(0.0005)


@pytest.mark.usefixtures("only_sentiment")
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.exhaustive)])
def test_signals_save_and_say_how_to_go_on(number, runs, command, undisturbed, tmp_path):
    workdir = tmp_path / "run"
    process = runs.start(*command, f"--workdir={workdir}")
    wait_for(process, lambda: any((workdir / "checkpoints").glob("latest_*")))
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + number, error.decode()
    assert "checkpoint saved. Run the same command again" in error.decode() and "Traceback" not in error.decode()
    assert not (workdir / "result.json").exists()
    runs.run_here(*command, f"--workdir={workdir}")
    assert_same(runs, workdir, undisturbed)


@pytest.mark.usefixtures("only_sentiment")
def test_a_truncated_checkpoint_costs_only_the_steps_since_the_one_before(
    runs, command, undisturbed, tmp_path, monkeypatch, capsys
):
    with monkeypatch.context() as patch, killed_at(14, patch):
        runs.run_here(*command, f"--workdir={tmp_path}")
    before, newest = sorted((tmp_path / "checkpoints").glob("latest_*"))
    largest = max((path for path in newest.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    capsys.readouterr()
    runs.run_here(*command, f"--workdir={tmp_path}")
    out, error = capsys.readouterr()
    assert "warning" in error and newest.name in error
    assert f"Continuing at step {int(before.name.partition('_')[2])} of" in out
    assert_same(runs, tmp_path, undisturbed)


def test_other_flags_are_refused_by_name(runs, command, undisturbed):
    words = "--cell was lstm, now gru", "--seed was 0, now 1"
    runs.is_refused(words, *command, f"--workdir={undisturbed}", "--cell=gru", "--seed=1")
    assert json.loads((undisturbed / "config.json").read_text())["config"]["cell"] == ["lstm"]
