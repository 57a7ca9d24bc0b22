"""Parameters kept to be averaged: which ones, their mean in NumPy, and what kills and bad disks leave."""

import contextlib
import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training import toy_task

from rnn_jax.config import group
from rnn_jax.errors import UserError
from rnn_jax.training.averaging import KeptParams
from rnn_jax.training.checkpoint import Checkpointer
from rnn_jax.training.optimizer_config import OptimizerConfig
from rnn_jax.training.run import open_run
from rnn_jax.training.run_config import RunConfig
from rnn_jax.training.state import TrainState
from rnn_jax.training.trained import load, restore_params


@dataclasses.dataclass(frozen=True)
class Config:
    optimizer: OptimizerConfig = group(OptimizerConfig, "optimiser")
    run: RunConfig = group(RunConfig, "run")


def averaging(size: int, which: str = "best") -> Config:
    return Config(run=RunConfig(average_checkpoints=size, average_checkpoints_from=which))


SHAPES = {"w": jax.ShapeDtypeStruct((3,), jnp.float32), "b": [jax.ShapeDtypeStruct((), jnp.bfloat16)]}


def params(step: int, seed: int = 0) -> dict:
    rng = np.random.default_rng((seed, step))
    return {"w": jnp.asarray(rng.normal(size=3), jnp.float32), "b": [jnp.asarray(rng.normal(), jnp.bfloat16)]}


def state(step: int, seed: int = 0) -> TrainState:
    return TrainState(jnp.int32(step), params(step, seed), (), None)


def assert_mean_of(actual, trees) -> None:
    """Sums in float64, rounded once."""
    w = np.mean([np.asarray(tree["w"], np.float64) for tree in trees], axis=0)
    b = np.mean([np.float64(tree["b"][0]) for tree in trees])
    np.testing.assert_array_equal(np.asarray(actual["w"]), w.astype(np.float32))
    np.testing.assert_array_equal(np.asarray(actual["b"][0], np.float32), np.float32(jnp.bfloat16(b)))
    assert actual["w"].dtype == jnp.float32 and actual["b"][0].dtype == jnp.bfloat16


@pytest.fixture
def run(tmp_path):
    with open_run(tmp_path / "run", "toy", Config()) as opened:
        yield opened


@pytest.fixture
def keeping(run):
    """KeptParams of this run."""
    with contextlib.ExitStack() as stack:
        yield lambda size, which="last": stack.enter_context(contextlib.closing(KeptParams(run, size, which)))


def kept_steps(run) -> list[int]:
    return sorted(int(path.stem.removeprefix("latest_")) for path in (run.path / "averaged").iterdir())


def test_the_last_ones_stay(run, keeping):
    kept, seen = keeping(2), []
    for step in (10, 20, 30, 40):
        kept.add(step, state(step), (1.0 / step,), 0.0)
        seen.append(kept_steps(run))
    assert seen == [[10], [10, 20], [20, 30], [30, 40]]
    mean, steps = kept.mean(SHAPES, 40)
    assert steps == [30, 40]
    assert_mean_of(mean, [params(30), params(40)])


def test_the_best_ones_stay_and_of_equal_ones_the_later(run, keeping):
    kept, seen = keeping(2, "best"), []
    ranks = [(0.5, -1.0), (0.7, -1.0), (0.6, -1.0), (0.1, 0.0), (0.6, -1.0), (0.6, -0.9), (0.7, -1.0), (0.7, -1.0)]
    for step, rank in enumerate(ranks, start=1):
        kept.add(step, state(step), rank, 0.0)
        seen.append(kept_steps(run))
    assert seen == [[1], [1, 2], [2, 3], [2, 3], [2, 5], [2, 6], [2, 7], [7, 8]]


def test_ranks_that_are_no_numbers_are_the_worst(run, keeping):
    kept = keeping(2, "best")
    for step, score in enumerate([-0.2, math.nan, -0.3, math.nan], start=1):
        kept.add(step, state(step), (score,), 0.0)
    assert kept_steps(run) == [1, 3]


def test_sums_are_in_float64(keeping):
    """In float32 10⁸ + 1 − 10⁸ is 0."""
    kept, template = keeping(3), {"w": jax.ShapeDtypeStruct((2,), jnp.float32)}
    for step, value in enumerate([1e8, 1.0, -1e8], start=1):
        tree = {"w": jnp.array([value, 3 * value], jnp.float32)}
        kept.add(step, TrainState(jnp.int32(step), tree, (), None), (0.0,), 0.0)
    np.testing.assert_array_equal(kept.mean(template, 3)[0]["w"], np.float32([1 / 3, 1.0]))


def test_running_averages_are_what_is_averaged(keeping):
    """ema / (1 − ½^step): 3 / ½ = 6 and 6 / ¾ = 8, and not the weights."""
    kept, template = keeping(2), {"w": jax.ShapeDtypeStruct((1,), jnp.float32)}
    for step, average in ((1, 3.0), (2, 6.0)):
        weights, ema = {"w": jnp.array([100.0])}, {"w": jnp.array([average])}
        kept.add(step, TrainState(jnp.int32(step), weights, (), ema), (0.0,), 0.5)
    np.testing.assert_allclose(kept.mean(template, 2)[0]["w"], [7.0], rtol=1e-6)


@pytest.mark.parametrize("which", ["last", "best"])
def test_a_resumed_run_forgets_the_steps_that_a_kill_took_back(run, keeping, which):
    before = keeping(3, which)
    for step in (1, 2, 3, 4):
        before.add(step, state(step), (float(step),), 0.0)
    assert kept_steps(run) == [2, 3, 4]
    again = keeping(3, which)
    assert again.mean(SHAPES, 2)[1] == [2]
    assert_mean_of(again.mean(SHAPES, 3)[0], [params(2), params(3)])  # a reader meanwhile ignores newer ones
    again.add(3, state(3, seed=1), (3.0,), 0.0)
    assert kept_steps(run) == [2, 3]
    mean, steps = again.mean(SHAPES, 10**9)
    assert steps == [2, 3]
    assert_mean_of(mean, [params(2), params(3, seed=1)])


def test_a_step_taken_back_takes_no_place_among_the_best(run, keeping):
    kept = keeping(2, "best")
    for step, score in ((1, 5.0), (3, 9.0), (2, 1.0)):
        kept.add(step, state(step), (score,), 0.0)
    assert kept_steps(run) == [1, 2]


def test_nothing_kept_is_no_mean_and_size_zero_writes_nothing(run, keeping):
    for kept in (keeping(0), keeping(2)):
        assert kept.mean(SHAPES, 10) == (SHAPES, [])
    keeping(0).add(1, state(1), (1.0,), 0.0)
    assert not (run.path / "averaged").exists()


def damage(run, step: int, pattern: str) -> None:
    """Flips a bit of the largest of these files."""
    files = [path for path in (run.path / "averaged" / f"latest_{step:09d}").glob(pattern) if path.is_file()]
    path = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("pattern", ["manifest.json", "arrays/**/*"])
def test_a_damaged_one_is_left_out_with_a_warning(run, keeping, capsys, pattern):
    kept = keeping(3)
    for step in (1, 2, 3):
        kept.add(step, state(step), (0.0,), 0.0)
    damage(run, 2, pattern)
    mean, steps = kept.mean(SHAPES, 3)
    assert steps == [1, 3]
    assert_mean_of(mean, [params(1), params(3)])
    warning = capsys.readouterr().err
    assert warning.count("warning:") == 1 and "averaged/latest_000000002 is left out: " in warning
    kept.add(4, state(4), (0.0,), 0.0)  # training goes on, and the damage with the oldest or at once
    kept.add(5, state(5), (0.0,), 0.0)
    capsys.readouterr()
    assert_mean_of(kept.mean(SHAPES, 5)[0], [params(3), params(4), params(5)])
    assert capsys.readouterr().err == ""


@pytest.fixture
def trained(run, keeping):
    """Checkpoints of steps 1 … 4, of which 2 is the best; the last three are kept, and one that a kill took back."""
    kept = keeping(3)
    with Checkpointer(run.checkpoints, config_hash=run.config_hash) as saver:
        for step in (1, 2, 3, 4):
            kept.add(step, state(step), (0.0,), 0.0)
            saver.save(step, state(step), {}, best=step == 2)
    kept.add(5, state(5), (0.0,), 0.0)
    assert kept_steps(run) == [3, 4, 5]
    return run


def test_the_model_of_a_run_is_the_best_one_or_the_mean(trained, capsys):
    assert_mean_of(restore_params(trained, SHAPES, Config()), [params(2)])
    averaged = restore_params(trained, SHAPES, averaging(3, "last"))
    assert_mean_of(averaged, [params(3), params(4)])  # 5 is newer than the latest checkpoint
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(averaged))
    assert capsys.readouterr().err == ""


def test_with_nothing_to_average_the_best_one_is_used_with_a_warning(trained, capsys):
    for step in (3, 4):
        damage(trained, step, "arrays/**/*")
    assert_mean_of(restore_params(trained, SHAPES, averaging(3)), [params(2)])
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" is left out")[0][-11:] for line in lines[:2]] == ["t_000000003", "t_000000004"]
    assert lines[2:] == ["warning: there is nothing to average: using the best checkpoint"]


@pytest.mark.parametrize("average_checkpoints", [0, 3])
def test_a_run_without_checkpoints_says_so(run, average_checkpoints):
    with pytest.raises(UserError, match=r"run has no checkpoint yet: train there first"):
        restore_params(run, SHAPES, averaging(average_checkpoints))


def test_a_start_that_failed_early_has_no_checkpoint_whatever_else_is_missing(tmp_path):
    open_run(tmp_path, toy_task.EXPERIMENT, toy_task.Config()).close()
    with pytest.raises(UserError, match=r"has no checkpoint yet: train there first"):
        load(toy_task.TASK, tmp_path)
