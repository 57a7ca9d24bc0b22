"""Several runs in one process, in turn and in step: as alone, whatever one of them or a kill does."""

import dataclasses
import json
import os
import signal

import numpy as np
import pytest
from oracles.jitting import counted_programs
from training.toy_runs import QUIET, Killed, killed_at, lines, saved, seeds_of
from training.toy_task import TASK

from rnn_jax.config import with_overrides
from rnn_jax.errors import TrainingDiverged, UserError
from rnn_jax.training import in_step
from rnn_jax.training.checkpoint import Checkpointer
from rnn_jax.training.complete import train_in
from rnn_jax.training.in_step import train_in_step
from rnn_jax.training.many import train_in_turn
from rnn_jax.training.seeds import train_all


def test_in_turn_is_what_single_runs_are_to_the_bit(tmp_path):
    runs = seeds_of(tmp_path / "together", learning_rate=0.02)
    outcomes = train_all(TASK, runs, "map")
    assert [outcome.exit_code for outcome in outcomes.values()] == [0, 0, 0]
    for directory, config in runs.items():
        alone = tmp_path / "alone" / directory.name
        train_in(TASK, alone, config)
        for kind in ("latest", "best"):
            assert saved(directory, config, kind) == saved(alone, config, kind)
        assert lines(directory) == lines(alone)
    assert json.loads((directory / "result.json").read_text())["seeds_mode"] == "map"


def test_another_seed_compiles_nothing(tmp_path):
    (first, second, third) = seeds_of(tmp_path, hidden_size=(7,)).items()
    with counted_programs() as programs:
        train_in_turn(lambda *run: train_in(TASK, *run), dict([first]), QUIET)
    assert programs["update"] == 1
    rates = with_overrides(third[1], {"learning_rate": 0.5})  # in the state, as the seed is
    with counted_programs() as programs:
        train_in_turn(lambda *run: train_in(TASK, *run), {second[0]: second[1], third[0]: rates}, QUIET)
    assert programs.total() == 0, programs


def test_in_step_is_what_single_runs_are_but_for_rounding(tmp_path):
    runs = seeds_of(tmp_path / "together")
    runs = {d: with_overrides(c, {"learning_rate": 0.01 * (i + 1)}) for i, (d, c) in enumerate(runs.items())}
    outcomes = train_all(TASK, runs, "vmap")
    assert [outcome.exit_code for outcome in outcomes.values()] == [0, 0, 0]
    for directory, config in runs.items():
        alone = tmp_path / "alone" / directory.name
        result = train_in(TASK, alone, config)
        ours = json.loads((directory / "result.json").read_text())
        assert ours["seeds_mode"] == "vmap"
        for name, value in result.items():
            if "/" in name:
                assert ours[name] == pytest.approx(value, rel=1e-4)
        (got, host), (expected, host_alone) = saved(directory, config), saved(alone, config)
        assert got.keys() == expected.keys() and host["waited"] == host_alone["waited"]
        for line, line_alone in zip(lines(directory), lines(alone), strict=True):
            assert line == pytest.approx(line_alone, rel=1e-3)


@pytest.mark.parametrize("mode", ["map", "vmap"])
def test_one_that_diverges_does_not_stop_the_others(tmp_path, mode):
    runs = seeds_of(tmp_path)
    directory, config = list(runs.items())[1]
    poisoned = dataclasses.replace(config, poison_step=7)
    runs = runs | {directory: poisoned}
    outcomes = train_all(TASK, runs, mode)
    assert [outcome.exit_code for outcome in outcomes.values()] == [0, TrainingDiverged.exit_code, 0]
    assert "training diverged at step 7" in (directory / "run.log").read_text()
    others = [d for d in runs if d != directory]
    assert all((d / "result.json").exists() for d in others) and not (directory / "result.json").exists()
    for other in others:
        train_in(TASK, tmp_path / "alone" / other.name, runs[other])
        assert lines(other) == [pytest.approx(line, rel=1e-3) for line in lines(tmp_path / "alone" / other.name)]


def require_same_end(runs, undisturbed):
    """Equal but for rounding: what was logged, what is saved, and the results."""
    for (directory, config), other in zip(runs.items(), undisturbed, strict=True):
        assert lines(directory) == [pytest.approx(line, rel=1e-3) for line in lines(other)]
        ours, theirs = (json.loads((d / "result.json").read_text()) for d in (directory, other))
        for name in ("validation/loss", "test/loss", "test/accuracy"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-3)
        (got, host), (expected, host_alone) = saved(directory, config), saved(other, config)
        assert got[".step"] == expected[".step"] and host["waited"] == host_alone["waited"]
        for path, array in expected.items():
            if ".params" in path:
                np.testing.assert_allclose(*(np.frombuffer(a, np.float32) for a in (got[path], array)), atol=1e-4)


def test_in_step_a_kill_between_two_saves_costs_nothing(tmp_path, monkeypatch):
    """The first member has saved, the second has not: this one catches up."""
    whole = seeds_of(tmp_path / "whole", 2)
    train_in_step(TASK, whole, QUIET)
    runs, save, count = seeds_of(tmp_path / "killed", 2), Checkpointer.save, []

    def save_one(self, step, *rest, **more):
        save(self, step, *rest, **more)
        if step == 4:
            count.append(step)
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Checkpointer, "save", save_one)
        train_in_step(TASK, runs, QUIET)
    assert count == [4]
    outcomes = train_in_step(TASK, runs, QUIET)
    assert [outcome.exit_code for outcome in outcomes.values()] == [0, 0]
    require_same_end(runs, whole)
    logs = [(directory / "run.log").read_text() for directory in runs]
    assert ["Continuing at step 4" in log for log in logs] == [True, False]


def test_in_step_one_that_diverged_takes_nothing_from_the_others(tmp_path, monkeypatch):
    """It has one early checkpoint, they have later ones: they go on from these, and it diverges once more."""
    runs, whole = (seeds_of(tmp_path / name, num_steps=16) for name in ("killed", "whole"))
    for some in (runs, whole):
        bad = list(some)[1]
        some[bad] = dataclasses.replace(some[bad], poison_step=5)
    train_in_step(TASK, whole, QUIET)
    with monkeypatch.context() as patch, killed_at(13, patch):
        train_in_step(TASK, runs, QUIET)
    steps = [sorted(int(path.name[-9:]) for path in d.glob("checkpoints/latest_*")) for d in runs]
    assert steps == [[10, 12], [2], [10, 12]]  # the NaN of step 5 is that of the state of step 4
    outcomes = train_in_step(TASK, runs, QUIET)
    assert [outcome.exit_code for outcome in outcomes.values()] == [0, TrainingDiverged.exit_code, 0]
    (first, bad, last), (first_whole, bad_whole, last_whole) = runs, whole
    require_same_end({first: runs[first], last: runs[last]}, [first_whole, last_whole])
    assert lines(bad) == [pytest.approx(line, rel=1e-3) for line in lines(bad_whole)]
    assert all("Continuing at step 12" in (d / "run.log").read_text() for d in (first, last))


def test_in_step_more_seeds_than_before_join_those_that_there_are(tmp_path, monkeypatch):
    whole, runs = (seeds_of(tmp_path / name, 4, num_steps=8) for name in ("whole", "killed"))
    train_in_step(TASK, whole, QUIET)
    with monkeypatch.context() as patch, killed_at(5, patch):
        train_in_step(TASK, dict(list(runs.items())[:2]), QUIET)
    sizes, step_of_all = [], in_step._step_of_all
    monkeypatch.setattr(in_step, "_step_of_all", lambda *a: sizes.append(len(a[1].step)) or step_of_all(*a))
    outcomes = train_in_step(TASK, runs, QUIET)
    assert [outcome.exit_code for outcome in outcomes.values()] == [0] * 4
    assert sizes == [2] * 4 + [4] * 4  # the new ones to step 4, where the old ones stand; then all
    require_same_end(runs, whole)


def test_in_step_a_signal_while_some_catch_up_stops_all(tmp_path, monkeypatch):
    runs, whole = seeds_of(tmp_path / "runs", 2, num_steps=8), seeds_of(tmp_path / "whole", 2, num_steps=8)
    train_in_step(TASK, whole, QUIET)
    with monkeypatch.context() as patch, killed_at(5, patch):
        train_in_step(TASK, dict(list(runs.items())[:1]), QUIET)
    with monkeypatch.context() as patch:
        step_of_all = in_step._step_of_all
        patch.setattr(in_step, "_step_of_all", lambda *a: os.kill(os.getpid(), signal.SIGTERM) or step_of_all(*a))
        outcomes = train_in_step(TASK, runs, QUIET)
    assert [outcome.exit_code for outcome in outcomes.values()] == [143, 143]
    assert not any((directory / "result.json").exists() for directory in runs)
    assert [o.exit_code for o in train_in_step(TASK, runs, QUIET).values()] == [0, 0]
    require_same_end(runs, whole)


def test_what_cannot_be_had_in_step_is_refused(tmp_path):
    with pytest.raises(UserError, match="--early_stopping_patience and --plateau_patience .*alone.* Use map, or leave"):
        train_all(TASK, seeds_of(tmp_path / "a", early_stopping_patience=2, plateau_patience=1), "vmap")
    with pytest.raises(UserError, match="differ in length.* Use map, or give --num_steps"):
        train_all(TASK, seeds_of(tmp_path / "b", own_text=True, num_epochs=1), "vmap")


UNEVEN = {
    "differ in length": {"own_text": True, "num_epochs": 1},
    "the states differ in shape": {"own_lanes": True, "num_steps": 6},
    "with --plateau_patience": {"plateau_patience": 1, "num_steps": 6},
}


@pytest.mark.parametrize("why", UNEVEN)
def test_auto_trains_in_turn_what_cannot_be_had_in_step(tmp_path, monkeypatch, capsys, why):
    """On an accelerator, where it would be in step; with the numbers of a run alone."""
    runs = seeds_of(tmp_path, 2, **UNEVEN[why])
    with monkeypatch.context() as patch:
        patch.setattr("rnn_jax.training.seeds.jax.default_backend", lambda: "gpu")
        outcomes = train_all(TASK, runs, "auto")
    assert [outcome.exit_code for outcome in outcomes.values()] == [0, 0]
    first, then = [line for line in capsys.readouterr().out.splitlines() if line.startswith("--seeds_mode=auto")]
    assert first == "--seeds_mode=auto: vmap" and then.startswith("--seeds_mode=auto: map, as ") and why in then
    for directory, config in runs.items():
        train_in(TASK, tmp_path / "alone" / directory.name, config)
        assert lines(directory) == lines(tmp_path / "alone" / directory.name)
