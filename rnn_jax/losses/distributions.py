"""Distributions of numbers that networks put out: density, mean, samples, and moving to other units.

Each is made of K unconstrained numbers by `from_outputs`, K = `num_outputs`. Widths and shapes are softplus(o) + 1e-4,
so that no density is infinite. Everything is elementwise and in float32; log-densities keep their digits where counts,
or degrees of freedom, are large.
"""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.nn import softplus
from jax.scipy.special import ndtri

from rnn_jax.losses.special import HALF_LOG_2PI, stirling_error, student_quantile
from rnn_jax.numerics import wide
from rnn_jax.types import Array, Float, Key

SMALLEST = 1e-4  # of widths, means of counts and shapes
_NO_COUNT = -0.5  # below it a number is no count; between it and 0, one that was scaled and rounded
_LARGEST_RATE = 2.0**30  # Poisson draws are int32


class Distribution(Protocol):
    """What every kind has. Those with quantiles in closed form also have `quantiles(levels)`."""

    @classmethod
    def from_outputs(cls, outputs: Float[Array, "*B K"]) -> Any:
        """The distributions (…) of a network's outputs (…, K)."""

    def rescaled(self, factor: Float[Array, "*B"], offset: Float[Array, "*B"]) -> Any:
        """The distribution of factor · x + offset."""

    def log_density(self, x: Float[Array, "*B"]) -> Float[Array, "*B"]:
        """log p(x), in nats."""

    def mean(self) -> Float[Array, "*B"]:
        """E[x]."""

    def sample(self, key: Key) -> Float[Array, "*B"]:
        """One draw from each."""


class Gaussian(NamedTuple):
    """N(μ, σ²)."""

    mu: Float[Array, "*B"]
    sigma: Float[Array, "*B"]

    @classmethod
    def from_outputs(cls, outputs):
        """μ = o_0, σ = softplus(o_1)."""
        mu, sigma = _outputs_of(outputs)
        return cls(mu, softplus(sigma) + SMALLEST)

    def rescaled(self, factor, offset):
        """N(f μ + a, (f σ)²)."""
        return Gaussian(factor * self.mu + offset, jnp.abs(factor) * self.sigma)

    def log_density(self, x):
        """−½ ((x − μ) / σ)² − log σ − ½ log 2π."""
        return -0.5 * jnp.square((x - self.mu) / self.sigma) - jnp.log(self.sigma) - HALF_LOG_2PI

    def mean(self):
        """μ."""
        return self.mu

    def sample(self, key):
        """μ + σ ε."""
        return self.mu + self.sigma * jax.random.normal(key, self.mu.shape, self.mu.dtype)

    def quantiles(self, levels):
        """μ + σ Φ⁻¹(level)."""
        mu, sigma, levels = _with_levels(levels, self.mu, self.sigma)
        return mu + sigma * ndtri(levels)


class StudentT(NamedTuple):
    """μ + σ t, t of Student's distribution with ν degrees of freedom; ν > 2, so that there is a variance."""

    nu: Float[Array, "*B"]
    mu: Float[Array, "*B"]
    sigma: Float[Array, "*B"]

    @classmethod
    def from_outputs(cls, outputs):
        """ν = 2 + softplus(o_0), μ = o_1, σ = softplus(o_2)."""
        nu, mu, sigma = _outputs_of(outputs)
        return cls(2 + softplus(nu) + SMALLEST, mu, softplus(sigma) + SMALLEST)

    def rescaled(self, factor, offset):
        """Of f μ + a and |f| σ."""
        return StudentT(self.nu, factor * self.mu + offset, jnp.abs(factor) * self.sigma)

    def log_density(self, x):
        """log Γ((ν + 1)/2) − log Γ(ν/2) − ½ log(π ν) − log σ − (ν + 1)/2 · log(1 + t²/ν), t = (x − μ) / σ."""
        half = 0.5 * self.nu
        gammas = stirling_error(half + 0.5) - stirling_error(half) + half * jnp.log1p(0.5 / half) + 0.5 * jnp.log(half)
        # log Γ(a) = S(a) + (a − ½) log a − a + ½ log 2π: of the difference nothing large is left.
        normalizer = gammas - 0.5 - 0.5 * jnp.log(jnp.pi * self.nu) - jnp.log(self.sigma)
        t = (x - self.mu) / self.sigma
        return normalizer - (half + 0.5) * jnp.log1p(jnp.square(t) / self.nu)

    def mean(self):
        """μ."""
        return self.mu

    def sample(self, key):
        """μ + σ ε / √(g / ν), g ~ χ²_ν."""
        of_normal, of_gamma = jax.random.split(key)
        half = 0.5 * self.nu
        epsilon = jax.random.normal(of_normal, half.shape, half.dtype)
        return self.mu + self.sigma * epsilon / jnp.sqrt(jax.random.gamma(of_gamma, half) / half)

    def quantiles(self, levels):
        """μ + σ times the quantile of t."""
        nu, mu, sigma, levels = _with_levels(levels, *self)
        return mu + sigma * student_quantile(levels, nu)


class NegativeBinomial(NamedTuple):
    """Counts of mean μ and variance μ + α μ² (Salinas et al. 2020, §3.1), α the shape."""

    mu: Float[Array, "*B"]
    alpha: Float[Array, "*B"]

    @classmethod
    def from_outputs(cls, outputs):
        """μ = softplus(o_0), α = softplus(o_1)."""
        mu, alpha = _outputs_of(outputs)
        return cls(softplus(mu) + SMALLEST, softplus(alpha) + SMALLEST)

    def rescaled(self, factor, offset):
        """μ f, α / √f (Salinas et al. 2020, §3.3); f is positive, and the offset of counts 0."""
        del offset
        return NegativeBinomial(factor * self.mu, self.alpha / jnp.sqrt(factor))

    def log_density(self, x):
        """log Γ(x + r) − log Γ(x + 1) − log Γ(r) + r log(r / (r + μ)) + x log(μ / (r + μ)), r = 1/α.

        What is below 0 is no count and has probability 0. For x > 0, with S what Stirling's formula leaves out (Loader
        2000):

            S(r + x) − S(r) − S(x) − ½ log(2π x (r + x) / r) − r log((r + μ)/(r + x)) − x log(x (r + μ)/(μ (r + x)))
        """
        r, mu = 1 / self.alpha, self.mu
        is_zero, impossible = x <= 0, x < _NO_COUNT
        x = jnp.where(is_zero, 1, x)
        both = r + x
        stirling = stirling_error(both) - stirling_error(r) - stirling_error(x)
        # Both logarithms of numbers above 1, those from μ to x or from x to μ: near 1 none loses its digits.
        low, high = jnp.minimum(x, mu), jnp.maximum(x, mu)
        change = (high - low) / (r + high)
        deviance = r * jnp.log1p((high - low) / (r + low)) - x * jnp.log1p(r / low * change)
        deviance = jnp.sign(mu - x) * deviance
        counts = stirling - HALF_LOG_2PI - 0.5 * (jnp.log(x) + jnp.log(both) - jnp.log(r)) - deviance
        return jnp.where(impossible, -jnp.inf, jnp.where(is_zero, -r * jnp.log1p(mu / r), counts))

    def mean(self):
        """μ."""
        return self.mu

    def sample(self, key):
        """Poisson(g), g ~ Gamma(1/α, α μ): of mean μ and variance α μ²."""
        of_gamma, of_poisson = jax.random.split(key)
        rate = jax.random.gamma(of_gamma, 1 / self.alpha) * self.alpha * self.mu
        drawn = jax.random.poisson(of_poisson, jnp.minimum(rate, _LARGEST_RATE))
        return drawn.astype(self.mu.dtype)


DISTRIBUTIONS: dict[str, Any] = {
    "gaussian": Gaussian,
    "student_t": StudentT,
    "negative_binomial": NegativeBinomial,
}


def num_outputs(distribution: type) -> int:
    """K, the numbers that one distribution is made of."""
    return len(distribution._fields)  # type: ignore[attr-defined]


def negative_log_likelihood(
    distribution: Any, target: Float[Array, "*B"], weights: Float[Array, "*B"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(Σ w · −log p(target), Σ w): what a target of weight 0 holds reaches neither values nor gradients."""
    real = weights > 0
    # Before anything is computed: the derivative at a NaN is NaN, even times 0. All parameters may be 1.
    distribution = jax.tree.map(lambda parameter: jnp.where(real, parameter, 1), distribution)
    nats = -distribution.log_density(jnp.where(real, wide(target), 1))
    weights = wide(weights)
    return jnp.where(real, nats * weights, 0).sum(), weights.sum()


def _outputs_of(outputs: Float[Array, "*B K"]) -> list[Float[Array, "*B"]]:
    return list(jnp.moveaxis(wide(outputs), -1, 0))


def _with_levels(levels: Float[Array, " Q"], *parameters: Float[Array, "*B"]) -> list[Float[Array, "*B Q"]]:
    shape = (*parameters[0].shape, len(levels))
    return [jnp.broadcast_to(p[..., None], shape) for p in parameters] + [jnp.broadcast_to(levels, shape)]


__all__ = [
    "DISTRIBUTIONS",
    "Distribution",
    "Gaussian",
    "NegativeBinomial",
    "StudentT",
    "negative_log_likelihood",
    "num_outputs",
]
