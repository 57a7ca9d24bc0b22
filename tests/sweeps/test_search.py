"""Searches over a space: what they find, prune, record, and how they go on after a kill."""

import json
import os
import signal
import statistics
from pathlib import Path

import pytest

from rnn_jax.errors import TrainingInterrupted
from rnn_jax.sweeps import local, search
from rnn_jax.sweeps.rows import Sweep
from tests.sweeps import quadratic

ROOT = Path(__file__).parents[2]


def sweep_of(**changes):
    sweep = Sweep(
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
    return sweep._replace(**changes)


def square(trial):
    return {"x": trial.suggest_float("x", -1.0, 1.0), "y": trial.suggest_float("y", -1.0, 1.0)}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A search in tmp_path, its processes being steps of this one; also gives what it said."""
    monkeypatch.setattr(local, "SECONDS_BETWEEN_LOOKS", 0.0)
    said = []

    def run(space=square, workdir=tmp_path, sweep=sweep_of(), **options):
        options = {"num_trials": 12, "start_job": quadratic.Process, "say": said.append, **options}
        return search.run_search(sweep, space, workdir, **options)

    run.said = said
    return run


def summary(study):
    return [(trial.number, trial.state.name, trial.params, trial.value) for trial in study.trials]


def test_it_finds_the_optimum_and_prunes(run, tmp_path):
    study = run(num_trials=60)
    states = [trial.state.name for trial in study.trials]
    assert len(states) == 60 and set(states) == {"COMPLETE", "PRUNED"}
    finals = [quadratic.score(trial.params["x"], trial.params["y"], quadratic.STEPS) for trial in study.trials]
    assert study.best_value == max(finals) > max(finals[:10])  # none of the good ones was pruned
    assert study.best_value > -0.02  # of random points in the square, one in 65 is as good
    assert statistics.mean(finals[30:]) > statistics.mean(finals[:10]) + 0.2
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
    assert "## Importance" in text and text.count("\n| ") > 60
    assert (tmp_path / "search.png").read_bytes().startswith(b"\x89PNG")
    assert run.said[0] == "The search goes by validation/score; test/score is for the end."
    assert len(run.said) == 61 and "trial 0 finished: validation/score" in run.said[1]


def test_less_may_be_better(run):
    def cost(trial):
        return {"x": trial.suggest_float("x", -1.0, 1.0)}

    study = run(cost, sweep=sweep_of(metric="validation/score", maximize=False), num_trials=20)
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
    starts = [len(path.read_text().split()) for path in sorted((tmp_path / "disturbed").glob("runs/*/starts"))]
    assert len(starts) == 12 and sum(starts) > 12
    other = run(workdir=tmp_path / "other", seed=4)
    assert other.trials[0].params != undisturbed.trials[0].params


def test_a_finished_search_is_not_made_again(run, tmp_path):
    before = summary(run(num_trials=4))
    assert summary(run(num_trials=4)) == before
    assert summary(run(num_trials=5))[:4] == before
    assert [len(path.read_text().split()) for path in tmp_path.glob("runs/*/starts")] == [1] * 5


def troubled(trial):
    kind = trial.suggest_categorical("kind", ["", "bug", "diverged", "killed", "blank"])
    return {"x": trial.suggest_float("x", 0.0, 1.0)} | ({"blank": True} if kind == "blank" else {"trouble": kind})


def test_failures_are_recorded_and_stop_nothing(run, tmp_path):
    study = run(troubled, num_trials=25)
    kinds = {trial.params["kind"] for trial in study.trials}
    assert kinds == {"", "bug", "diverged", "killed", "blank"}
    for trial in study.trials:
        starts = len((tmp_path / "runs" / f"trial_{trial.number:04d}" / "starts").read_text().split())
        told = (trial.state.name, trial.user_attrs.get("message"), starts)
        if trial.params["kind"] in ("", "blank") and trial.state.name == "PRUNED":
            assert told == ("PRUNED", None, 1)
        else:
            assert (
                told
                == {
                    "": ("COMPLETE", None, 1),
                    "bug": ("FAIL", "error: there is bug", 1),
                    "diverged": ("PRUNED", "error: there is diverged", 1),
                    "killed": ("FAIL", told[1], 3 if trial.last_step == 20 else 0),
                    "blank": ("FAIL", "validation/score is not a finite number", 1),
                }[trial.params["kind"]]
            )
    text = (tmp_path / "search.md").read_text()
    assert "| failed |" in text and "| diverged |" in text and "error: there is bug" in text
