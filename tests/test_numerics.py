"""Exponentials and norms at the edge, against scipy, numpy in float64 and numbers by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from rnn_jax.numerics import known_number, log_softmax, logsumexp, masked_softmax, norm_parts

INF, NAN = np.inf, np.nan
ROWS = np.float32([[0, 1, 2], [-INF, 1, 2], [-INF, -INF, 2], [-INF] * 3, [3e38, -3e38, -INF], [1e30, 1e30, 0]])


def test_logsumexp_is_scipys_and_its_gradient_softmax():
    """Where all is −∞ scipy's softmax is NaN, and the gradient 0."""
    values, gradient = logsumexp(jnp.asarray(ROWS)), jax.grad(lambda x: logsumexp(x).sum())(jnp.asarray(ROWS))
    np.testing.assert_allclose(values, scipy.special.logsumexp(ROWS.astype(np.float64), axis=-1), rtol=1e-6)
    possible = np.array([True, True, True, False, True, True])
    expected = scipy.special.softmax(ROWS[possible].astype(np.float64), axis=-1)
    np.testing.assert_allclose(np.asarray(gradient)[possible], expected, rtol=1e-6)
    assert not np.asarray(gradient)[~possible].any()


def test_logsumexp_of_infinity_nan_and_nothing():
    rows = jnp.array([[INF, 0.0], [NAN, -INF]])
    values, gradient = logsumexp(rows), jax.grad(lambda x: logsumexp(x)[0])(rows)
    assert values[0] == INF and np.isnan(values[1])
    assert gradient[0].tolist() == [0, 0]
    assert logsumexp(jnp.zeros((2, 0))).tolist() == [-INF, -INF]
    np.testing.assert_allclose(logsumexp(jnp.log(jnp.array([[1.0, 2], [3, 4]])), axis=0), np.log([4, 6]), rtol=1e-6)


def test_log_softmax_is_scipys():
    actual, expected = np.asarray(log_softmax(jnp.asarray(ROWS))), scipy.special.log_softmax(ROWS.astype(float)[:3], -1)
    np.testing.assert_allclose(actual[:3], expected, rtol=1e-6)
    assert actual[3].tolist() == [-INF] * 3
    assert log_softmax(jnp.array([INF, 0, INF])).tolist() == pytest.approx([np.log(0.5), -INF, np.log(0.5)])


def test_masked_softmax_over_what_counts():
    """NaN behind the mask stays there, −∞ is as if masked, and a row of nothing else is zeros; so are its gradients."""
    x = jnp.array([[0.0, NAN, np.log(3), -INF], [-INF, NAN, -INF, -INF], [NAN] * 4])
    mask = jnp.array([[True, False, True, True], [True, False, True, True], [False] * 4])
    np.testing.assert_allclose(masked_softmax(x, mask), [[0.25, 0, 0.75, 0], [0] * 4, [0] * 4], rtol=1e-6)
    gradient = jax.grad(lambda x: masked_softmax(x, mask)[:, 2].sum())(x)
    np.testing.assert_allclose(gradient, [[-3 / 16, 0, 3 / 16, 0], [0] * 4, [0] * 4], rtol=1e-6)


@pytest.mark.parametrize("factor", [1.0, 1e20, 1e-30, 3e38, 1e-34])
def test_norm_is_numpys_in_float64(factor):
    """Also where the squares of float32 numbers are ∞ or 0."""
    rng = np.random.default_rng(0)
    leaves = [(factor * rng.uniform(-1, 1, shape)).astype(np.float32) for shape in ((3, 4), (3,), (3, 2, 2))]
    scale, norm = norm_parts([jnp.asarray(leaf) for leaf in leaves])
    flat = np.concatenate([leaf.ravel() for leaf in leaves]).astype(np.float64)
    np.testing.assert_allclose(float(scale) * float(norm), np.linalg.norm(flat), rtol=1e-6)
    rows = norm_parts([jnp.asarray(leaf) for leaf in leaves], num_kept=1)
    expected = np.linalg.norm(np.concatenate([leaf.reshape(3, -1) for leaf in leaves], axis=1).astype(float), axis=1)
    np.testing.assert_allclose(np.float64(rows[0]) * np.float64(rows[1]), expected, rtol=1e-6)


@pytest.mark.parametrize(("wrong", "expected"), [(NAN, NAN), (INF, INF), (-INF, INF)])
def test_a_norm_shows_what_is_not_finite(wrong, expected):
    scale, norm = norm_parts([jnp.array([1.0, wrong]), jnp.array([1e20])])
    np.testing.assert_equal(float(scale * norm), expected)


def test_a_norm_of_zeros_and_of_nothing_is_0():
    for leaves in ([jnp.zeros(3)], [jnp.zeros((0, 2))], []):
        scale, norm = norm_parts(leaves)
        assert float(scale * norm) == 0.0


def test_known_numbers_are_those_that_are_not_arguments():
    seen = []
    jax.jit(lambda x: seen.append(known_number(x)))(0.5)
    assert seen == [None]
    assert known_number(0.5) == known_number(jnp.float32(0.5)) == 0.5
