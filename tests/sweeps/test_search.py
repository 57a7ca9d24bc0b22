"""Searches over a space: what they find, prune, record, and how they go on after a kill."""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from rnn_jax.errors import TrainingInterrupted, UserError
from rnn_jax.sweeps import local, search
from rnn_jax.sweeps.rows import Sweep
from tests.sweeps import quadratic

ROOT = Path(__file__).parents[2]


SWEEP = Sweep(
    path=Path("quadratic_sweep.py"),
    title="Two numbers.",
    text="",
    module="tests.sweeps.quadratic",
    experiment="quadratic",
    config_class=quadratic.Config,
    metric="test/score",
    maximize=True,
    curve="validation/score",
    curve_axis="step",
    curve_log=False,
    rows=(),
    num_seeds=1,
)


def square(trial):
    return {"x": trial.suggest_float("x", -1.0, 1.0), "y": trial.suggest_float("y", -1.0, 1.0)}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A search in tmp_path, its processes being steps of this one; also gives what it said."""
    monkeypatch.setattr(local, "SECONDS_BETWEEN_LOOKS", 0.0)
    said = []

    def run(space=square, workdir=tmp_path, sweep=SWEEP, **options):
        options = {"num_trials": 12, "start_job": quadratic.Process, "say": said.append, **options}
        return search.run_search(sweep, space, workdir, **options)

    run.said = said
    return run


def summary(study):
    return [(trial.number, trial.state.name, trial.params, trial.value) for trial in study.trials]


def test_it_finds_the_optimum_and_prunes(run, tmp_path):
    study = run(num_trials=40)
    states = [trial.state.name for trial in study.trials]
    assert len(states) == 40 and set(states) == {"COMPLETE", "PRUNED"}
    finals = [quadratic.score(trial.params["x"], trial.params["y"], quadratic.STEPS) for trial in study.trials]
    assert study.best_value == max(finals) > max(finals[:10])  # none of the good ones was pruned
    assert study.best_value > -0.02  # of random points in the square, one in 65 is as good
    assert statistics.mean(finals[20:]) > statistics.mean(finals[:10]) + 0.2
    for number, trial in enumerate(study.trials):
        directory = tmp_path / "runs" / f"trial_{number:04d}"
        finished = trial.state.name == "COMPLETE"
        assert (directory / "result.json").exists() == finished
        assert json.loads((directory / ".outcome.json").read_text())["exit_code"] == 143 if not finished else True
        assert trial.value == (finals[number] if finished else trial.intermediate_values[trial.last_step])

    # Median pruning by its definition: the first step at which the best so far is below the median of finished ones.
    for trial in study.trials:
        before = [t for t in study.trials[: trial.number] if t.state.name == "COMPLETE"]
        steps = sorted(trial.intermediate_values)
        medians = {step: statistics.median(t.intermediate_values[step] for t in before) for step in steps if before}
        bad = [
            step
            for step in steps
            if len(before) >= 5 and max(trial.intermediate_values[s] for s in steps if s <= step) < medians[step]
        ]
        assert bad == (steps[-1:] if trial.state.name == "PRUNED" else [])

    text = (tmp_path / "search.md").read_text()
    best = study.best_trial
    assert f"Best: trial {best.number}, validation/score {best.value:.6g}" in text
    assert f"test/score of that run: {best.value - 1:.6g}" in text
    assert f"python -m tests.sweeps.quadratic --x={best.params['x']} --y={best.params['y']} --workdir=runs/best" in text
    assert f"{states.count('COMPLETE')} finished, {states.count('PRUNED')} pruned" in text
    assert "## Importance" in text and text.count("\n| ") > 40
    assert (tmp_path / "search.png").read_bytes().startswith(b"\x89PNG")
    assert run.said[0] == "The search goes by validation/score; test/score is for the end."
    assert len(run.said) == 41 and "trial 0 finished: validation/score" in run.said[1]


def test_less_may_be_better(run):
    def cost(trial):
        return {"x": trial.suggest_float("x", -1.0, 1.0)}

    study = run(cost, sweep=SWEEP._replace(metric="validation/score", maximize=False), num_trials=20)
    finals = [quadratic.score(trial.params["x"], 0.0, quadratic.STEPS) for trial in study.trials]
    assert study.best_value == min(finals)
    assert "The search goes by" not in run.said[0]


def test_an_interrupted_search_makes_the_same_choices(run, tmp_path):
    undisturbed = run(workdir=tmp_path / "undisturbed", seed=3)
    moments = iter([2, 15, 16, 40, 10_000])
    for _ in range(4):
        count, moment = [0], next(moments)

        def tick(count=count, moment=moment):
            count[0] += 1
            if count[0] == moment:
                os.kill(os.getpid(), signal.SIGTERM)

        with pytest.raises(TrainingInterrupted):
            run(workdir=tmp_path / "disturbed", seed=3, tick=tick)
    disturbed = run(workdir=tmp_path / "disturbed", seed=3)
    assert summary(disturbed) == summary(undisturbed)
    starts = [len(path.read_text().splitlines()) for path in sorted((tmp_path / "disturbed").glob("runs/*/starts"))]
    assert len(starts) == 12 and sum(starts) > 12
    other = run(workdir=tmp_path / "other", seed=4)
    assert other.trials[0].params != undisturbed.trials[0].params


def test_a_finished_search_is_not_made_again(run, tmp_path):
    before = summary(run(num_trials=4))
    assert summary(run(num_trials=4)) == before
    assert summary(run(num_trials=5))[:4] == before
    assert [len(path.read_text().splitlines()) for path in tmp_path.glob("runs/*/starts")] == [1] * 5


KINDS = ("", "bug", "diverged", "killed", "blank", "left out")


def troubled(trial):
    kind, x = KINDS[trial.number % 6], trial.suggest_float("x", 0.0, 1.0)
    if kind == "left out":
        raise optuna.TrialPruned
    return {"x": x} | ({"blank": True} if kind == "blank" else {"trouble": kind})


def test_failures_are_recorded_and_stop_nothing(run, tmp_path):
    study = run(troubled, num_trials=12)
    states = [(trial.state.name, trial.user_attrs.get("message", "")) for trial in study.trials]
    killed = states[3]
    assert states == 2 * [
        ("COMPLETE", ""),
        ("FAIL", "error: there is bug"),
        ("PRUNED", "error: there is diverged"),
        killed,
        ("FAIL", "validation/score is not a finite number"),
        ("PRUNED", "left out by the space"),
    ]
    assert killed[0] == "FAIL" and killed[1].startswith("killed 3 times (exit code -9)")
    starts = {path.parent.name: len(path.read_text().splitlines()) for path in tmp_path.glob("runs/*/starts")}
    assert starts == {f"trial_{n:04d}": 3 if n % 6 == 3 else 1 for n in range(12) if n % 6 != 5}
    text = (tmp_path / "search.md").read_text()
    assert "2 finished, 6 failed, 2 diverged, 2 pruned" in text and "error: there is bug" in text
    first = quadratic.score(study.trials[2].params["x"], 0.0, 1)
    lines = ["trial 1 failed", f"trial 2 diverged: validation/score {first:.4f}"]
    assert [line.split(" · ")[0] for line in run.said[2:4]] == lines


def slow_square(trial):
    return square(trial) | {"pause": 0.1 + 0.15 * (trial.number % 2)}


KILLED = """
import sys
from pathlib import Path
from rnn_jax.sweeps import search
from tests.sweeps.test_search import SWEEP, slow_square
search.run_search(SWEEP, slow_square, Path(sys.argv[1]), num_trials=5, num_parallel=2)
"""


@pytest.mark.slow
def test_a_killed_search_goes_on(tmp_path, monkeypatch):
    """With processes of its own, two at a time, and killed in the middle of writing its journal."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    first = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], cwd=ROOT, stdout=subprocess.DEVNULL)
    report = tmp_path / "search.md"
    while not (report.exists() and "1 finished" in report.read_text()):
        assert first.poll() is None
        time.sleep(0.01)
    first.kill()
    first.wait()
    time.sleep(0.5)  # its runs get SIGTERM, and end after their step
    begun = {path.parent for path in tmp_path.glob("runs/*/starts")}
    cut = {directory for directory in begun if not (directory / "result.json").exists()}
    assert 2 <= len(begun) < 5 and 1 <= len(cut) <= 2
    with (tmp_path / "search.journal").open("a") as journal:
        journal.write('{"op_code":8,"trial_')
    if not (lock := tmp_path / "search.journal.lock").is_symlink():  # killed while it did not hold the lock
        lock.symlink_to(tmp_path / "search.journal")

    said = []
    study = search.run_search(SWEEP, slow_square, tmp_path, num_trials=5, num_parallel=2, say=said.append)
    assert [(trial.number, trial.state.name) for trial in study.trials] == [(n, "COMPLETE") for n in range(5)]
    assert len({trial.params["x"] for trial in study.trials}) == 5
    for trial in study.trials:
        directory = tmp_path / "runs" / f"trial_{trial.number:04d}"
        starts = (directory / "starts").read_text().splitlines()
        assert len(starts) == (2 if directory in cut else 1) and len(set(starts)) == 1
        assert f"--x={trial.params['x']} --y={trial.params['y']}" in starts[0]
        assert trial.value == quadratic.score(trial.params["x"], trial.params["y"], quadratic.STEPS)
        assert sorted(trial.intermediate_values) == [10, 20, 30, 40, 50, 60]
    assert len(said) == 1 + 5 - (len(begun) - len(cut))


def test_what_is_wrong_is_said_first(run, tmp_path):
    def refused(words, space=square, **options):
        with pytest.raises(UserError) as error:
            run(space, **options)
        assert all(word in str(error.value) for word in words), str(error.value)
        assert not (tmp_path / "runs").exists()

    refused(["quadratic_sweep.py", "'z'"], lambda trial: {"z": trial.suggest_float("z", 0.0, 1.0)})
    refused(["between -1.0 and 2.0", "optuna.TrialPruned"], lambda trial: {"x": trial.suggest_float("x", 0.0, 9.0)})
    refused(["--blank needs"], lambda trial: {"blank": True, "trouble": trial.suggest_categorical("t", ["bug"])})
    refused(["failed: ZeroDivisionError"], lambda trial: {"x": 1 / 0})
    refused(["gave [0.5]", "dict"], lambda trial: [0.5])
    refused(["METRIC = 'train/loss'", "validation"], sweep=SWEEP._replace(metric="train/loss"))
    refused(["METRIC = 'num_parameters'"], sweep=SWEEP._replace(metric="num_parameters"))

    with pytest.raises(UserError, match=r"has no validation/loss \(it has validation/score\)"):
        run(sweep=SWEEP._replace(metric="test/loss"))
    other = {"workdir": tmp_path / "other", "num_trials": 1}
    run(**other)
    with pytest.raises(UserError, match="search to maximize validation/score of .*, not to minimize validation/score"):
        run(sweep=SWEEP._replace(maximize=False), **other)


def test_a_search_goes_on_from_the_configuration_that_it_began_with(run, tmp_path):
    def space(trial):
        return {"x": trial.suggest_float("x", -1.0, 1.0)}

    before = summary(run(space, base=quadratic.Config(y=0.5, seed=3), num_trials=3))
    for base, words in [
        (quadratic.Config(y=0.25, seed=3), "another baseline: y was 0.5, now 0.25. Put the first row .* back"),
        (quadratic.Config(y=0.5, seed=4), "another baseline: seed was 3, now 4"),
        (None, "y was 0.5, now 0.0; seed was 3, now 0"),
    ]:
        with pytest.raises(UserError, match=words):
            run(space, base=base, num_trials=4)
    study = run(space, base=quadratic.Config(y=0.5, seed=3, pause=0.001), num_trials=4)  # a pause changes no number
    assert summary(study)[:3] == before and len(study.trials) == 4


def test_the_command_of_the_best_trial_is_what_it_was_trained_with(run, tmp_path):
    """Not what the sweep file would make of its choices today."""

    def space(trial):
        return {"x": trial.suggest_float("x", -1.0, 1.0)}

    study = run(space, base=quadratic.Config(y=0.5), num_trials=3)
    x = study.best_trial.params["x"]
    line = f"python -m tests.sweeps.quadratic --x={x} --y=0.5 --workdir=runs/best"
    assert line in (tmp_path / "search.md").read_text()
    run(space, base=quadratic.Config(y=0.5, pause=0.5), num_trials=3)
    assert line in (tmp_path / "search.md").read_text()
    (tmp_path / "runs" / f"trial_{study.best_trial.number:04d}" / "config.json").unlink()
    run(space, base=quadratic.Config(y=0.5), num_trials=3)
    assert "No command for it: " in (text := (tmp_path / "search.md").read_text()) and "python -m" not in text


def test_no_trial_begins_after_the_time_is_up(run):
    assert len(run(num_trials=5, seconds=1e-6).trials) == 0
    assert len(run(num_trials=5, seconds=1e6).trials) == 5
