"""Runs that share a process: who is together, and that the process does what its SPEC says."""

from pathlib import Path

import pytest
import sentiment_runs
from experiment_runs import metrics_of

from experiments import sentiment
from rnn_jax.config import with_overrides
from rnn_jax.errors import TrainingDiverged
from rnn_jax.files import LOG, read_json
from rnn_jax.sweeps.group import main, write_spec
from rnn_jax.sweeps.grouping import MOST_TOGETHER, group_runs, make_group_jobs
from rnn_jax.sweeps.records import read_record
from rnn_jax.sweeps.rows import Row, Sweep, SweepRun, expand

SETTINGS = dict(flag.removeprefix("--").split("=", 1) for flag in sentiment_runs.TINY)
CONFIG = with_overrides(sentiment.Config(), {**SETTINGS, "num_epochs": "1", "output_dropout": 0.1})


def sweep_of(*overrides, num_seeds=1):
    rows = [
        Row(f"row {n}", dict(changes), with_overrides(CONFIG, changes), f"row-{n}")
        for n, changes in enumerate(overrides)
    ]
    nothing = dict.fromkeys(Sweep._fields, "")
    about = {"module": "experiments.sentiment", "config_class": sentiment.Config, "metric": "test/accuracy"}
    return Sweep(**{**nothing, **about, "rows": tuple(rows), "num_seeds": num_seeds})


def together(groups):
    return sorted([[(run.row, run.seed) for run in group] for group in groups])


def test_seeds_and_rates_share_a_process_and_other_programs_do_not():
    sweep = sweep_of({}, {"learning_rate": 0.1}, {"cell": ["gru"]}, {"output_dropout": 0.5}, {"output_dropout": 0.0})
    groups = group_runs(expand(sweep, Path("d"), 2))
    assert together(groups) == [
        [(0, 0), (0, 1), (1, 0), (1, 1)],
        [(2, 0), (2, 1)],
        [(3, 0), (3, 1)],
        [(4, 0), (4, 1)],
    ]


@pytest.mark.parametrize(
    ("num_seeds", "num_parallel", "sizes"),
    [
        (1, 1, [1]),
        (8, 1, [8]),
        (8, 2, [4, 4]),
        (8, 3, [3, 3, 2]),
        (10, 1, [5, 5]),
        (3, 8, [1, 1, 1]),
        (17, 1, [6, 6, 5]),
    ],
)
def test_groups_are_even_and_leave_no_place_empty(num_seeds, num_parallel, sizes):
    groups = group_runs(expand(sweep_of({}), Path("d"), num_seeds), num_parallel)
    assert [len(group) for group in groups] == sizes and max(sizes) <= MOST_TOGETHER


def test_with_enough_rows_for_all_places_a_row_stays_together():
    sweep = sweep_of({}, {"cell": ["gru"]}, {"cell": ["elman"]})
    assert [len(group) for group in group_runs(expand(sweep, Path("d"), 4), 2)] == [4, 4, 4]


def test_jobs_of_what_is_still_to_do(tmp_path):
    sweep = sweep_of({}, {"cell": ["gru"]}, {"cell": ["elman"], "seed": 7})
    runs = [run for run in expand(sweep, tmp_path, 3) if run.row != 2 or run.seed == 7]
    todo = [run for run in runs if (run.row, run.seed) != (0, 1) and run.row != 1]
    together, single = make_group_jobs(sweep, runs, todo, tmp_path, mode="map", environment=(("A", "b"),))
    directories = [str(tmp_path / "runs" / "row-0" / f"seed_{seed}") for seed in (0, 2)]
    assert together.directories == tuple(directories) and together.environment == (("A", "b"),)
    assert together.name == "row 0 seed 0 + row 0 seed 2"
    assert together.command[:2] == ("-m", "rnn_jax.sweeps.group")
    spec = read_json(Path(together.command[2]))
    assert (spec["mode"], spec["module"]) == ("map", "experiments.sentiment")
    assert [(run["config"]["seed"], run["directory"]) for run in spec["runs"]] == list(zip((0, 2), directories))
    assert single.command[:2] == ("-m", "experiments.sentiment") and "--seed=7" in single.command


def spec_of(tmp_path, configs, mode="auto"):
    runs = [SweepRun(0, n, config, tmp_path / "runs" / str(n)) for n, config in enumerate(configs)]
    file = tmp_path / "groups" / "spec.json"
    write_spec(file, "experiments.sentiment", runs, mode=mode)
    return file, runs


@pytest.mark.parametrize(("mode", "used"), [("auto", "map"), ("vmap", "vmap")])
def test_every_run_of_a_group_ends_as_alone(tmp_path, capsys, mode, used):
    file, runs = spec_of(tmp_path, [with_overrides(CONFIG, {"seed": seed}) for seed in (0, 1)], mode)
    assert main([str(file)]) == 0
    assert ("--seeds_mode=auto: map" in capsys.readouterr().out) == (mode == "auto")  # on a CPU, whatever the time
    sentiment_runs.run_here(
        *sentiment_runs.TINY, "--num_epochs=1", "--output_dropout=0.1", "--seed=1", f"--workdir={tmp_path / 'alone'}"
    )
    assert metrics_of(runs[1].directory) == pytest.approx(metrics_of(tmp_path / "alone"), rel=1e-3)
    assert "texts to train on" in (runs[0].directory / LOG).read_text()
    for run in runs:
        assert read_record(run).status == "finished"
        assert read_json(run.directory / "result.json")["seeds_mode"] == used


def test_every_run_notes_its_own_end(tmp_path):
    short = with_overrides(CONFIG, {"num_steps": 2})
    hopeless = with_overrides(short, {"divergence_factor": sentiment_runs.NO_LOSS_IS_LOW_ENOUGH})
    file, runs = spec_of(tmp_path, [short, hopeless, with_overrides(CONFIG, {"train_split": "trian"})], mode="map")
    assert main([str(file)]) == TrainingDiverged.exit_code
    records = [read_record(run) for run in runs]
    assert [record.status for record in records] == ["finished", "diverged", "failed"]
    assert "diverged at step 1: loss 0." in records[1].message and "trian" in records[2].message
