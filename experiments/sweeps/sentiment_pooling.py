"""From all outputs to one vector: pooling on sentiment.

The last output has to carry everything to the end; a mean, a maximum or a learned weighting may look at every step.
"""

from rnn_jax.sweeps import one_at_a_time

EXPERIMENT = "sentiment"
METRIC = "test/accuracy"
NUM_SEEDS = 5

SMALL = {"num_epochs": 3, "hidden_size": 32, "embedding_size": 32, "learning_rate": 8e-3}


def rows():
    yield from one_at_a_time(SMALL, pooling=["mean", "max", "mean_max", "attention"])
