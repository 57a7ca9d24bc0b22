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

WINDOWS = ("--random_bptt", "--recurrent_dropout=0.2", "--temporal_penalty=1", "--nonmonotone_interval=1")
SEQ2SEQ = ("--teacher_forcing=linear", "--average_checkpoints=2", "--plateau_patience=1", "--select_by=loss")
FLAGS = {
    sentiment_runs.RUNS: (*sentiment_runs.TINY, "--num_epochs=3"),
    tagging_runs.RUNS: (*tagging_runs.TINY, "--decoder=crf", "--label_scheme=bioes", "--num_epochs=2"),
    seq2seq_runs.RUNS: (*seq2seq_runs.TINY, *SEQ2SEQ, "--num_epochs=2"),
    language_model_runs.RUNS: (*language_model_runs.SMALL, *WINDOWS, "--num_epochs=3"),
}
KILLS = {
    sentiment_runs.RUNS: 6,
    tagging_runs.RUNS: 1,
    seq2seq_runs.RUNS: 1,
    language_model_runs.RUNS: 1,
}  # of the others, whether theirs resume


@pytest.fixture(scope="module", params=FLAGS, ids=lambda runs: runs.script.EXPERIMENT)
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
    code, _, error = runs.run(*command, f"--workdir={workdir}")
    assert code == 0, error
    return workdir


@pytest.fixture
def only_sentiment(runs):
    """What both experiments do by the same code is tried with one of them, as every start takes seconds."""
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


@pytest.mark.slow
def test_killed_again_and_again(runs, command, undisturbed, tmp_path):
    workdir, moments = tmp_path / "run", random.Random(0)
    saves, kills = 0, 0
    while kills < KILLS[runs]:
        process = runs.start(*command, f"--workdir={workdir}")
        during_save = kills % 3 == 0
        wait_for(process, functools.partial(being_saved, workdir / "checkpoints", during_save))
        if process.poll() is not None:
            break  # it finished before the moment came
        if not during_save:
            time.sleep(moments.uniform(0.0, 0.1))
        process.kill()
        process.communicate()
        kills += 1
        saves += any((workdir / "checkpoints").glob(".tmp_*"))
    code, _, error = runs.run(*command, f"--workdir={workdir}")
    assert code == 0, error
    assert kills == KILLS[runs] and (saves >= 1 or kills < 10), f"{kills} kills, {saves} of them during a save"
    assert_same(runs, workdir, undisturbed)


def being_saved(checkpoints, during_save):
    return any(checkpoints.glob(".tmp_*")) if during_save else any(checkpoints.glob("latest_*"))


def wait_for(process, condition):
    while process.poll() is None and not condition():
        time.sleep(0.0005)


@pytest.mark.usefixtures("only_sentiment")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_save_and_say_how_to_go_on(number, runs, command, undisturbed, tmp_path):
    workdir = tmp_path / "run"
    process = runs.start(*command, f"--workdir={workdir}")
    wait_for(process, lambda: any((workdir / "checkpoints").glob("latest_*")))
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + number, error.decode()
    assert "checkpoint saved. Run the same command again" in error.decode() and "Traceback" not in error.decode()
    assert not (workdir / "result.json").exists()
    code, _, error = runs.run(*command, f"--workdir={workdir}")
    assert code == 0, error
    assert_same(runs, workdir, undisturbed)


@pytest.mark.usefixtures("only_sentiment")
def test_a_truncated_checkpoint_costs_only_the_steps_since_the_one_before(runs, command, undisturbed, tmp_path):
    workdir = tmp_path / "run"
    process = runs.start(*command, f"--workdir={workdir}")
    wait_for(process, lambda: len(list((workdir / "checkpoints").glob("latest_*"))) >= 2)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    newest = max((workdir / "checkpoints").glob("latest_*"))
    largest = max((path for path in newest.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    code, _, error = runs.run(*command, f"--workdir={workdir}")
    assert code == 0, error
    assert "warning" in error and newest.name in error
    assert_same(runs, workdir, undisturbed)


def test_other_flags_are_refused_by_name(runs, command, undisturbed):
    code, _, error = runs.run(*command, f"--workdir={undisturbed}", "--cell=gru", "--seed=1")
    assert code == 2
    assert "--cell was lstm, now gru" in error and "--seed was 0, now 1" in error and "Traceback" not in error
    assert json.loads((undisturbed / "config.json").read_text())["config"]["cell"] == ["lstm"]
