"""The ensembles' suite: every way computes all models' gradients and steps, and the figures are what they say."""

import types

import jax
import numpy as np
import pytest

from experiments.benchmarking import ensembles
from experiments.benchmarking.equivalence import NotEquivalent, reference
from experiments.benchmarking.jax_program import LEARNING_RATE
from experiments.benchmarking.problems import Shape, make_problem

pytestmark = pytest.mark.lenient_promotion  # of Optax, see rnn_jax/training/optimizer.py

SHAPE = Shape("tiny", batch=2, time=5, input_size=3, hidden_size=4)
PROBLEMS = [make_problem("lstm", SHAPE, seed=seed) for seed in range(3)]


@pytest.mark.parametrize("method", ensembles.OURS)
def test_gradients_of_every_model_beside_float64(method):
    gradients = ensembles.OurWay(method, PROBLEMS).gradients()
    assert len(gradients) == len(PROBLEMS)
    for problem, (params_bar, xs_bar) in zip(PROBLEMS, gradients, strict=True):
        expected = reference(problem)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), params_bar, expected.params)
        np.testing.assert_allclose(xs_bar, expected.xs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ensembles.OURS)
def test_a_step_is_adams(method):
    """The first step of Adam moves every weight by the learning rate, against the sign of its gradient."""
    way = ensembles.OurWay(method, PROBLEMS)
    way.train_step()
    states = [state[0] for state in way._states]
    if method != "sequential":
        states = [jax.tree.map(lambda leaf, i=i: leaf[i], states[0]) for i in range(len(PROBLEMS))]
    for problem, trained in zip(PROBLEMS, states, strict=True):
        bars = jax.tree.leaves(reference(problem).params)
        for old, new, bar in zip(jax.tree.leaves(problem.params), jax.tree.leaves(trained), bars, strict=True):
            clear = np.abs(bar) > 1e-3
            moved = (np.asarray(new) - old)[clear]
            np.testing.assert_allclose(moved, -LEARNING_RATE * np.sign(bar[clear]), rtol=1e-2)


def test_rows(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(ensembles, "SHAPES", (SHAPE,))
    monkeypatch.setattr(ensembles, "NUM_SEEDS", (2,))
    rows = list(ensembles.rows(types.SimpleNamespace(blocks=3, min_block_seconds=0.0)))
    found = [(row["num_seeds"], row["pass"], row["peer"]) for row in rows]
    ways = ("vmap", "map", "sequential", "torch")
    assert found == [(2, name, way) for name in ("gradient", "train") for way in ways]
    for row in rows:
        assert row["tokens_per_second"] == pytest.approx(row["num_seeds"] * 2 * 5 / row["seconds"]["median"])
        assert 0 <= row["max_relative_error"] < 1e-5
        ratio = {"sequential": "ratio_to_ours", "torch": "speedup_over_torch"}.get(row["peer"])
        assert ratio is None or row[ratio] == 1.0
        assert (row["peer"] == "torch") == (row["compile_seconds"] is None)


def test_what_is_measured():
    assert [(shape.name, shape.batch, shape.time) for shape in ensembles.SHAPES] == [
        ("small", 16, 64),
        ("sentiment", 32, 200),
    ]


@pytest.mark.parametrize("method", ["vmap", "map"])
def test_models_in_the_wrong_order_are_noticed(method):
    ways = {name: ensembles.OurWay(name, PROBLEMS) for name in ensembles.OURS}
    assert max(ensembles.check(ways, PROBLEMS).values()) < 1e-5
    ways[method] = ensembles.OurWay(method, PROBLEMS[::-1])
    with pytest.raises(NotEquivalent, match=f"{method} of 3 models"):
        ensembles.check(ways, PROBLEMS)
