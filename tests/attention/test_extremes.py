"""Attention in half precision, with huge scores, and with nothing to read, against numpy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_jax.attention import ATTENTIONS, Dot, make_attention

B, T, S, Q, A = 2, 3, 4, 6, 8
MASK = np.array([[1, 1, 1, 1], [1, 0, 1, 0]], bool)


def softmax(scores, mask):
    scores = np.where(mask, scores, -np.inf)
    exponentials = np.exp(scores - scores.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def of_sums(queries, keys, v):
    return np.tanh(queries[:, :, None] + keys[:, None]) @ v


def reference(kind, params, queries, vectors):
    """Contexts and weights in float64, from the numbers that the half-precision arrays hold."""
    p = {name: np.asarray(array, np.float64) for name, array in params._asdict().items()}
    vectors, mask = np.where(MASK[..., None], vectors, 0), MASK[:, None]
    if kind == "multi_head":
        q, k, v = (x @ p[name] for x, name in ((queries, "w_q"), (vectors, "w_k"), (vectors, "w_v")))
        heads = [slice(i, i + 2) for i in range(0, A, 2)]  # four heads of size 2
        weights = [softmax(q[..., h] @ np.swapaxes(k[..., h], 1, 2) / np.sqrt(2), mask) for h in heads]
        joined = np.concatenate([w @ v[..., h] for w, h in zip(weights, heads)], axis=-1)
        return joined @ p["w_o"], np.mean(weights, axis=0)
    scores = {
        "dot": lambda: queries @ np.swapaxes(vectors, 1, 2),
        "general": lambda: queries @ np.swapaxes(vectors @ p["w"], 1, 2),
        "additive": lambda: of_sums(queries @ p["w_q"], vectors @ p["w_m"], p["v"]),
        "concat": lambda: of_sums(queries @ p["w"][:Q], vectors @ p["w"][Q:], p["v"]),
    }[kind]()
    weights = softmax(scores, mask)
    return weights @ vectors, weights


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("kind", ATTENTIONS)
@pytest.mark.parametrize("largest", [1.0, 60_000.0])
def test_half_precision(kind, dtype, largest):
    """60,000 is near float16's largest number; products of two such are far beyond it."""
    rng = np.random.default_rng(0)
    attention = make_attention(kind, A)
    params = attention.init(jax.random.key(0), Q, Q)
    if kind == "multi_head":  # so that the contexts themselves are numbers of float16
        params = params._replace(w_o=params.w_o * 0.1)
    queries, vectors = (jnp.asarray(largest * rng.uniform(-1, 1, (B, n, Q)), dtype) for n in (T, S))
    contexts, weights = attention.read(params, queries, attention.remember(params, vectors, jnp.asarray(MASK)))
    assert contexts.dtype == weights.dtype == dtype
    wide = [np.asarray(array, np.float64) for array in (queries, vectors)]
    expected = reference(kind, params, *wide)
    tolerance = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(np.asarray(weights, np.float64), expected[1], rtol=tolerance, atol=1e-6)
    np.testing.assert_allclose(np.asarray(contexts, np.float64), expected[0], rtol=tolerance, atol=largest * 1e-5)

    def total(params, queries, vectors):
        contexts, _ = attention.read(params, queries, attention.remember(params, vectors, jnp.asarray(MASK)))
        return jnp.sin(contexts.astype(jnp.float32) / largest).sum()

    gradients = jax.grad(total, argnums=(0, 1, 2))(params, queries, vectors)
    assert all(np.isfinite(np.asarray(leaf, np.float32)).all() for leaf in jax.tree.leaves(gradients))


def test_very_large_scores_are_no_nan():
    """Of scores ±1e38 and their negatives the largest takes all; equal ones share, +∞ too."""
    vectors, mask = jnp.array([[[1.0], [-1.0], [1.0]]]), jnp.ones((1, 3), bool)
    for size in (1e30, 1e38, np.inf):
        contexts, weights = Dot().read(
            Dot().init(jax.random.key(0), 1, 1),
            jnp.full((1, 1, 1), size),
            (Dot().remember(Dot().init(jax.random.key(0), 1, 1), vectors, mask)),
        )
        assert weights.tolist() == [[[0.5, 0.0, 0.5]]] and contexts.tolist() == [[[1.0]]]
