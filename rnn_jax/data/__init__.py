"""Texts and labels from TFDS, users' files and the embedded datasets, as batches with static shapes."""

from rnn_jax.errors import require

require("rnn_jax.data", "TFDS and more", "experiments", "tensorflow_datasets")
