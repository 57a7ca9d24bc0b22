"""--num_seeds: several seeds of an experiment by one command."""

import json

import numpy as np
import pytest
from sentiment_runs import NO_LOSS_IS_LOW_ENOUGH, TINY, is_refused, metrics_of, run_here

from rnn_jax.errors import TrainingDiverged
from rnn_jax.files import LOG
from rnn_jax.training.seeds import lines_of, summary

FLAGS = (*TINY, "--num_steps=4", "--num_buckets=1", "--seed=5")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("seeds") / "runs"
    run_here(*FLAGS, "--num_seeds=2", "--seeds_mode=map", f"--workdir={workdir}")
    return workdir


def test_every_seed_is_a_run_and_the_table_is_theirs(trained, tmp_path, capsys):
    run_here(*FLAGS[:-1], "--seed=6", f"--workdir={tmp_path / 'alone'}")
    assert metrics_of(trained / "seed_6") == metrics_of(tmp_path / "alone")
    table = json.loads((trained / "seeds.json").read_text())
    values = [metrics_of(trained / f"seed_{seed}")["test/loss"] for seed in (5, 6)]
    assert values[0] != values[1]
    row = table["test/loss"]
    assert (row["seed_5"], row["seed_6"]) == tuple(values)
    assert row["mean"] == pytest.approx(np.mean(values)) and row["std"] == pytest.approx(np.std(values, ddof=1))


def test_again_shows_the_table_and_more_seeds_add_to_it(trained, capsys):
    before = (trained / "seed_5" / "result.json").stat().st_mtime_ns
    run_here(*FLAGS, "--num_seeds=2", f"--workdir={trained}")
    assert "mean ± standard deviation over 2 seeds:" in capsys.readouterr().out
    run_here(*FLAGS, "--num_seeds=3", "--seeds_mode=map", f"--workdir={trained}")
    said = capsys.readouterr().out
    assert "over 3 seeds:" in said and "test/accuracy 0." in said and (trained / "seed_7" / "result.json").exists()
    assert (trained / "seed_5" / "result.json").stat().st_mtime_ns == before
    run_here("--mode=eval", f"--workdir={trained / 'seed_5'}")
    assert "test/accuracy" in capsys.readouterr().out


def test_a_run_of_one_seed_is_no_place_for_several(trained):
    is_refused(["one seed", "--num_seeds=2"], *FLAGS, "--num_seeds=2", f"--workdir={trained / 'seed_5'}")
    is_refused(["not empty"], *FLAGS, f"--workdir={trained}")


def test_other_flags_than_before_are_refused_by_name(trained):
    for seeds in ("--num_seeds=2", "--num_seeds=4"):
        is_refused(["--learning_rate was 0.004, now 0.5"], *FLAGS, "--learning_rate=0.5", seeds, f"--workdir={trained}")


def test_seeds_that_diverge_are_named(tmp_path):
    with pytest.raises(TrainingDiverged, match=r"seed_5 \(exit code 3\), seed_6 \(exit code 3\); see run.log"):
        factor = f"--divergence_factor={NO_LOSS_IS_LOW_ENOUGH}"
        run_here(*FLAGS, factor, "--num_seeds=2", "--seeds_mode=map", f"--workdir={tmp_path / 'runs'}")
    assert "diverged at step 1: loss 0." in (tmp_path / "runs" / "seed_5" / LOG).read_text()
    assert not list(tmp_path.glob("runs/seed_*/result.json")) and not (tmp_path / "runs" / "seeds.json").exists()


def test_the_summary_of_results():
    results = {
        "seed_0": {"test/a": 1.0, "test/words": 7, "seconds": 3.0, "test/null": None},
        "seed_1": {"test/a": 2.0, "test/words": 7, "seconds": 4.0, "test/null": 0.5},
    }
    table = summary(results)
    assert table == {"test/a": {"mean": 1.5, "std": pytest.approx(0.5**0.5), "seed_0": 1.0, "seed_1": 2.0}}
    assert lines_of(table, 2) == ["mean ± standard deviation over 2 seeds:", "  test/a 1.5 ± 0.71"]
    assert summary({"seed_0": {"test/a": 1.0}})["test/a"]["std"] is None
