"""Attention against sums in NumPy and torch's multi-head attention, and what every kind promises."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from oracles.jitting import quick_jit

from rnn_jax.attention import ATTENTIONS, Attention, MultiHeadDot, make_attention

B, T, S, Q, M, A = 3, 4, 5, 6, 6, 8
MASK = jnp.arange(S)[None] < jnp.array([[5], [2], [0]])  # the last row has nothing to attend to


def problem(kind, num_heads=2):
    attention = make_attention(kind, A, **({"num_heads": num_heads} if kind == "multi_head" else {}))
    keys = jax.random.split(jax.random.key(0), 3)
    params = attention.init(keys[0], Q, M)
    return attention, params, jax.random.normal(keys[1], (B, T, Q)), jax.random.normal(keys[2], (B, S, M))


@functools.partial(quick_jit, static_argnums=0)
def read(attention, params, queries, vectors):
    return attention.read(params, queries, attention.remember(params, vectors, MASK))


def softmax(scores):
    exponentials = np.exp(scores - scores.max())
    return exponentials / exponentials.sum()


SCORES = {  # as the papers print them, in float64, one pair at a time
    "dot": lambda p, q, m: q @ m,
    "general": lambda p, q, m: q @ (m @ p["w"]),
    "additive": lambda p, q, m: p["v"] @ np.tanh(q @ p["w_q"] + m @ p["w_m"]),
    "concat": lambda p, q, m: p["v"] @ np.tanh(np.concatenate([q, m]) @ p["w"]),
}


@pytest.mark.parametrize("kind", SCORES)
def test_one_pair_at_a_time(kind):
    attention, params, queries, vectors = problem(kind)
    named = {name: np.asarray(array, np.float64) for name, array in params._asdict().items()}
    contexts, weights = read(attention, params, queries, vectors)
    queries, vectors = np.asarray(queries, np.float64), np.asarray(vectors, np.float64)
    for b, t in np.ndindex(B, T):
        real = int(MASK[b].sum())
        expected = np.zeros(S)
        if real:
            expected[:real] = softmax(np.array([SCORES[kind](named, queries[b, t], m) for m in vectors[b, :real]]))
        np.testing.assert_allclose(weights[b, t], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(contexts[b, t], expected @ vectors[b], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("num_heads", [1, 2])
def test_multi_head_is_torchs(num_heads):
    attention, _, queries, vectors = problem("multi_head", num_heads=num_heads)
    size = attention.size
    reference = torch.nn.MultiheadAttention(size, num_heads, bias=False, kdim=M, vdim=M, batch_first=True)
    rng = np.random.default_rng(0)
    w_q, w_k, w_v, w_o = (
        rng.normal(size=shape).astype(np.float32) for shape in [(Q, size), (M, size), (M, size), (size, M)]
    )
    # torch's result is as large as its queries, ours as the memory: both are padded to A with zeros.
    with torch.no_grad():
        for weight, ours in ((reference.q_proj_weight, w_q), (reference.k_proj_weight, w_k)):
            weight.zero_()
            weight[:, : ours.shape[0]] = torch.from_numpy(ours.T)
        reference.v_proj_weight.copy_(torch.from_numpy(w_v.T))
        reference.out_proj.weight.zero_()
        reference.out_proj.weight[:M] = torch.from_numpy(w_o.T)
    padded = np.zeros((B, T, size), np.float32)
    padded[..., :Q] = queries
    expected, weights = reference(
        torch.from_numpy(padded),
        torch.from_numpy(np.array(vectors)),
        torch.from_numpy(np.array(vectors)),
        key_padding_mask=torch.from_numpy(~np.array(MASK)),
    )
    params = attention.init(jax.random.key(0), Q, M)._replace(
        w_q=jnp.asarray(w_q), w_k=jnp.asarray(w_k), w_v=jnp.asarray(w_v), w_o=jnp.asarray(w_o)
    )
    contexts, ours = read(attention, params, queries, vectors)
    np.testing.assert_allclose(contexts[:2], expected.detach().numpy()[:2, :, :M], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours[:2], weights.detach().numpy()[:2], rtol=1e-4, atol=1e-5)
    assert not contexts[2].any() and not ours[2].any()  # where torch has NaN


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_padding_is_invisible(kind):
    attention, params, queries, vectors = problem(kind)
    assert isinstance(attention, Attention)

    def total(params, queries, vectors):
        contexts, weights = attention.read(params, queries, attention.remember(params, vectors, MASK))
        return (jnp.sin(contexts).sum() + (weights**2).sum()), (contexts, weights)

    gradient = quick_jit(jax.value_and_grad(total, argnums=(0, 1, 2), has_aux=True))
    clean = gradient(params, queries, vectors)
    poisoned = gradient(params, queries, jnp.where(MASK[..., None], vectors, jnp.nan))
    jax.tree.map(np.testing.assert_array_equal, clean, poisoned)
    (_, (contexts, weights)), (_, _, of_vectors) = clean
    assert not of_vectors[2].any() and not contexts[2].any()
    np.testing.assert_allclose(weights.sum(axis=-1), jnp.broadcast_to(MASK.any(axis=1)[:, None], (B, T)), rtol=1e-6)
    assert np.abs(np.asarray(of_vectors[:1])).min() > 0


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_queries_do_not_see_each_other(kind):
    attention, params, queries, vectors = problem(kind)
    contexts, weights = read(attention, params, queries, vectors)
    for t in range(T):
        one, one_weights = read(attention, params, queries[:, t : t + 1], vectors)
        np.testing.assert_allclose(one[:, 0], contexts[:, t], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(one_weights[:, 0], weights[:, t], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_half_precision_stays_half(kind):
    attention, params, queries, vectors = problem(kind)
    wide = read(attention, params, queries, vectors)
    queries, vectors = queries.astype(jnp.bfloat16), vectors.astype(jnp.bfloat16)
    half = read(attention, params, queries, vectors)
    for ours, exact in zip(half, wide, strict=True):
        assert ours.dtype == jnp.bfloat16
        np.testing.assert_allclose(ours.astype(jnp.float32), exact, atol=0.12)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="queries and memory of one size; got 4 and 6"):
        make_attention("dot", 8).init(jax.random.key(0), 4, 6)
    with pytest.raises(ValueError, match="num_heads divides the size; got 3 heads for a size of 8"):
        MultiHeadDot(8, num_heads=3)
    with pytest.raises(ValueError, match="No attention 'cosine'; there are: additive, dot, general, concat, m"):
        make_attention("cosine", 8)
