"""The gradient-flow experiment: numbers that are known, what a run leaves behind, what it refuses."""

import functools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from experiment_runs import ExperimentRuns, lines_of, metrics_of
from oracles.jitting import quick_jit

from experiments import gradient_flow
from rnn_jax import LSTM
from rnn_jax.analysis.gradient_flow import gradient_norms

TINY = ("--hidden_size=4", "--input_size=3", "--batch_size=2", "--length=12")
RUNS = ExperimentRuns(gradient_flow, TINY, TINY)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "lstm"
    RUNS.run_here(*TINY, "--cell=lstm", f"--workdir={workdir}")
    return workdir


@pytest.mark.parametrize(
    ("options", "gain", "half_distance"),
    [("w_h_init=0.9", 0.9, 7), ("w_h_init=identity", 1.0, None), ("w_h_init=2", 2.0, None)],
)
def test_one_linear_unit_has_powers_of_its_weight(options, gain, half_distance, tmp_path):
    flags = ("--cell=elman_identity", "--hidden_size=1", f"--cell_options={options}")
    RUNS.run_here(*TINY, *flags, f"--workdir={tmp_path / 'run'}")
    result = metrics_of(tmp_path / "run")
    assert result == {
        "gradient/log10_ratio": pytest.approx(11 * math.log10(gain)),
        "gradient/half_distance": half_distance,
        "num_parameters": 3 + 1 + 1,
    }
    lines = lines_of(tmp_path / "run")
    assert [line["step"] for line in lines] == list(range(12))
    assert [line["gradient/norm"] for line in lines] == pytest.approx([gain**d for d in range(12)])


def test_the_run_directory(measured):
    assert {path.name for path in measured.iterdir()} >= {"config.json", "metrics.jsonl", "result.json"}
    assert (measured / "gradient_flow.png").read_bytes().startswith(b"\x89PNG")
    result = metrics_of(measured)
    assert result["num_parameters"] == 4 * 4 * (3 + 4 + 1)
    last = lines_of(measured)[-1]["gradient/norm"]
    assert result["gradient/log10_ratio"] == pytest.approx(math.log10(last)) and last < 0.1


def test_norms_are_those_of_the_library_and_mean_over_rows(measured):
    """The same weights and inputs, drawn here from the seed; row by row."""
    cell, key = LSTM(4), jax.random.key(0)
    xs = jax.random.normal(jax.random.fold_in(key, 1), (2, 12, 3))
    params = cell.init(jax.random.split(key, 1)[0], 3)
    with jax.enable_x64(True):
        params, xs = jax.tree.map(jnp.float64, (params, xs))
        one_row = quick_jit(functools.partial(gradient_norms, cell))
        expected = np.mean([one_row(params, row) for row in xs], axis=0)
    lines = lines_of(measured)
    np.testing.assert_allclose([line["gradient/absolute"] for line in lines], expected, rtol=1e-10)
    np.testing.assert_allclose([line["gradient/norm"] for line in lines], expected / 2, rtol=1e-10)  # ‖(1, 1, 1, 1)‖


def test_the_same_command_shows_the_result_and_measures_nothing(measured, capsys, monkeypatch):
    monkeypatch.delattr(gradient_flow, "measure")
    before = (measured / "metrics.jsonl").read_bytes()
    RUNS.run_here(*TINY, "--cell=lstm", f"--workdir={measured}")
    assert f"gradient/log10_ratio {metrics_of(measured)['gradient/log10_ratio']:.4g}" in capsys.readouterr().out
    assert (measured / "metrics.jsonl").read_bytes() == before


def test_a_killed_start_leaves_no_lines_behind(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    flags = (*TINY, "--cell=elman", f"--workdir={tmp_path / 'run'}")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(gradient_flow, "summarise", killed)
        RUNS.run_here(*flags)
    RUNS.run_here(*flags)
    assert [line["step"] for line in lines_of(tmp_path / "run")] == list(range(12))


def test_nothing_left_is_null(tmp_path):
    RUNS.run_here(*TINY, "--cell=memoryless", f"--workdir={tmp_path / 'run'}")
    result = metrics_of(tmp_path / "run")
    assert (result["gradient/log10_ratio"], result["gradient/half_distance"]) == (None, 1)


def test_layers_and_the_gradient_of_the_input(tmp_path):
    """Two layers that hand on what they read: Σ y_T = Σ x_T, and nothing of the steps before."""
    options = "--cell_options=w_x_init=identity,w_h_init=zeros"
    flags = ("--cell=elman_identity", "--num_layers=2", "--gradient_of=input", "--hidden_size=3", options)
    RUNS.run_here(*TINY, *flags, f"--workdir={tmp_path / 'run'}")
    norms = [line["gradient/absolute"] for line in lines_of(tmp_path / "run")]
    assert norms == pytest.approx([math.sqrt(3)] + [0.0] * 11)


def test_the_plan_is_shown_and_nothing_written(tmp_path, capsys):
    RUNS.run_here(*TINY, "--cell=gru", "--dry_run", f"--workdir={tmp_path / 'run'}")
    shown = capsys.readouterr().out
    config = json.loads(shown[: shown.index("}") + 1])
    assert config["cell"] == ["gru"] and config["length"] == 12
    assert "(3, 12)" in shown and "Inputs: (2, 12, 3)" in shown
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--cell=lsmt"], ["lsmt", "lstm", "gru"]),
        (["--cell_options=chrono=1"], ["at least 2 steps"]),
        (["--hidden_size=4,4"], ["--num_layers=1"]),
    ],
)
def test_messages(flags, words, tmp_path):
    RUNS.is_refused(words, *TINY, *flags, f"--workdir={tmp_path / 'run'}")


@pytest.mark.parametrize("mode", ["eval", "predict"])
def test_there_is_no_trained_model(mode, measured):
    RUNS.is_refused([f"--mode={mode}", "no trained one", "result.json"], f"--mode={mode}", f"--workdir={measured}")
