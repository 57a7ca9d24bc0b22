"""Means over few seeds, their intervals and tests. No number is NaN, and nothing warns, however few or equal they are.

    mean = Σ x / n        std = √(Σ (x − mean)² / (n − 1))
    paired:  t = d̄ / (s_d / √n),           n − 1 degrees of freedom                        (d = x − y, seed by seed)
    Welch:   t = (x̄ − ȳ) / √(a² + b²),     (a² + b²)² / (a⁴/(n−1) + b⁴/(m−1)) degrees      (a = s_x/√n, b = s_y/√m)

Where nothing varies, t is 0/0 or infinite and would prove too much. An exact permutation test takes its place: how
often random signs (paired) or a random division of all values (not paired) make a difference as large.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rnn_jax.errors import require

require("rnn_jax.sweeps.statistics", "SciPy", "sweep", "scipy")

from scipy.special import stdtr  # type: ignore[import-untyped]  # noqa: E402

RESAMPLES = 10_000
_TAIL = 0.025
_SEED = 0
_ROUNDING = 1e-12  # of the largest value: a spread below it is none


class Interval(NamedTuple):
    """From low to high, both included."""

    low: float
    high: float


class Significance(NamedTuple):
    """Two-sided p of a test; exact: not the t-test's, because nothing varied."""

    p: float
    exact: bool = False


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean; that of equal values is the value, to the last digit."""
    first = values[0]
    return first + math.fsum(value - first for value in values) / len(values)


def sample_std(values: Sequence[float]) -> float | None:
    """Standard deviation with n − 1; None for one value."""
    if len(values) < 2:
        return None
    centre = mean(values)
    return math.hypot(*(value - centre for value in values)) / math.sqrt(len(values) - 1)


def bootstrap_mean(values: Sequence[float]) -> Interval:
    """Percentile interval of the mean: of RESAMPLES draws with replacement, the middle 95 %. The same in every call."""
    return _percentiles(mean(values), _resampled(values, np.random.default_rng(_SEED)))


def bootstrap_difference(values: Sequence[float], others: Sequence[float]) -> Interval:
    """Percentile interval of mean(values) − mean(others), each resampled on its own."""
    rng = np.random.default_rng(_SEED)
    return _percentiles(mean(values) - mean(others), _resampled(values, rng) - _resampled(others, rng))


def _resampled(values: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """Means of resamples (RESAMPLES,), as differences from the mean: zeros where all values are equal."""
    centred = np.asarray(values, np.float64) - mean(values)
    return centred[rng.integers(0, len(centred), (RESAMPLES, len(centred)))].mean(axis=1)


def _percentiles(centre: float, deviations: np.ndarray) -> Interval:
    low, high = np.quantile(deviations, [_TAIL, 1 - _TAIL])
    return Interval(centre + float(low), centre + float(high))


def paired_test(values: Sequence[float], others: Sequence[float]) -> Significance:
    """Paired t-test of n ≥ 2 pairs; where all differences are the same, the sign-flip test: 2^(1 − n)."""
    differences = [value - other for value, other in zip(values, others, strict=True)]
    n, centre, spread = len(differences), mean(differences), _spread(differences)
    if spread <= (rounding := _rounding(values, others)):
        return Significance(1.0 if abs(centre) <= rounding else 2.0 ** (1 - n), exact=True)
    return _t_test(centre, spread / math.sqrt(n), n - 1)


def welch_test(values: Sequence[float], others: Sequence[float]) -> Significance:
    """Welch's t-test of n, m ≥ 2 values; where none of them vary, the permutation test: 2 / C(n + m, n)."""
    n, m, difference = len(values), len(others), mean(values) - mean(others)
    a, b = _spread(values) / math.sqrt(n), _spread(others) / math.sqrt(m)
    if max(a, b) <= (rounding := _rounding(values, others)):
        return Significance(1.0 if abs(difference) <= rounding else 2 / math.comb(n + m, n), exact=True)
    error = math.hypot(a, b)
    return _t_test(difference, error, 1 / ((a / error) ** 4 / (n - 1) + (b / error) ** 4 / (m - 1)))


def _spread(values: Sequence[float]) -> float:
    spread = sample_std(values)
    assert spread is not None, "a test needs two values"
    return spread


def _rounding(values: Sequence[float], others: Sequence[float]) -> float:
    return _ROUNDING * max(map(abs, (*values, *others)))


def _t_test(difference: float, error: float, degrees: float) -> Significance:
    return Significance(2 * float(stdtr(degrees, -abs(difference / error))))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's correction: of m sorted p-values the k-th (from 0) times m − k, at most 1, never below the one before it.

    None (no test was made) stays None and counts in m, so that a sweep's p-values don't grow as more rows finish.
    """
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    tested = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    for rank, (p, place) in enumerate(tested):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p))
        corrected[place] = largest
    return corrected
