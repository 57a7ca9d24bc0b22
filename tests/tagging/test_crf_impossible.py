"""The CRF with scores of −∞ and with huge ones, against sums over all paths in float64."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.jitting import quick_jit

from rnn_jax.tagging import crf

L, T = 3, 4
# Full, padded, gaps, one step, none; the last is full and has a step of −∞ alone.
MASK = np.array([[c == "1" for c in row] for row in ("1111", "1100", "1011", "0101", "0010", "0000", "1111")])
ROWS = len(MASK)


def case(seed, share=0.3):
    """Random scores, a share of them −∞."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return np.where(rng.random(shape) < share, -np.inf, rng.normal(size=shape)).astype(np.float32)

    params, emissions = crf.CRFParams(draw(L, L), draw(L), draw(L)), draw(ROWS, T, L)
    emissions[-1, 2] = -np.inf
    return params, emissions, rng.integers(0, L, (ROWS, T)).astype(np.int32), rng.random((ROWS, T)) < 0.5


def counts(path, steps):
    """What a path is made of: how often each score is in it, as (transitions, start, end, emissions of the row)."""
    transitions, start, end, emissions = np.zeros((L, L)), np.zeros(L), np.zeros(L), np.zeros((T, L))
    if path:
        start[path[0]] = end[path[-1]] = 1
        emissions[steps, path] = 1
        for pair in itertools.pairwise(path):
            transitions[pair] += 1
    return transitions, start, end, emissions


def score_of(scores, made_of):
    return sum(float(s[c > 0] @ c[c > 0]) for s, c in zip(scores, made_of, strict=True))


def sum_over_paths(params, emissions, mask, labels=None, fixed=None):
    """log Z of one row and its gradient, the expected counts; over the paths that have the labels at `fixed` steps."""
    scores = [np.asarray(leaf, np.float64) for leaf in (*params, emissions)]
    steps = np.flatnonzero(mask)
    paths = [
        path
        for path in itertools.product(range(L), repeat=len(steps))
        if fixed is None or all(path[i] == labels[step] for i, step in enumerate(steps) if fixed[step])
    ]
    made_of = [counts(list(path), steps) for path in paths]
    weights = np.exp([score_of(scores, each) for each in made_of])
    total = weights.sum()
    if total == 0:
        return -np.inf, [np.zeros_like(score) for score in scores]
    expected = [sum(w * each[i] for w, each in zip(weights, made_of)) / total for i in range(len(scores))]
    return np.log(total), expected


def summed(gradients):
    """Of a sum over rows: params are shared, emissions each row's own."""
    *shared, emissions = zip(*gradients, strict=True)
    return [np.sum(leaf, axis=0) for leaf in shared], np.stack(emissions)


def assert_gradient(function, params, emissions, expected):
    ours, ours_of_emissions = quick_jit(jax.grad(function, argnums=(0, 1)))(params, emissions)
    shared, of_emissions = summed(expected)
    for actual, wanted in zip((*ours, ours_of_emissions), (*shared, of_emissions), strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-5)


seeds = pytest.mark.parametrize("seed", range(6))


@seeds
def test_log_partition_marginals_and_gradients(seed):
    params, emissions, _, _ = case(seed)
    values, gradients = zip(*(sum_over_paths(params, emissions[row], MASK[row]) for row in range(ROWS)))
    np.testing.assert_allclose(quick_jit(crf.log_partition)(params, emissions, MASK), values, rtol=1e-5, atol=1e-5)
    actual = quick_jit(crf.marginals)(params, emissions, MASK)
    np.testing.assert_allclose(actual, [each[-1] for each in gradients], rtol=1e-4, atol=1e-5)
    assert values[-1] == -np.inf and not np.asarray(actual[-1]).any()
    assert_gradient(lambda p, e: crf.log_partition(p, e, jnp.asarray(MASK)).sum(), params, emissions, gradients)


@seeds
@pytest.mark.parametrize("partly", [False, True])
def test_log_likelihood_and_gradients(seed, partly):
    """−∞ without a gradient where the labels are impossible."""
    params, emissions, labels, observed = case(seed, share=0.15)
    if not partly:
        observed = np.ones_like(observed)
    values, gradients = [], []
    for row in range(ROWS):
        total, expected = sum_over_paths(params, emissions[row], MASK[row])
        part, expected_part = sum_over_paths(params, emissions[row], MASK[row], labels[row], observed[row])
        possible = part > -np.inf
        values.append(part - total if possible else -np.inf)
        gradients.append([(ours - all_) * possible for ours, all_ in zip(expected_part, expected)])
    arguments = jnp.asarray(labels), jnp.asarray(MASK), *([jnp.asarray(observed)] if partly else [])
    actual = quick_jit(crf.log_likelihood)(params, emissions, *arguments)
    np.testing.assert_allclose(actual, values, rtol=1e-5, atol=1e-5)
    assert np.isfinite(values[:-1]).any() and values[-1] == -np.inf

    def total_of_possible(params, emissions):
        likelihoods = crf.log_likelihood(params, emissions, *arguments)
        return jnp.where(likelihoods > -jnp.inf, likelihoods, 0).sum() + likelihoods.sum()

    assert_gradient(total_of_possible, params, emissions, [[2 * leaf for leaf in each] for each in gradients])


@seeds
def test_nbest_lists_possible_paths_alone(seed):
    params, emissions, _, _ = case(seed)
    _, scores = quick_jit(crf.nbest, static_argnums=3)(params, emissions, MASK, 5)
    for row in range(ROWS):
        all_scores = [np.asarray(leaf, np.float64) for leaf in (*params, emissions[row])]
        steps = np.flatnonzero(MASK[row])
        every = [score_of(all_scores, counts(list(p), steps)) for p in itertools.product(range(L), repeat=len(steps))]
        expected = np.sort([*every, *[-np.inf] * 5])[::-1][:5]
        np.testing.assert_allclose(scores[row], expected, rtol=1e-5, atol=1e-5)


def test_huge_scores_decide_and_stay_finite():
    """A start of 1e30 is the first label, whatever the rest says: marginal and gradient 1, others 0."""
    params, emissions, _, _ = case(0, share=0)
    params = params._replace(start=np.float32([0, 1e30, 0]))
    marginals = quick_jit(crf.marginals)(params, emissions[:1], MASK[:1])
    assert marginals[0, 0].tolist() == [0, 1, 0]
    gradient = quick_jit(jax.grad(lambda p, e, m: crf.log_partition(p, e, m).sum()))(params, emissions[:1], MASK[:1])
    assert gradient.start.tolist() == [0, 1, 0]
    assert all(np.isfinite(leaf).all() for leaf in gradient)


def test_nan_of_one_row_stays_there():
    params, emissions, labels, _ = case(1, share=0)
    emissions[0, 1] = np.nan
    likelihood = quick_jit(crf.log_likelihood)(params, emissions, labels, MASK)
    marginals = quick_jit(crf.marginals)(params, emissions, MASK)
    assert np.isnan(likelihood[0]) and np.isfinite(likelihood[1:-1]).all() and np.isfinite(marginals[1:]).all()


def test_float16_emissions_near_the_largest_are_summed_in_float32():
    """Three steps of 60,000 are 180,000, beyond float16."""
    emissions = jnp.full((1, 3, 2), 60_000, jnp.float16)
    mask = jnp.ones((1, 3), bool)
    params = crf.init_crf(2)
    np.testing.assert_allclose(crf.log_partition(params, emissions, mask), [180_000 + 3 * np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(crf.marginals(params, emissions, mask), np.full((1, 3, 2), 0.5), rtol=1e-4)
