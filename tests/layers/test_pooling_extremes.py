"""Pooling of half precision, of −∞ and of steps that are not there, against numpy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_jax.layers import pooling

HALF = [jnp.float16, jnp.bfloat16]
POOLS = {
    "last": lambda ys, scores, mask: pooling.last_pool(ys, mask),
    "first": lambda ys, scores, mask: pooling.last_pool(ys, mask, first=True),
    "mean": lambda ys, scores, mask: pooling.mean_pool(ys, mask),
    "max": lambda ys, scores, mask: pooling.max_pool(ys, mask),
    "mean_max": lambda ys, scores, mask: pooling.mean_max_pool(ys, mask),
    "attention": pooling.attention_pool,
}


@pytest.mark.parametrize("dtype", HALF)
def test_values_near_the_largest_of_float16(dtype):
    """Any two of them add up to more than there is; their means are where they are."""
    rng = np.random.default_rng(0)
    ys = jnp.asarray(rng.uniform(40_000, 65_000, (2, 300, 3)), dtype)
    scores = jnp.asarray(rng.uniform(-60_000, 60_000, (2, 300)) * (rng.random((2, 300)) < 0.5), dtype)
    mask = jnp.asarray(rng.random((2, 300)) < 0.7)
    wide, wide_scores, real = (np.asarray(array, np.float64) for array in (ys, scores, mask))
    exponentials = real * np.exp(wide_scores - np.where(real > 0, wide_scores, -np.inf).max(1, keepdims=True))
    weights = exponentials / exponentials.sum(1, keepdims=True)
    expected = {
        "mean": (wide * real[..., None]).sum(1) / real.sum(1)[:, None],
        "max": np.where(real[..., None] > 0, wide, -np.inf).max(1),
        "attention": (weights[..., None] * wide).sum(1),
    }
    for name, value in expected.items():
        pooled = POOLS[name](ys, scores, mask)
        assert pooled.dtype == dtype
        np.testing.assert_allclose(np.asarray(pooled, np.float64), value, rtol=float(jnp.finfo(dtype).eps))


@pytest.mark.parametrize("dtype", HALF)
def test_means_count_beyond_what_half_precision_counts_to(dtype):
    """3000 ones: a count or a sum in bfloat16 would end at 256, in float16 at 2048."""
    ones, mask = jnp.ones((1, 3000, 1), dtype), jnp.ones((1, 3000), bool)
    assert pooling.mean_pool(ones, mask).tolist() == [[1.0]]
    assert pooling.attention_pool(ones, jnp.zeros((1, 3000), dtype), mask).tolist() == [[1.0]]


def test_maximum_of_minus_infinity():
    """At a real step it is the result; behind the mask the largest of the others."""
    ys = jnp.array([[[-jnp.inf], [-jnp.inf]], [[-jnp.inf], [-5.0]]])
    assert pooling.max_pool(ys, jnp.array([[True, False], [False, True]])).tolist() == [[-np.inf], [-5.0]]


def test_scores_of_minus_infinity_are_steps_that_are_not_read():
    """Weights by hand; nothing is read where all are −∞; gradients are finite, and 0 at −∞."""
    scores = jnp.array([[0.0, -jnp.inf, np.log(3)], [-jnp.inf] * 3])
    mask = jnp.ones((2, 3), bool)
    np.testing.assert_allclose(pooling.attention_weights(scores, mask), [[0.25, 0, 0.75], [0, 0, 0]], rtol=1e-6)
    ys = jnp.array([[[1.0], [7.0], [5.0]]] * 2)
    np.testing.assert_allclose(pooling.attention_pool(ys, scores, mask), [[4.0], [0.0]], rtol=1e-6)
    gradient = jax.grad(lambda scores: pooling.attention_pool(ys, scores, mask).sum())(scores)
    np.testing.assert_allclose(gradient, [[-0.75, 0, 0.75], [0, 0, 0]], rtol=1e-5)  # α (y − Σ α y)
