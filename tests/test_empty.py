"""Every public function of masking, pooling, attention, CRF, losses and decoding without rows and without steps.

What one test calls is one program (see `together`): compiled one by one, a thousand of them took most of a minute.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.jitting import quick_jit

from rnn_jax import masking
from rnn_jax.attention import ATTENTIONS, make_attention
from rnn_jax.decoding import beam_search, cut_unlikely, greedy, sample
from rnn_jax.layers import pooling
from rnn_jax.losses import cross_entropy, smoothed_cross_entropy
from rnn_jax.tagging import crf

F, L, V, K = 3, 4, 5, 2
sizes = pytest.mark.parametrize(("rows", "steps"), [(0, 4), (2, 0), (0, 0)])


def together(function, *arguments):
    """Called under jit, with what it closes over as known values, which are checked as outside of it."""
    return quick_jit(function)(*arguments)


def ones(*shape, dtype=np.float32):
    return jnp.asarray(np.ones(shape, dtype))


def zeros(*shape):
    return jnp.asarray(np.zeros(shape, np.int32))


def flags(*shape):
    return ones(*shape, dtype=bool)


@sizes
def test_masking(rows, steps):
    lengths, ids = zeros(rows), ones(rows, steps, dtype=np.int32)
    calls = lambda: [  # noqa: E731
        masking.lengths_to_mask(lengths, steps),
        masking.segment_ids_to_mask(ids),
        masking.segment_ids_to_resets(ids),
        masking.segment_ids_to_resets(ids, lengths),
        masking.reverse_resets(flags(rows, steps)),
        masking.as_flags("mask", ids, (rows, steps)),
    ]
    assert all(result.shape == (rows, steps) and result.dtype == bool for result in together(calls))


@sizes
def test_pooling_gives_zeros(rows, steps):
    ys, scores, mask = ones(rows, steps, F), ones(rows, steps), flags(rows, steps)
    pools = {
        "last": lambda ys: pooling.last_pool(ys, mask),
        "first": lambda ys: pooling.last_pool(ys, mask, first=True),
        "mean": lambda ys: pooling.mean_pool(ys, mask),
        "max": lambda ys: pooling.max_pool(ys, mask),
        "mean_max": lambda ys: pooling.mean_max_pool(ys, mask),
        "attention": lambda ys: pooling.attention_pool(ys, scores, mask),
    }

    def pooled(ys):
        gradients = [jax.grad(lambda ys, pool=pool: pool(ys).sum())(ys) for pool in pools.values()]
        return {name: pool(ys) for name, pool in pools.items()}, gradients, pooling.attention_weights(scores, mask)

    vectors, gradients, weights = together(pooled, ys)
    for name, vector in vectors.items():
        assert vector.tolist() == np.zeros((rows, 2 * F if name == "mean_max" else F)).tolist()
    assert all(gradient.shape == ys.shape for gradient in gradients) and weights.shape == (rows, steps)


@pytest.mark.parametrize("kind", ATTENTIONS)
@pytest.mark.parametrize(("rows", "queries", "steps"), [(0, 2, 3), (2, 0, 3), (2, 2, 0), (0, 0, 0)])
def test_attention_reads_zeros_from_an_empty_memory(kind, rows, queries, steps):
    attention = make_attention(kind, 8)
    params = attention.init(jax.random.key(0), F, F)

    def read(params, vectors):
        memory = attention.remember(params, vectors, flags(rows, steps))
        return attention.read(params, jnp.ones((rows, queries, F)), memory)

    def read_and_pull_back(params, vectors):
        return read(params, vectors), jax.grad(lambda *given: read(*given)[0].sum(), argnums=(0, 1))(params, vectors)

    (contexts, weights), gradients = together(read_and_pull_back, params, ones(rows, steps, F))
    assert contexts.shape == (rows, queries, F) and weights.shape == (rows, queries, steps)
    assert steps or not contexts.any()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@sizes
def test_crf_has_the_empty_path(rows, steps):
    params, emissions, mask = crf.init_crf(L), ones(rows, steps, L), flags(rows, steps)
    labels = zeros(rows, steps)

    def calls(params):
        sums = [
            crf.sequence_score(params, emissions, labels, mask),
            crf.log_partition(params, emissions, mask),
            crf.log_partition(params, emissions, mask, flags(rows, steps, L)),
            crf.log_likelihood(params, emissions, labels, mask),
            crf.log_likelihood(params, emissions, labels, mask, mask),
        ]
        gradient = jax.grad(lambda params: crf.log_likelihood(params, emissions, labels, mask).sum())(params)
        paths = crf.viterbi(params, emissions, mask), crf.nbest(params, emissions, mask, 2)
        return sums, gradient, crf.marginals(params, emissions, mask), *paths

    sums, gradient, marginals, viterbi, (best, scores) = together(calls, params)
    assert [each.tolist() for each in sums] == [[0.0] * rows] * 5 and marginals.shape == emissions.shape
    assert [array.shape for array in viterbi] == [(rows, steps), (rows,)]
    assert best.shape == (rows, 2, steps) and scores.tolist() == [[0, -np.inf]] * rows
    assert not any(leaf.any() for leaf in gradient)


@sizes
def test_losses_are_0(rows, steps):
    arguments = zeros(rows, steps), ones(rows, steps)
    losses = (cross_entropy, smoothed_cross_entropy, lambda *a: smoothed_cross_entropy(*a, 0.5))
    logits = ones(rows, steps, L)
    calls = lambda logits: [jax.value_and_grad(loss, has_aux=True)(logits, *arguments) for loss in losses]  # noqa: E731
    for (total, count), gradient in together(calls, logits):
        assert float(total) == float(count) == 0 and gradient.shape == logits.shape


def step(carry, tokens):
    return carry, jnp.broadcast_to(jnp.log(jnp.arange(1.0, V + 1)), (*tokens.shape, V))


@pytest.mark.parametrize(("rows", "limit"), [(0, 3), (2, 0), (0, 0)])
@pytest.mark.parametrize("decode", ["greedy", "sample", "beam"])
def test_decoding(decode, rows, limit):
    """At a limit of 0 the end alone is left, of probability 2/15."""
    carry, keys = jnp.zeros((rows, 1 if decode == "greedy" else K, 1)), jax.random.split(jax.random.key(0), rows)
    options = {"start": 0, "end": 1, "limit": limit, "max_lengths": limit + zeros(rows)}
    calls = {
        "greedy": lambda: greedy(step, carry, **options),
        "sample": lambda: sample(step, carry, keys, **options),
        "beam": lambda: beam_search(step, carry, **options),
    }
    found = together(calls[decode])
    assert found.tokens.shape == (rows, carry.shape[1], limit)
    assert found.lengths.shape == found.log_probs.shape == found.scores.shape == carry.shape[:2]
    if rows:
        np.testing.assert_allclose(found.log_probs[:, 0], np.log([2 / 15] * rows), rtol=1e-6)
        assert not found.lengths.any()


@sizes
def test_cutting(rows, steps):
    logits = ones(rows, steps, V)
    cuts = {}, {"top_k": 2}, {"top_p": 0.5}, {"top_k": 2, "top_p": 0.5}
    results = together(lambda: [cut_unlikely(logits, **cut) for cut in cuts])
    assert [result.shape for result in results] == [logits.shape] * 4
