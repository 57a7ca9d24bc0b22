"""Densities, quantiles and samples against SciPy, with numbers at the extremes; what has no weight is invisible."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from rnn_jax.losses.distributions import (
    DISTRIBUTIONS,
    Gaussian,
    NegativeBinomial,
    StudentT,
    negative_log_likelihood,
    num_outputs,
)
from rnn_jax.losses.special import stirling_error, student_quantile

LEVELS = (0.001, 0.05, 0.25, 0.5, 0.9, 0.999)


def arrays(*lists):
    return [jnp.array(values, jnp.float32) for values in lists]


def of_scipy(distribution):
    """The same frozen distribution in SciPy, in float64."""
    values = [np.asarray(p, np.float64) for p in distribution]
    if isinstance(distribution, Gaussian):
        return stats.norm(*values)
    if isinstance(distribution, StudentT):
        return stats.t(*values)
    mu, alpha = values
    return stats.nbinom(1 / alpha, 1 / (1 + alpha * mu))


def test_gaussian_density():
    gaussian = Gaussian(*arrays([0, -3, 1e6, 5], [1, 0.1, 3e3, 1e-4]))
    (x,) = arrays([0.3, 2, 1e6 + 2048, 5])
    np.testing.assert_allclose(gaussian.log_density(x), of_scipy(gaussian).logpdf(np.float64(x)), rtol=1e-5)


def test_student_density():
    """Also at a million degrees of freedom, where log Γ has no digit behind the comma, and far out in the tail."""
    nu, mu, sigma = np.meshgrid([2.001, 3, 7.7, 40, 1e3, 1e6], [-1.0, 4.0], [0.01, 2.0])
    student = StudentT(*arrays(nu, mu, sigma))
    for x in (-1e4, 0.0, 3.9, 1e3):
        expected = of_scipy(student).logpdf(x)
        ordinary = expected > -1e5
        found = np.asarray(student.log_density(jnp.full(nu.shape, x)))
        np.testing.assert_allclose(found[ordinary], expected[ordinary], rtol=2e-5, atol=2e-5)


def test_negative_binomial_density():
    """Counts up to a million, means from nothing to a million, from the Poisson limit to shapes of a hundred."""
    mu, alpha, x = np.meshgrid([1e-4, 0.3, 7, 1e3, 1e6], [1e-4, 0.02, 0.7, 5, 100], [0, 1, 2, 30, 1e3, 1e6])
    binomial, (x,) = NegativeBinomial(*arrays(mu, alpha)), arrays(x)
    expected = of_scipy(binomial).logpmf(np.asarray(x, np.float64))
    found = binomial.log_density(x)
    assert np.isfinite(np.asarray(found)).all()
    known = np.isfinite(expected)  # SciPy gives up where the probability underflows
    assert known.mean() > 0.8
    np.testing.assert_allclose(np.asarray(found)[known], expected[known], rtol=5e-5, atol=1e-4)


def test_what_is_below_0_is_no_count():
    """But 0 itself may have been scaled and rounded."""
    binomial, (x,) = NegativeBinomial(*arrays([2, 2, 2], [0.5, 0.5, 0.5])), arrays([-1, -1e-3, 0])
    np.testing.assert_allclose(binomial.log_density(x), [-np.inf, -2 * np.log(2), -2 * np.log(2)], rtol=1e-6)


def test_what_stirlings_formula_leaves_out():
    x = np.float32([1e-3, 0.5, 2, 9.99, 10, 11, 1e3, 1e8])
    wide = x.astype(np.float64)
    expected = special.gammaln(wide + 1) - (wide + 0.5) * np.log(wide) + wide - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(stirling_error(jnp.asarray(x))[:6], expected[:6], rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(stirling_error(jnp.asarray(x))[6:], 1 / (12 * wide[6:]), rtol=1e-5)


def gradient_in_numbers(density, parameters, x, index, step=1e-6):
    sides = []
    for sign in (1, -1):
        moved = [np.float64(p) for p in parameters]
        moved[index] = moved[index] * (1 + sign * step)
        sides.append(density(*moved, np.float64(x)))
    return (sides[0] - sides[1]) / (2 * step * np.float64(parameters[index]))


@pytest.mark.parametrize(
    ("kind", "density", "parameters", "x"),
    [
        (StudentT, lambda nu, mu, sigma, x: stats.t(nu, mu, sigma).logpdf(x), ([2.5, 30], [1, -2], [0.3, 4]), [3, 5]),
        (
            NegativeBinomial,
            lambda mu, alpha, x: stats.nbinom(1 / alpha, 1 / (1 + alpha * mu)).logpmf(x),
            ([3, 0.5, 200, 1000], [0.4, 2, 0.1, 0.01]),
            [5, 0, 150, 1200],
        ),
    ],
)
def test_gradients_are_those_of_scipys_densities(kind, density, parameters, x):
    arguments, (x,) = arrays(*parameters), arrays(x)
    found = jax.grad(lambda given: kind(*given).log_density(x).sum())(arguments)
    for index, gradient in enumerate(found):
        expected = gradient_in_numbers(density, [np.asarray(a) for a in arguments], x, index)
        np.testing.assert_allclose(gradient, expected, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_values_and_gradients_are_finite_at_extremes(name):
    """Outputs of ±1,000, targets far from the mean, and scales of windows from 1e-3 to 1e6."""
    kind = DISTRIBUTIONS[name]
    corners = np.meshgrid(*[[-1e3, 0, 1e3]] * num_outputs(kind), [1e-3, 1, 1e6], [0, 1, 1e5])
    *outputs, factor, x = arrays(*(corner.ravel() for corner in corners))
    raw, offset = jnp.stack(outputs, axis=-1), jnp.zeros_like(factor)

    def loss(raw):
        return negative_log_likelihood(kind.from_outputs(raw).rescaled(factor, offset), x, jnp.ones_like(x))[0]

    value, gradient = jax.value_and_grad(loss)(raw)
    assert np.isfinite(float(value)) and np.isfinite(np.asarray(gradient)).all()


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_target_without_weight_is_invisible(name):
    kind = DISTRIBUTIONS[name]
    raw = jnp.asarray(np.random.default_rng(0).normal(size=(3, num_outputs(kind))), jnp.float32)
    distribution, weights = kind.from_outputs(raw), jnp.array([1.0, 2.0, 0.0])
    unknown = jax.tree.map(lambda leaf: leaf.at[2].set(jnp.nan), distribution)

    def loss(distribution):
        return negative_log_likelihood(distribution, jnp.array([1.0, 3.0, jnp.nan]), weights)

    (total, weight), gradient = jax.value_and_grad(loss, has_aux=True)(unknown)
    frozen = of_scipy(jax.tree.map(lambda leaf: leaf[:2], distribution))
    log_density = frozen.logpmf if kind is NegativeBinomial else frozen.logpdf
    assert float(total) == pytest.approx(-(log_density(np.array([1.0, 3.0])) * [1, 2]).sum(), rel=1e-5)
    assert float(weight) == 3.0
    for leaf in gradient:
        assert leaf[2] == 0 and leaf[0] != 0


def test_quantiles():
    gaussian = Gaussian(*arrays([0, 5], [1, 0.2]))
    student = StudentT(*arrays([2.2, 3, 4.9, 5, 12, 100, 1e5], [0] * 6 + [1], [1] * 6 + [3]))
    (levels,) = arrays(LEVELS)
    for distribution in (gaussian, student):
        expected = of_scipy(distribution).ppf(np.array(LEVELS)[:, None]).T
        np.testing.assert_allclose(distribution.quantiles(levels), expected, rtol=3e-4, atol=1e-5)
    assert float(student_quantile(jnp.array(0.5), jnp.array(3.0))) == 0


@pytest.mark.parametrize(
    "distribution",
    [
        Gaussian(*arrays([2.0], [3.0])),
        StudentT(*arrays([5.0], [2.0], [3.0])),
        NegativeBinomial(*arrays([40.0], [0.3])),
        NegativeBinomial(*arrays([0.7], [2.0])),
    ],
)
def test_samples_are_of_the_distribution(distribution):
    num = 4000
    many = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (num,)), distribution)
    drawn = np.sort(np.asarray(many.sample(jax.random.key(0)), np.float64))
    frozen = of_scipy(jax.tree.map(lambda leaf: leaf[0], distribution))
    points = np.unique(drawn)
    largest = np.abs(np.searchsorted(drawn, points, side="right") / num - frozen.cdf(points)).max()
    assert largest < 1.63 / np.sqrt(num)  # Kolmogorov–Smirnov at 1 %
    np.testing.assert_allclose(many.mean()[0], frozen.mean(), rtol=1e-6)


def test_from_outputs_and_scale_of_a_window_by_hand():
    """softplus(ln(e − 1)) = 1; DeepAR §3.3: the mean times ν, the shape over √ν."""
    one = float(np.log(np.e - 1))
    raw, (factor, offset) = jnp.array([[one, one]]), arrays([4], [0])
    binomial = NegativeBinomial.from_outputs(raw).rescaled(factor, offset)
    np.testing.assert_allclose([binomial.mu[0], binomial.alpha[0]], [4, 0.5], rtol=1e-3)
    gaussian = Gaussian.from_outputs(jnp.array([[2.0, one]])).rescaled(-factor, offset + 1)
    np.testing.assert_allclose([gaussian.mu[0], gaussian.sigma[0]], [-7, 4], rtol=1e-3)
    student = StudentT.from_outputs(jnp.array([[one, 2.0, one]])).rescaled(factor, offset + 1)
    np.testing.assert_allclose([leaf[0] for leaf in student], [3, 9, 4], rtol=1e-3)
