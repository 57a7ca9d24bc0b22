"""Task models: Flax NNX modules that put embeddings, a stack of ours and an output together."""

from rnn_jax.models.sentiment import SentimentClassifier

__all__ = ["SentimentClassifier"]
