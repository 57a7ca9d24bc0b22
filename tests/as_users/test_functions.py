"""Attention, CRF, decoding, masks, analysis as users call them: what is wrong ends in one sentence, lists are welcome.

Without the hooks of the other tests, which would speak first (see conftest.py).
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_jax import GRU, LSTM, lengths_to_mask, segment_ids_to_mask, segment_ids_to_resets
from rnn_jax.analysis import ensemble, gradient_norms
from rnn_jax.analysis.gradient_flow import gradient_by_distance
from rnn_jax.attention import ATTENTIONS, Additive, Concat, Dot, Memory, MultiHeadDot, make_attention
from rnn_jax.decoding import beam_search, cut_unlikely, greedy, sample
from rnn_jax.tagging import crf

KEY = jax.random.key(0)


def refused(call, message, kind=ValueError):
    """One sentence: this one, or one that begins with it where it ends in "…"."""
    with pytest.raises(kind) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text and text.endswith(".")
    if message.endswith("…"):
        assert text.startswith(message[:-1]), text
    else:
        assert text == message


def cases(*rows):
    return pytest.mark.parametrize(("call", "message"), rows, ids=[re.sub(r"\W+", "-", row[1])[:60] for row in rows])


# --- attention --------------------------------------------------------------------------------------------------------

B, T, S, Q, A = 2, 3, 5, 6, 4
MASK = np.arange(S) < [[5], [2]]
VECTORS = np.random.default_rng(0).normal(size=(B, S, Q)).astype(np.float32)
QUERIES = np.random.default_rng(1).normal(size=(B, T, Q)).astype(np.float32)


def attended(kind, vectors=VECTORS, mask=MASK, queries=QUERIES):
    attention = make_attention(kind, A)
    params = attention.init(KEY, Q, Q)
    return attention.read(params, queries, attention.remember(params, vectors, mask))


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_attention_takes_lists_and_integer_masks(kind):
    expected = attended(kind)
    for mask in (MASK.tolist(), 2 * MASK.astype(np.int8)):
        jax.tree.map(np.testing.assert_array_equal, attended(kind, VECTORS.tolist(), mask, QUERIES.tolist()), expected)


@pytest.mark.parametrize("kind", ATTENTIONS)
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"queries": QUERIES.astype(np.int32)}, "queries hold floating-point numbers; got int32."),
        ({"vectors": VECTORS.astype(np.int32)}, "vectors hold floating-point numbers; got int32."),
        ({"mask": MASK.astype(np.float32)}, "mask holds booleans, …"),
        ({"mask": MASK[:, :4]}, "mask has shape (2, 5); got (2, 4)."),
        ({"queries": QUERIES[:, 0]}, "queries are (2, T, 6) for this memory and these params; got (2, 6)."),
        ({"queries": QUERIES[:1]}, "queries are (2, T, 6) for this memory and these params; got (1, 3, 6)."),
        ({"queries": QUERIES[..., :4]}, "queries are (2, T, 6) for this memory and these params; got (2, 3, 4)."),
        ({"queries": QUERIES[0]}, "queries are (2, T, 6) for this memory and these params; got (3, 6)."),
        ({"vectors": VECTORS[0, 0], "mask": MASK[0, 0]}, "vectors are (…, S, M…"),
    ],
)
def test_what_attention_refuses(kind, given, message):
    dtypes = "floating" in message or "booleans" in message
    refused(lambda: attended(kind, **given), message, TypeError if dtypes else ValueError)


@pytest.mark.parametrize("kind", ["general", "additive", "multi_head"])
def test_vectors_of_another_size(kind):
    message = "vectors are (…, S, M=6) for these params; got (2, 5, 4)."
    refused(lambda: attended(kind, vectors=VECTORS[..., :4]), message)


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_sizes_of_params(kind):
    attention = make_attention(kind, A)
    refused(lambda: attention.init(KEY, 0, 4), "query_size is an integer of at least 1; got 0.")
    refused(lambda: attention.init(KEY, 4, 4.0), "memory_size is an integer of at least 1; got 4.0.")


def read(attention, memory):
    return attention.read(attention.init(KEY, Q, Q), QUERIES, memory)


@cases(
    (lambda: Additive(0), "size is an integer of at least 1; got 0."),
    (lambda: Additive("a"), "size is an integer of at least 1; got 'a'."),
    (lambda: Concat(2.0), "size is an integer of at least 1; got 2.0."),
    (lambda: MultiHeadDot("8", 2), "size is an integer of at least 1; got '8'."),
    (lambda: MultiHeadDot(0, 1), "size is an integer of at least 1; got 0."),
    (lambda: MultiHeadDot(8, 2.0), "num_heads is an integer of at least 1; got 2.0."),
    (lambda: MultiHeadDot(8, 0), "num_heads is an integer of at least 1; got 0."),
    (lambda: MultiHeadDot(8, 3), "num_heads divides the size; got 3 heads for a size of 8."),
    (
        lambda: attended("concat", vectors=np.ones((2, 5, 13))),
        "vectors are (…, S, M) for these params, with M below 12; got M=13.",
    ),
    (
        lambda: read(Additive(4), Memory(VECTORS, VECTORS, MASK)),
        "memory has keys (…, S, 4) and values (…, S, 6), as `remember` of this attention makes them; got (2, 5, 6) …",
    ),
    (
        lambda: read(Dot(), Memory(VECTORS[..., :4], VECTORS[..., :4], MASK)),
        "queries are (2, T, 4) for this memory and these params; got (2, 3, 6).",
    ),
    (
        lambda: read(Dot(), Memory(VECTORS[:, :4], VECTORS, MASK)),
        "memory has keys and values of the same steps; got (2, 4, 6) and (2, 5, 6).",
    ),
    (lambda: read(Dot(), Memory(VECTORS, VECTORS, MASK[:1])), "memory.mask has shape (2, 5); got (1, 5)."),
)
def test_one_sentence_of_attention(call, message):
    refused(call, message)


# --- masks ------------------------------------------------------------------------------------------------------------


def test_lists_of_lengths_and_ids():
    assert lengths_to_mask([2, 0], 3).tolist() == [[True, True, False], [False] * 3]
    assert lengths_to_mask(1, np.int64(2)).tolist() == [True, False]
    assert segment_ids_to_mask([1, 2, 0]).tolist() == [True, True, False]
    assert segment_ids_to_resets([[1, 2, 0]], [1]).tolist() == [[False, True, False]]


def test_traced_lengths_below_0_are_0():
    assert jax.jit(lambda lengths: lengths_to_mask(lengths, 2))(np.array([-1, 1])).tolist() == [
        [False, False],
        [True, False],
    ]


@cases(
    (lambda: lengths_to_mask([2, -1], 3), "lengths holds integers of at least 0; got -1."),
    (lambda: lengths_to_mask([2], 3.0), "max_length is an integer of at least 0; got 3.0."),
    (lambda: lengths_to_mask([2], -1), "max_length is an integer of at least 0; got -1."),
    (lambda: lengths_to_mask([2], None), "max_length is an integer of at least 0; got None."),
    (lambda: lengths_to_mask([2], True), "max_length is an integer of at least 0; got True."),
    (lambda: segment_ids_to_mask(1), "segment_ids is (…, T), one for each step; got a scalar."),
    (lambda: segment_ids_to_resets(1), "segment_ids is (…, T), one for each step; got a scalar."),
    (lambda: segment_ids_to_resets([[1, 2]], [[1, 2]]), "previous_ids has shape (1,); got (1, 2)."),
    (lambda: jax.jit(lambda n: lengths_to_mask(n, n))(2), "max_length is an integer of at least 0; got …"),
)
def test_one_sentence_of_masks(call, message):
    if message.endswith("…"):
        with pytest.raises(ValueError, match=re.escape(message[:-1])):
            call()
    else:
        refused(call, message)


@pytest.mark.parametrize("dtype", ["float32", "bool"])
@pytest.mark.parametrize("name", ["lengths", "segment_ids", "previous_ids"])
def test_integers_are_integers(name, dtype):
    wrong = np.ones((1, 2), dtype)
    call = {
        "lengths": lambda: lengths_to_mask(wrong, 2),
        "segment_ids": lambda: (segment_ids_to_mask(wrong), segment_ids_to_resets(wrong)),
        "previous_ids": lambda: segment_ids_to_resets(np.ones((1, 2, 2), int), wrong),
    }[name]
    refused(call, f"{name} holds integers; got {dtype}.", TypeError)


# --- CRF --------------------------------------------------------------------------------------------------------------

PARAMS = crf.CRFParams(
    *(np.random.default_rng(2).normal(size=shape).astype(np.float32) for shape in ((5, 5), (5,), (5,)))
)
EMISSIONS = np.random.default_rng(3).normal(size=(2, 4, 5)).astype(np.float32)
REAL = np.array([[True, True, False, True], [True, False, False, False]])
LABELS = np.array([[0, 4, 7, 2], [3, -1, 9, -1]])
OBSERVED = np.array([[True, False, True, True], [True, True, True, True]])


def with_label(wrong, step=1):
    labels = LABELS.copy()
    labels[0, step] = wrong
    return labels


@pytest.mark.parametrize("observed", [None, OBSERVED], ids=["all", "some"])
def test_a_crf_takes_lists(observed):
    given = (EMISSIONS, LABELS, REAL) if observed is None else (EMISSIONS, LABELS, REAL, observed)
    expected = crf.log_likelihood(PARAMS, *given)
    np.testing.assert_array_equal(crf.log_likelihood(PARAMS, *(array.tolist() for array in given)), expected)
    np.testing.assert_array_equal(
        crf.log_likelihood(crf.CRFParams(*(part.tolist() for part in PARAMS)), *given), expected
    )
    assert np.isfinite(expected).all()


@pytest.mark.parametrize("name", ["sequence_score", "log_likelihood"])
@pytest.mark.parametrize("wrong", [-1, 5, 2**40 + 1])
def test_known_labels_are_in_range(name, wrong):
    function, message = getattr(crf, name), f"labels holds integers in 0 … 4; got {wrong}."
    refused(lambda: function(PARAMS, EMISSIONS, with_label(wrong), REAL), message)
    loss = lambda params: function(params, EMISSIONS, with_label(wrong), REAL).sum()  # noqa: E731
    refused(lambda: jax.grad(loss)(PARAMS), message)  # nothing of it is traced but the params


def test_labels_that_nobody_observed_may_be_any():
    some = crf.log_likelihood(PARAMS, EMISSIONS, with_label(-1), REAL, OBSERVED)
    np.testing.assert_array_equal(some, crf.log_likelihood(PARAMS, EMISSIONS, LABELS, REAL, OBSERVED))
    message = "labels holds integers in 0 … 4; got -1."
    refused(lambda: crf.log_likelihood(PARAMS, EMISSIONS, with_label(-1, step=0), REAL, OBSERVED), message)


@pytest.mark.parametrize("observed", [None, np.ones_like(REAL)], ids=["all", "some"])
def test_traced_labels_out_of_range_make_their_row_nan(observed):
    """Values and gradients: neither another label's score nor a probability of 0 that training would go on with."""

    @jax.jit
    def gradient(params, emissions, labels):
        values = lambda params, emissions: crf.log_likelihood(params, emissions, labels, REAL, observed)  # noqa: E731
        of_sum = jax.grad(lambda *given: values(*given).sum(), argnums=(0, 1))(params, emissions)
        return values(params, emissions), of_sum

    for wrong in (-1, 5):
        likelihoods, (of_params, of_emissions) = gradient(PARAMS, EMISSIONS, with_label(wrong))
        assert np.isnan(likelihoods[0]) and np.isfinite(likelihoods[1])
        assert all(np.isnan(leaf).any() for leaf in (of_params.transitions, of_emissions[0]))
        assert np.isfinite(of_emissions[1]).all()
    likelihoods, gradients = gradient(PARAMS, EMISSIONS, LABELS)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((likelihoods, gradients)))


@pytest.mark.parametrize("dtype", ["float32", "bool"])
def test_labels_are_integers(dtype):
    for call in (
        lambda: crf.log_likelihood(PARAMS, EMISSIONS, LABELS.astype(dtype), REAL),
        lambda: crf.log_likelihood(PARAMS, EMISSIONS, LABELS.astype(dtype), REAL, OBSERVED),
        lambda: crf.sequence_score(PARAMS, EMISSIONS, LABELS.astype(dtype), REAL),
    ):
        refused(call, f"labels holds integers; got {dtype}.", TypeError)


def test_mask_and_labels_swapped():
    refused(lambda: crf.log_likelihood(PARAMS, EMISSIONS, REAL, LABELS), "labels holds integers; got bool.", TypeError)


LEGAL = crf.Legal(*(np.ones(part.shape, bool) for part in PARAMS))


@cases(
    (lambda: crf.init_crf(2.5), "num_labels is an integer of at least 1; got 2.5."),
    (lambda: crf.init_crf(0), "num_labels is an integer of at least 1; got 0."),
    (lambda: crf.nbest(PARAMS, EMISSIONS, REAL, 2.0), "n is an integer of at least 1; got 2.0."),
    (lambda: crf.nbest(PARAMS, EMISSIONS, REAL, None), "n is an integer of at least 1; got None."),
    (
        lambda: crf.viterbi(PARAMS._replace(transitions=np.zeros((1, 5))), EMISSIONS, REAL),
        "transitions is (5, 5) for L=5; got (1, 5).",
    ),
    (
        lambda: crf.log_partition(PARAMS._replace(start=np.zeros(1)), EMISSIONS, REAL),
        "start is (5,) for L=5; got (1,).",
    ),
    (lambda: crf.marginals(PARAMS._replace(end=np.float32(0)), EMISSIONS, REAL), "end is (5,) for L=5; got ()."),
    (lambda: crf.constrain(PARAMS._replace(end=np.zeros(1)), LEGAL), "end is (5,) for L=5; got (1,)."),
    (
        lambda: crf.constrain(PARAMS, LEGAL._replace(transitions=[[True]])),
        "legal.transitions has shape (5, 5); got (1, 1).",
    ),
    (lambda: crf.constrain(PARAMS, LEGAL._replace(end=[1])), "legal.end has shape (5,); got (1,)."),
    (
        lambda: crf.viterbi(PARAMS, EMISSIONS[..., :3], REAL),
        "emissions is (…, T, L) for params of L=5; got shape (2, 4, 3).",
    ),
    (lambda: crf.viterbi(PARAMS, EMISSIONS[0, 0], REAL), "emissions is (…, T, L) for params of L=5; got shape (5,)."),
    (lambda: crf.viterbi(PARAMS, EMISSIONS, REAL[:1]), "mask has shape (2, 4); got (1, 4)."),
    (lambda: crf.sequence_score(PARAMS, EMISSIONS, LABELS[:1], REAL), "labels has shape (2, 4); got (1, 4)."),
    (
        lambda: crf.log_likelihood(PARAMS, EMISSIONS, LABELS, REAL, OBSERVED[:1]),
        "observed has shape (2, 4); got (1, 4).",
    ),
)
def test_one_sentence_of_the_crf(call, message):
    refused(call, message)


# --- decoding ---------------------------------------------------------------------------------------------------------

V, K = 7, 3
STEP = "step returns (carry, logits), "
MADE = STEP + "the carry made as the one that it is given, {h: float32 (2, 3, 4)}; got "
KEYS = "keys is one jax.random.key for each of the 2 examples, or one for all; got "
TABLE = jnp.asarray(np.random.default_rng(4).normal(size=(V, V)), jnp.float32)
CARRY = {"h": jnp.zeros((B, K, 4))}
RULES = {"start": 0, "end": 3, "max_lengths": np.array([4, 2]), "limit": 4}


def step(carry, tokens):
    return carry, TABLE[tokens]


def search(step=step, carry=CARRY, **given):
    return beam_search(step, carry, **(RULES | given))


def one(step=step, carry=CARRY, **given):
    return greedy(step, carry, **(RULES | given))


def draw(keys=KEY, step=step, carry=CARRY, **given):
    return sample(step, carry, keys, **(RULES | given))


WAYS = [search, one, draw]


@pytest.mark.parametrize("decode", WAYS)
@cases(
    (lambda d: d(end=7), "end is an integer in 0 … 6, the tokens of the step's logits; got 7."),
    (lambda d: d(start=99), "start is an integer in 0 … 6, the tokens of the step's logits; got 99."),
    (lambda d: d(end=-1), "end is an integer of at least 0; got -1."),
    (lambda d: d(start=-1), "start is an integer of at least 0; got -1."),
    (lambda d: d(start=None), "start is an integer of at least 0; got None."),
    (lambda d: d(pad=0.5), "pad is an integer; got 0.5."),
    (lambda d: d(limit=-1), "limit is an integer of at least 0; got -1."),
    (lambda d: d(limit=5.0), "limit is an integer of at least 0; got 5.0."),
    (lambda d: d(limit=None), "limit is an integer of at least 0; got None."),
    (lambda d: d(max_lengths=[4, -1]), "max_lengths holds integers in 0 … 4; got -1."),
    (lambda d: d(max_lengths=[4, 5]), "max_lengths holds integers in 0 … 4; got 5."),
    (lambda d: d(max_lengths=[4]), "max_lengths has shape (2,); got (1,)."),
    (lambda d: d(max_lengths=4), "max_lengths has shape (2,); got ()."),
    (lambda d: d(max_lengths=[4.0, 2.0]), "max_lengths holds integers; got float32."),
    (lambda d: d(carry=None), "carry holds arrays (B, K, …), at least one; got None."),
    (lambda d: d(carry=()), "carry holds arrays (B, K, …), at least one; got ()."),
    (lambda d: d(carry=jnp.zeros(2)), "carry holds arrays (B, K, …), at least one; got (2,)."),
    (
        lambda d: d(carry=(jnp.zeros((2, 3)), jnp.zeros((2, 1)))),
        "carry holds arrays (B, K, …), at least one; got (2, 3), (2, 1).",
    ),
    (lambda d: d(step=lambda c, t: TABLE[t]), STEP + "a pair; got float32 (2, 3, 7)."),
    (lambda d: d(step=lambda c, t: (c, TABLE[t], 1)), STEP + "a pair; got (…"),
    (lambda d: d(step=lambda c, t: (c, c)), STEP + "the logits (2, 3, V) for this carry; got {h: float32 (2, 3, 4)}."),
    (
        lambda d: d(step=lambda c, t: (c, TABLE[t][:, 0])),
        STEP + "the logits (2, 3, V) for this carry; got float32 (2, 7).",
    ),
    (
        lambda d: d(step=lambda c, t: (TABLE[t], c)),
        MADE + "float32 (2, 3, 7).",
    ),
    (
        lambda d: d(step=lambda c, t: ({"h": c["h"].astype(jnp.bfloat16)}, TABLE[t])),
        MADE + "{h: bfloat16 (2, 3, 4)}.",
    ),
)
def test_one_sentence_of_decoding(decode, call, message):
    refused(lambda: call(decode), message, TypeError if message.endswith("integers; got float32.") else ValueError)


@cases(
    (lambda: search(num_best=4), "num_best is an integer in 0 … 3, the carry's number of hypotheses; got 4."),
    (lambda: search(num_best=1.0), "num_best is an integer in 0 … 3, the carry's number of hypotheses; got 1.0."),
    (lambda: draw(temperature=0), "temperature is positive and finite, and greedy is what 0 would be; got 0."),
    (lambda: draw(top_p=1.5), "top_p is a probability, in (0, 1]; got 1.5."),
    (lambda: draw(top_k=-1), "top_k is an integer of at least 0; got -1."),
    (lambda: draw(top_k=1.5), "top_k is an integer of at least 0; got 1.5."),
    (lambda: cut_unlikely(TABLE, top_p=0), "top_p is a probability, in (0, 1]; got 0."),
    (lambda: draw(jax.random.split(KEY, 3)), KEYS + "key<fry> (3,)."),
    (lambda: draw(5), KEYS + "5."),
    (lambda: draw(np.zeros((2, 2))), KEYS + "float64 (2, 2)."),
)
def test_one_sentence_of_searching_and_sampling(call, message):
    refused(call, message)


def test_keys_of_either_make_and_one_for_all():
    """Equal draws from typed and raw keys; one key is folded with the example's number, whatever the others."""
    keys = jax.random.split(KEY, B)
    jax.tree.map(np.testing.assert_array_equal, draw(keys), draw(jax.random.key_data(keys)))
    folded = jnp.stack([jax.random.fold_in(KEY, i) for i in range(B)])
    jax.tree.map(np.testing.assert_array_equal, draw(jax.random.key_data(KEY)), draw(folded))


def test_the_step_is_traced_as_often_as_the_loop_does():
    """The checks trace nothing of their own; lists are lengths, and traced lengths are clipped to the limit."""
    traces = []

    def counted(carry, tokens):
        traces.append(1)
        return step(carry, tokens)

    expected = one(counted)
    assert len(traces) == 1
    jax.tree.map(np.testing.assert_array_equal, one(max_lengths=[4, 2]), expected)
    clipped = jax.jit(lambda lengths: one(max_lengths=lengths))(np.array([9, 2]))
    np.testing.assert_array_equal(clipped.tokens, expected.tokens)


# --- analysis ---------------------------------------------------------------------------------------------------------


def test_gradient_by_distance_of_one_sequence():
    cell = LSTM(3)
    params, xs = cell.init(KEY, Q), QUERIES
    for mask in (None, np.array([True, True, False])):
        found = gradient_by_distance(cell, params, xs[0], mask=mask)
        np.testing.assert_array_equal(found, gradient_norms(cell, params, xs[0], mask=mask))
        assert found.shape == (T,)
    assert gradient_by_distance(cell, params, xs).shape == (T,)


def test_an_ensemble_is_of_a_function():
    refused(lambda: ensemble(5), "function is a function of one model's arrays; got 5.", TypeError)
    refused(lambda: ensemble(GRU(3)), "function is a function of one model's arrays; got GRU…", TypeError)
