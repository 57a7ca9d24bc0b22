"""Texts as numbers: words, vocabularies, n-grams and word vectors; the codecs and the batches of tasks on text."""

from rnn_jax.errors import require

require("rnn_jax.text", "tokenizers", "experiments", "tokenizers")
