"""Task models: Flax NNX modules that put embeddings, a stack of ours and an output together."""

from rnn_jax.errors import require

require("rnn_jax.models", "Flax and more", "experiments", "flax")

from rnn_jax.models.sentiment import SentimentClassifier  # noqa: E402

__all__ = ["SentimentClassifier"]
