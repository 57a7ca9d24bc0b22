"""Means, intervals, tests and corrections, against SciPy and numbers worked out by hand."""

import itertools
import math

import hypothesis
import numpy as np
import pytest
import scipy.stats
from hypothesis import strategies as st

from rnn_jax.sweeps.statistics import (
    bootstrap_difference,
    bootstrap_mean,
    holm,
    mean,
    paired_test,
    sample_std,
    welch_test,
)

SIZES = [3, 5, 12]


def sample(size: int, *, seed: int, centre: float = 0.9, scale: float = 0.01) -> list[float]:
    return np.random.default_rng(seed).normal(centre, scale, size).tolist()


def test_mean_and_standard_deviation_by_hand():
    assert mean([1.0, 2.0, 6.0]) == 3.0
    assert sample_std([1.0, 2.0, 6.0]) == pytest.approx(math.sqrt((4 + 1 + 9) / 2))
    assert sample_std([7.0]) is None
    assert (mean([0.1] * 3), sample_std([0.1] * 3)) == (0.1, 0.0)


@pytest.mark.parametrize("size", SIZES)
def test_bootstrap_of_the_mean_agrees_with_scipy(size):
    values = sample(size, seed=size)
    rng = np.random.default_rng(7)
    theirs = scipy.stats.bootstrap((values,), np.mean, n_resamples=10_000, method="percentile", rng=rng)
    assert bootstrap_mean(values) == pytest.approx(tuple(theirs.confidence_interval), abs=4e-4)
    assert bootstrap_mean(values) == bootstrap_mean(values)


def test_bootstrap_of_the_difference_agrees_with_scipy():
    ours, theirs = sample(6, seed=1), sample(4, seed=2, centre=0.8, scale=0.03)

    def difference(a, b, axis):
        return a.mean(axis=axis) - b.mean(axis=axis)

    rng = np.random.default_rng(7)
    reference = scipy.stats.bootstrap((ours, theirs), difference, n_resamples=10_000, method="percentile", rng=rng)
    assert bootstrap_difference(ours, theirs) == pytest.approx(tuple(reference.confidence_interval), abs=1e-3)


def test_bootstrap_by_hand():
    # Five draws of {0, 0, 0, 0, 1} have k ones with P(k ≤ 0) = 0.33, P(k ≤ 2) = 0.942, P(k ≤ 3) = 0.993.
    assert bootstrap_mean([0.0, 0.0, 1.0, 0.0, 0.0]) == pytest.approx((0.0, 0.6))
    assert bootstrap_mean([0.25] * 4) == (0.25, 0.25)
    assert bootstrap_difference([0.75] * 4, [0.25] * 3) == (0.5, 0.5)


@pytest.mark.parametrize("size", SIZES)
def test_paired_test_agrees_with_scipy(size):
    ours, theirs = sample(size, seed=1), sample(size, seed=2, centre=0.905)
    assert paired_test(ours, theirs) == (pytest.approx(scipy.stats.ttest_rel(ours, theirs).pvalue, rel=1e-9), False)
    assert paired_test(theirs, ours) == paired_test(ours, theirs)


@pytest.mark.parametrize("size", SIZES)
def test_welch_test_agrees_with_scipy(size):
    ours, theirs = sample(size, seed=1), sample(4, seed=2, centre=0.92, scale=0.05)
    reference = scipy.stats.ttest_ind(ours, theirs, equal_var=False).pvalue
    assert welch_test(ours, theirs) == (pytest.approx(reference, rel=1e-9), False)
    reference = scipy.stats.ttest_1samp(theirs, 0.9).pvalue  # what Welch's becomes where one side does not vary
    assert welch_test([0.9] * size, theirs) == (pytest.approx(reference, rel=1e-9), False)


def test_exact_tests_where_nothing_varies():
    assert paired_test([0.5, 0.6, 0.7], [0.5, 0.6, 0.7]) == (1.0, True)
    # Each sign of four equal differences could be the other: 2 of 16 ways are as extreme.
    assert paired_test([0.3, 0.4, 0.5, 0.6], [0.1, 0.2, 0.3, 0.4]) == (0.125, True)
    assert paired_test([0.0] * 3, [0.0] * 3) == (1.0, True)
    assert welch_test([1.0] * 3, [1.0] * 5) == (1.0, True)
    # 20 ways to divide six values into three and three, of which two separate them.
    assert welch_test([1.0] * 3, [0.5] * 3) == (pytest.approx(0.1), True)


def test_exact_test_is_the_permutation_test_of_scipy():
    ours, theirs = [1.0] * 4, [0.5] * 4
    both = scipy.stats.permutation_test(
        (ours, theirs), lambda a, b: np.mean(a) - np.mean(b), permutation_type="independent", n_resamples=np.inf
    )
    assert welch_test(ours, theirs).p == pytest.approx(both.pvalue)
    signs = scipy.stats.permutation_test(
        (ours, theirs), lambda a, b: np.mean(a) - np.mean(b), permutation_type="samples", n_resamples=np.inf
    )
    assert paired_test(ours, theirs).p == pytest.approx(signs.pvalue)


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e200])
def test_scale_does_not_matter(scale):
    """Perplexities of runs that nearly diverged are astronomical."""
    ours, theirs = sample(5, seed=1), sample(5, seed=2)
    large, others = [value * scale for value in ours], [value * scale for value in theirs]
    assert sample_std(large) == pytest.approx(scale * np.std(ours, ddof=1))
    assert paired_test(large, others).p == pytest.approx(paired_test(ours, theirs).p)
    assert welch_test(large, others).p == pytest.approx(welch_test(ours, theirs).p)


def test_holm_by_hand():
    # Sorted: 0.005 × 4, 0.01 × 3, 0.03 × 2, 0.04 × 1 = 0.04, which may not fall below the 0.06 before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.4, 0.7]) == pytest.approx([0.8, 0.8])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


def test_holm_counts_the_tests_that_were_not_made():
    assert holm([None, 0.01, None]) == [None, pytest.approx(0.03), None]


@hypothesis.given(st.lists(st.none() | st.floats(0.0, 1.0), max_size=12))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(p_values):
    corrected = holm(p_values)
    assert [p is None for p in corrected] == [p is None for p in p_values]
    pairs = sorted((p, q) for p, q in zip(p_values, corrected) if p is not None)
    assert all(p <= q <= 1.0 for p, q in pairs)
    assert all(q <= r for (_, q), (_, r) in itertools.pairwise(pairs))
    assert all(q <= min(1.0, len(p_values) * p) * (1 + 1e-12) for p, q in pairs)  # Bonferroni is never milder
