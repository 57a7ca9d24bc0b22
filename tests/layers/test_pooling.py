"""Pooling against numpy over the real steps of each row."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.jitting import quick_jit

from rnn_jax.layers import pooling

MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]], bool)
YS = np.random.default_rng(0).normal(size=(4, 4, 3)).astype(np.float32) - 3  # all negative: a max with zeros would show
SCORES = np.random.default_rng(1).normal(size=(4, 4)).astype(np.float32)


def expected(pool):
    return np.stack(
        [
            pool(YS[row][MASK[row]], SCORES[row][MASK[row]]) if MASK[row].any() else 0 * pool(YS[0], SCORES[0])
            for row in range(4)
        ]
    )


def softmax_mean(ys, scores):
    return np.average(ys, axis=0, weights=np.exp(scores))


POOLS = {
    "last": (lambda ys, scores, mask: pooling.last_pool(ys, mask), lambda ys, _: ys[-1]),
    "first": (lambda ys, scores, mask: pooling.last_pool(ys, mask, first=True), lambda ys, _: ys[0]),
    "mean": (lambda ys, scores, mask: pooling.mean_pool(ys, mask), lambda ys, _: ys.mean(0)),
    "max": (lambda ys, scores, mask: pooling.max_pool(ys, mask), lambda ys, _: ys.max(0)),
    "mean_max": (
        lambda ys, scores, mask: pooling.mean_max_pool(ys, mask),
        lambda ys, _: np.concatenate([ys.mean(0), ys.max(0)]),
    ),
    "attention": (pooling.attention_pool, softmax_mean),
}
every_pool = pytest.mark.parametrize(("pool", "reference"), POOLS.values(), ids=POOLS)


@every_pool
def test_equals_numpy_over_the_real_steps(pool, reference):
    """Gaps and a row without real steps included."""
    actual = quick_jit(pool)(YS, SCORES, MASK)
    np.testing.assert_allclose(actual, expected(reference), rtol=1e-5, atol=1e-6)


@every_pool
def test_padding_is_invisible(pool, reference):
    """NaN in the padded outputs and scores reaches neither the result nor a gradient."""
    program = quick_jit(
        lambda ys, scores, mask: jax.value_and_grad(lambda *a: jnp.sum(jnp.square(pool(*a, mask))), (0, 1))(ys, scores)
    )
    clean = program(np.where(MASK[..., None], YS, 0), np.where(MASK, SCORES, 0), MASK)
    dirty = program(np.where(MASK[..., None], YS, np.nan), np.where(MASK, SCORES, np.nan), MASK)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(clean))
    jax.tree.map(np.testing.assert_array_equal, dirty, clean)


@every_pool
def test_one_sequence_is_a_row_of_a_batch(pool, reference):
    actual = quick_jit(pool)(YS[2], SCORES[2], MASK[2])
    np.testing.assert_allclose(actual, expected(reference)[2], rtol=1e-5, atol=1e-6)


def test_attention_weights_sum_to_one_however_large_the_scores():
    scores = jnp.asarray([[1000.0, 1000, -1000, 7], [-1e30, -1e30, 5, 5]])
    weights = pooling.attention_weights(scores, jnp.asarray([[True, True, True, False], [True, True, False, False]]))
    np.testing.assert_allclose(weights, [[0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0]])


def test_bfloat16_stays_bfloat16():
    ys, scores = jnp.asarray(YS, jnp.bfloat16), jnp.asarray(SCORES, jnp.bfloat16)
    for pool, _ in POOLS.values():
        assert jax.eval_shape(pool, ys, scores, jnp.asarray(MASK)).dtype == jnp.bfloat16
