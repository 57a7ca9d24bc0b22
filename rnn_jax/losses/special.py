"""Special functions of densities, accurate in float32 where differences of log-gammas are not."""

import math

import jax.numpy as jnp
from jax.scipy.special import gammaln, ndtri

from rnn_jax.types import Array, Float

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_SERIES_FROM = 5.0  # from here on three terms of the series are exact in float32


def stirling_error(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """log Γ(x + 1) − [(x + ½) log x − x + ½ log 2π] for x > 0: what Stirling's formula leaves out, below 1/(12 x).

    Log-densities written with it keep their digits at large arguments, where log Γ itself has lost them (Loader 2000,
    "Fast and accurate computation of binomial probabilities").
    """
    is_large = x >= _SERIES_FROM
    # Both branches are differentiated: each gets an argument that it can take.
    small, large = jnp.where(is_large, _SERIES_FROM, x), jnp.where(is_large, x, _SERIES_FROM)
    exact = gammaln(small + 1) - (small + 0.5) * jnp.log(small) + small - HALF_LOG_2PI
    inverse = 1 / large
    series = inverse * (1 / 12 - jnp.square(inverse) * (1 / 360 - jnp.square(inverse) / 1260))
    return jnp.where(is_large, series, exact)


def student_quantile(level: Float[Array, "..."], degrees: Float[Array, "..."]) -> Float[Array, "..."]:
    """The quantile of Student's t: t with P(T ≤ t) = level, for levels in (0, 1) and degrees of freedom of at least 2.

    Hill (1970), "Algorithm 396: Student's t-quantiles": the constants are its. It is off by at most 0.11 % of
    the value at 2 degrees, 0.03 % at 2.2, and by less than float32 shows from 3 on.
    """
    n, p = degrees, 2 * jnp.minimum(level, 1 - level)
    a = 1 / (n - 0.5)
    b = 48 / jnp.square(a)
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * jnp.sqrt(a * (math.pi / 2)) * n
    y = jnp.power(d * p, 2 / n)
    squared = jnp.where(y > 0.05 + a, _near_the_normal(n, p, a, b, c, d), _in_the_tail(n, y, d))
    return jnp.sign(level - 0.5) * jnp.sqrt(n * squared)


def _near_the_normal(n: Array, p: Array, a: Array, b: Array, c: Array, d: Array) -> Array:
    """t² / n from an expansion about the normal quantile."""
    x = ndtri(p / 2)
    c = c + jnp.where(n < 5, 0.3 * (n - 4.5) * (x + 0.6), 0)
    c = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + c
    y = jnp.square(x)
    y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
    return jnp.expm1(a * jnp.square(y))


def _in_the_tail(n: Array, y: Array, d: Array) -> Array:
    """t² / n from the inverse power of the tail's probability, y."""
    inner = 1 / (((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3) + 0.5 / (n + 4)
    return (inner * y - 1) * (n + 1) / (n + 2) + 1 / y


__all__ = ["HALF_LOG_2PI", "stirling_error", "student_quantile"]
