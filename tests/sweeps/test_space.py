"""The shapes of sweeps: which rows, in which order, and that random search draws what it says."""

import math

import numpy as np
import pytest

from rnn_jax.errors import UserError
from rnn_jax.sweeps import (
    choice,
    equal_parameters,
    grid,
    integers,
    log_uniform,
    one_at_a_time,
    random_search,
    uniform,
    zipped,
)

BASELINE = {"cell": "lstm", "num_layers": 1}


def test_one_at_a_time_changes_each_field_alone_and_never_repeats_the_baseline():
    rows = list(one_at_a_time(BASELINE, cell=["lstm", "gru"], num_layers=(1, 2, 3), bidirectional=[True]))
    assert rows == [
        {"cell": "lstm", "num_layers": 1},
        {"cell": "gru", "num_layers": 1},
        {"cell": "lstm", "num_layers": 2},
        {"cell": "lstm", "num_layers": 3},
        {"cell": "lstm", "num_layers": 1, "bidirectional": True},
    ]


def test_grid_is_the_product_with_the_baseline_first():
    rows = list(grid({"cell": "gru", "num_layers": 2, "seed": 7}, cell=["lstm", "gru"], num_layers=[1, 2]))
    assert [(row["cell"], row["num_layers"]) for row in rows] == [("gru", 2), ("lstm", 1), ("lstm", 2), ("gru", 1)]
    assert {row["seed"] for row in rows} == {7}


def test_without_a_baseline_it_is_the_experiments_own():
    assert list(grid(cell=["lstm", "gru"])) == [{}, {"cell": "lstm"}, {"cell": "gru"}]
    assert list(one_at_a_time()) == list(grid()) == list(zipped()) == [{}]


def test_zipped_goes_through_its_lists_together():
    rows = list(zipped({"cell": "lstm"}, cell=["lstm", "gru"], learning_rate=iter([1e-3, 2e-3])))
    assert rows == [{"cell": "lstm"}, {"cell": "lstm", "learning_rate": 1e-3}, {"cell": "gru", "learning_rate": 2e-3}]
    with pytest.raises(UserError, match="cell has 2, learning_rate has 1"):
        list(zipped(cell=["lstm", "gru"], learning_rate=[1e-3]))


def test_equal_parameters_asks_the_experiment_to_solve_for_the_width():
    rows = list(equal_parameters(5000, {"dataset": "trec"}, cell=["lstm", "gru"]))
    assert rows == [
        {"dataset": "trec", "num_params": 5000, "cell": "lstm"},
        {"dataset": "trec", "num_params": 5000, "cell": "gru"},
    ]


@pytest.mark.parametrize("values", ["lstm", 3, {"a": 1}])
def test_a_value_in_place_of_a_list_is_refused(values):
    for shape in (one_at_a_time, grid, zipped):
        with pytest.raises(UserError, match="cell=.* give a list of values, as in cell="):
            list(shape(cell=values))


def test_random_search_depends_on_seed_and_field_only():
    space = {"learning_rate": log_uniform(1e-4, 1e-1), "cell": choice("lstm", "gru", "elman")}
    first = list(random_search(8, 3, **space))
    assert first == list(random_search(8, 3, **dict(reversed(space.items()))))
    assert first == list(random_search(12, 3, **space))[:9]  # more draws only add rows
    alone = list(random_search(8, 3, learning_rate=log_uniform(1e-4, 1e-1)))
    assert [row.get("learning_rate") for row in alone] == [row.get("learning_rate") for row in first]
    assert list(random_search(8, 4, **space))[1:] != first[1:]
    assert first[0] == {} and len(first) == 9
    assert list(random_search(2, 3, {"num_layers": 2}, **space))[1] == {"num_layers": 2} | first[1]


def test_random_search_yields_each_configuration_once():
    rows = list(random_search(6, 0, cell=choice("lstm", "gru", "elman"), num_layers=integers(1, 2)))
    assert len({tuple(sorted(row.items())) for row in rows}) == 7
    with pytest.raises(UserError, match="only 6 different draws"):
        list(random_search(7, 0, cell=choice("lstm", "gru", "elman"), num_layers=integers(1, 2)))


def draws(distribution, count=4000):
    generator = np.random.default_rng(0)
    return np.array([distribution.draw(generator) for _ in range(count)])


def test_distributions_have_their_quantiles():
    """A quarter of the draws below each quarter of the (logarithmic) range, within four standard errors."""
    error = 4 * math.sqrt(0.25 * 0.75 / 4000)
    for quarter in (0.25, 0.5, 0.75):
        assert abs((draws(uniform(2, 6)) < 2 + 4 * quarter).mean() - quarter) < error + 0.005
        assert abs((draws(log_uniform(1e-4, 1)) < 10 ** (-4 + 4 * quarter)).mean() - quarter) < error + 0.005
    counts = np.bincount(draws(integers(1, 4)), minlength=5)[1:]
    assert abs(counts / 4000 - 0.25).max() < error
    logarithmic = np.bincount(draws(integers(1, 16, log=True)), minlength=17)[1:] / 4000
    expected = [math.log((n + 0.5) / (n - 0.5)) / math.log(16.5 / 0.5) for n in range(1, 17)]
    assert abs(logarithmic - expected).max() < error


def test_real_draws_can_be_typed_and_stay_inside():
    values = draws(log_uniform(0.00123456, 0.00123458), 50)
    assert set(values) <= {0.00123456, 0.00123458}  # three digits would be outside
    assert all(float(f"{value:.3g}") == value for value in draws(uniform(0.9, 0.999), 50))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: uniform(2, 1), "lower bound, then the higher"),
        (lambda: log_uniform(0, 1), "both above 0"),
        (lambda: integers(0, 5, log=True), "both above 0"),
        (lambda: choice(), "needs values"),
        (lambda: random_search(3, 0, learning_rate=[1e-3, 1e-2]), "draws from log_uniform"),
        (lambda: random_search(0, 0, learning_rate=uniform(0, 1)), "at least one draw"),
    ],
)
def test_impossible_spaces_are_refused(make, words):
    with pytest.raises(UserError, match=words):
        make()
