"""The continuous cache: against loops in NumPy; probabilities of one sum, of what lies before only."""

import functools

import numpy as np
import pytest
from language_model_runs import trained_of

from rnn_jax.data.batching import Ragged
from rnn_jax.models.adaptation_config import AdaptationConfig
from rnn_jax.models.continuous_cache import cached_nats
from rnn_jax.models.language_score import Reading, document_nats, initial_carry, read_labels, stream_windows
from rnn_jax.text.language_codec import END_ID as END

V, F = 11, 4
TEXTS = Ragged.from_rows([np.random.default_rng(1).integers(3, V, length) for length in (29, 1, 0, 13)])
N = len(TEXTS.values)


@functools.cache
def trained():
    return trained_of(["abcdefgh"], scale=3.0)


def random_model(seed=0):
    """Features (N, F) and log probabilities (N, V) of no model."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(N, V)).astype(np.float32)
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return rng.normal(size=(N, F)).astype(np.float32), log_probs


def scored(model, labels, *, window=8, size=12, weight=0.3, flatness=0.8):
    features, log_probs = model
    nats = -log_probs[np.arange(N), labels]

    def readings():
        for start, batch in zip(range(0, N, window), stream_windows(Ragged(labels, TEXTS.offsets), window, END)):
            pad = lambda rows: np.pad(rows, [(0, window - len(rows))] + [(0, 0)] * (rows.ndim - 1))[None]  # noqa: E731
            yield batch, Reading(pad(nats[start:][:window]), pad(features[start:][:window]), None)

    config = AdaptationConfig(cache_size=size, cache_weight=weight, cache_flatness=flatness)
    return np.concatenate([found for _, found in cached_nats(trained(), config, readings())])[:N]


def by_loops(model, labels, size, weight, flatness):
    """One token at a time, in float64, each document by itself."""
    features, log_probs = (x.astype(np.float64) for x in model)
    nats = np.zeros(N)
    for first, end in zip(TEXTS.offsets[:-1], TEXTS.offsets[1:], strict=True):
        for t in range(first, end):
            p, cache = np.exp(log_probs[t]), np.zeros(V)
            for i in range(max(first, t - size), t):
                cache[labels[i]] += np.exp(flatness * features[t] @ features[i])
            if cache.sum() > 0:
                p = (1 - weight) * p + weight * cache / cache.sum()
            nats[t] = -np.log(p[labels[t]])
    return nats


@pytest.mark.parametrize("window", [1, 8, 64])
@pytest.mark.parametrize("size", [1, 5, 12, 100])
def test_against_loops(size, window):
    """A cache that is smaller than a window, larger than one, and larger than the text."""
    model, labels = random_model(), TEXTS.values
    found = scored(model, labels, window=window, size=size)
    np.testing.assert_allclose(found, by_loops(model, labels, size, 0.3, 0.8), rtol=1e-5, atol=1e-5)


def test_large_products_of_features():
    """exp of 1000 is no float."""
    model = random_model()
    found = scored(model, TEXTS.values, flatness=1000.0)
    assert np.isfinite(found).all()
    near = by_loops(model, TEXTS.values, 12, 0.3, 50.0)  # nearly all of the weight is at the largest product
    assert np.median(abs(found - near)) < 1e-3


def test_a_weight_of_zero_is_the_model_itself():
    features, log_probs = random_model()
    nats = -log_probs[np.arange(N), TEXTS.values]
    np.testing.assert_allclose(scored((features, log_probs), TEXTS.values, weight=0.0), nats, rtol=1e-6)


@pytest.mark.parametrize("place", [0, 1, 9, 28, 29, 30, 40])
def test_probabilities_sum_to_one(place):
    """Each token in turn is the label; also at the beginnings of documents, where there is nothing to look back at."""
    total = 0.0
    for token in range(V):
        labels = TEXTS.values.copy()
        labels[place] = token
        total += np.exp(-scored(random_model(), labels)[place])
    assert total == pytest.approx(1, abs=1e-5)


def test_no_token_sees_itself_or_what_comes_later():
    """Another token changes nothing before it; another model of it and those behind it, nothing before either."""
    labels, place = TEXTS.values.copy(), 17
    before = scored(random_model(), labels)
    labels[place] = 3 if labels[place] != 3 else 4
    features, log_probs = (one.copy() for one in random_model())
    for array, other in zip((features, log_probs), random_model(1), strict=True):
        array[place:] = other[place:]
    np.testing.assert_array_equal(scored((features, log_probs), labels)[:place], before[:place])


def test_a_document_does_not_see_the_one_before():
    labels, first = TEXTS.values.copy(), int(TEXTS.offsets[-2])
    before = scored(random_model(), labels)
    labels[:first] = np.roll(labels[:first], 3)
    np.testing.assert_array_equal(scored(random_model(), labels)[first:], before[first:])


def test_a_text_that_repeats_itself_is_recalled():
    """With the features of a real model, which are alike where the text is."""
    model, repeated = trained(), Ragged.from_rows([np.tile([3, 5, 4, 9, 6, 5, 10, 3, 7, 8], 12)])

    def readings():
        carry = None
        for batch in stream_windows(repeated, 16, END):
            carry = model(initial_carry, batch) if carry is None else carry
            reading = model(read_labels, batch, carry)
            carry = reading.carry
            yield batch, reading

    config = AdaptationConfig(cache_size=50, cache_weight=0.5, cache_flatness=3.0)
    nats = np.concatenate([found for _, found in cached_nats(model, config, readings())])[: len(repeated.values)]
    still = document_nats(model, repeated, 1, END)
    assert nats[-60:].mean() < 0.8 * still[-60:].mean()
