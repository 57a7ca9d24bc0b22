"""Examples from TFDS, users' files and the embedded datasets; batches with static shapes; what is kept of them."""

from rnn_jax.errors import require

require("rnn_jax.data", "TFDS and more", "experiments", "tensorflow_datasets")
