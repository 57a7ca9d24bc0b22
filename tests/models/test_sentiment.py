"""The text classifier where its n-grams are all dropped."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rnn_jax import LSTM
from rnn_jax.models.sentiment import SentimentClassifier


def test_all_ngrams_dropped_is_a_sum_of_none():
    """The logits are those of a text without n-grams, and their gradient is finite."""
    model = SentimentClassifier(
        LSTM(3),
        vocabulary_size=10,
        num_classes=2,
        embedding_size=4,
        ngram_vocabulary_size=20,
        ngram_fusion="input",
        ngram_dropout=1.0,
        rngs=nnx.Rngs(0),
    )
    tokens, lengths, ngrams = jnp.ones((2, 3), jnp.int32), jnp.array([3, 2]), jnp.ones((2, 3, 2), jnp.int32)
    logits = model(tokens, lengths, ngrams=ngrams, key=jax.random.key(0))
    np.testing.assert_array_equal(logits, model(tokens, lengths, ngrams=jnp.zeros_like(ngrams)))
    gradients = nnx.grad(lambda model: model(tokens, lengths, ngrams=ngrams, key=jax.random.key(0)).sum())(model)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
