"""Every peer of the benchmark computes the problem that we compute, and the check would say so if it did not."""

import dataclasses
import functools
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.benchmarking.equivalence import Checker, NotEquivalent, relative_error
from experiments.benchmarking.jax_program import JaxProgram
from experiments.benchmarking.peers import PEERS, naive
from experiments.benchmarking.problems import (
    CELLS,
    CPU_SHAPES,
    RAGGED_SHAPES,
    Shape,
    Unsupported,
    directions_of,
    make_problem,
    sample_lengths,
)

pytestmark = pytest.mark.lenient_promotion  # other people's code, and the naive one, mix ranks

SHAPES = {
    "bidirectional": Shape("bidirectional", 2, 4, 3, 5, bidirectional=True),
    "two layers": Shape("two layers", 2, 4, 3, 5, num_layers=2),
}
CASES = [
    *((cell, "bidirectional", False) for cell in CELLS),
    ("lstm", "two layers", False),
    ("lstm", "bidirectional", True),
    ("gru", "two layers", True),
]
NAMES = ("ours", "naive", "flax_nnx", "flax_nnx_optimized", "flax_linen", "flax_linen_optimized", "haiku", "equinox")
NAMES += ("keras", "torch", "torch_packed", "torch_padded")


def able(name, cell, kind, ragged):
    """What a peer is known to be able to do."""
    return (
        not ("optimized" in name and cell != "lstm")
        and not (name == "haiku" and cell != "lstm")
        and not (name == "equinox" and cell == "elman")
        and not (name == "torch" and ragged)
        and not (name in ("torch_packed", "torch_padded") and not ragged)
        and not (name in ("haiku", "equinox", "torch_padded") and ragged and kind == "bidirectional")
    )


def build(name, problem):
    """The peer's program; skips where its package is not in the environment of the tests."""
    package = name.split("_")[0]
    if package in ("haiku", "equinox", "keras", "torch") and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    return PEERS[name](problem)


@functools.cache
def problem_of(cell, kind, *, ragged=False):
    shape = SHAPES[kind]
    problem = make_problem(cell, shape)
    if not ragged:
        return problem
    lengths = np.array([2, 4], np.int32)
    real = np.arange(shape.time) < lengths[:, None]
    return dataclasses.replace(problem, lengths=lengths, cotangent=problem.cotangent * real[..., None])


@functools.cache
def checker_of(cell, kind, *, ragged=False):
    return Checker(problem_of(cell, kind, ragged=ragged))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # at the import of other packages
@pytest.mark.parametrize(
    ("name", "cell", "kind", "ragged"),
    [
        # Of each peer one cell by default: the others are the same code.
        pytest.param(name, *case, marks=[pytest.mark.exhaustive] * (case[0] != "lstm"))
        for name in NAMES
        for case in CASES
        if able(name, *case)
    ],
)
def test_peers_agree(name, cell, kind, ragged):
    program = build(name, problem_of(cell, kind, ragged=ragged))
    assert checker_of(cell, kind, ragged=ragged).check(program) < 2e-6


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", NAMES)
def test_peers_say_what_they_cannot_do(name):
    for case in CASES:
        if not able(name, *case):
            cell, kind, ragged = case
            with pytest.raises(Unsupported, match=r"\w+ \w+"):
                build(name, problem_of(cell, kind, ragged=ragged))


@pytest.mark.parametrize("name", ["jax_cudnn", "ours_cudnn", "ours_bf16", "torch_bf16", "torch_fp16"])
def test_the_peers_of_a_gpu_say_so(name):
    with pytest.raises(Unsupported, match="GPU|accelerator"):
        build(name, problem_of("lstm", "two layers"))


@pytest.mark.parametrize("name", ["naive", "torch"])
def test_training_steps_are_adams(name):
    program = build(name, problem_of("gru", "bidirectional"))
    checker_of("gru", "bidirectional").check_training(program)


def variant(cell, change, kind="two layers"):
    """The naive program of a problem with its params changed before they are applied; gradients of what it applies."""
    problem = problem_of(cell, kind)

    def apply(params, xs, lengths):
        layers = [[change(cell) for cell in ways] for ways in directions_of(params)]
        return naive.apply(cell, tuple(ways[0] for ways in layers), xs, lengths)

    return JaxProgram("variant", problem, problem.params, apply, directions_of)


def swap_reset_and_update(weights):
    def swap(array):
        reset, update, candidate = jnp.split(array, 3, axis=-1)
        return jnp.concatenate([update, reset, candidate], axis=-1)

    return weights._replace(w_x=swap(weights.w_x), w_h=swap(weights.w_h), b=swap(weights.b))


FAULTS = {
    "a bias that is a little off": ("lstm", lambda w: w._replace(b=w.b + 1e-4)),
    "swapped gates": ("gru", swap_reset_and_update),
    "a forgotten bias": ("gru", lambda w: w._replace(b_hn=0 * w.b_hn)),
    "a gradient that is cut": ("elman", lambda w: w._replace(b=jax.lax.stop_gradient(w.b))),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_check_finds(fault):
    cell, change = FAULTS[fault]
    with pytest.raises(NotEquivalent, match=r"variant: .* differs by"):
        checker_of(cell, "two layers").check(variant(cell, change))


def test_the_check_finds_nothing_in_the_same_program():
    assert checker_of("gru", "two layers").check(variant("gru", lambda w: w)) < 2e-6


def test_the_check_finds_another_learning_rate():
    program = variant("elman", lambda w: w)
    program._optimizer = optax.adam(2e-3)
    with pytest.raises(NotEquivalent, match="a step of Adam"):
        checker_of("elman", "two layers").check_training(program)


def test_relative_error_is_by_the_largest_entry():
    assert relative_error(np.array([1.0, -4.0]), np.array([1.5, -5.0])) == pytest.approx(0.2)
    assert relative_error(np.zeros(2), np.zeros(2)) == 0
    assert relative_error(np.ones(2), np.zeros(2)) == float("inf")
    assert relative_error(np.ones(2), np.ones(3)) == float("inf")
    assert not relative_error(np.array([np.nan]), np.ones(1)) <= 1  # so a comparison with a tolerance fails


def test_lengths_follow_the_histogram():
    lengths = sample_lengths(np.random.default_rng(0), 2000, 10_000)
    np.testing.assert_allclose(np.quantile(lengths, [0.05, 0.25, 0.5, 0.75, 0.95]), [80, 125, 175, 285, 590], rtol=0.01)
    cut = sample_lengths(np.random.default_rng(0), 2000, 200)
    assert cut.max() == 200
    assert np.mean(cut == 200) == pytest.approx(np.mean(lengths >= 200), abs=1e-3)
    assert cut.min() >= 1


def test_shapes_are_those_of_the_plan():
    sizes = {shape.name: (shape.batch, shape.time, shape.input_size, shape.hidden_size) for shape in CPU_SHAPES}
    assert len(sizes) == 11
    assert sizes["sentiment_large"] == (64, 256, 100, 256)
    assert sizes["long"] == (8, 2048, 64, 64)
    assert [shape.name for shape in CPU_SHAPES if shape.bidirectional] == ["tagging"]
    assert [shape.name for shape in CPU_SHAPES if shape.num_layers == 2] == ["language_model", "language_model_large"]
    assert {shape.name for shape in RAGGED_SHAPES} == {"sentiment", "sentiment_large", "imdb"}
