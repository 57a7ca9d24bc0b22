"""From all outputs to one vector: pooling on sentiment.

The last output has to carry everything to the end; a mean, a maximum or a learned weighting may look at every step.
"""

from rnn_jax.sweeps import one_at_a_time

EXPERIMENT = "sentiment"
METRIC = "test/accuracy"
NUM_SEEDS = 3


def rows():
    yield from one_at_a_time({"num_epochs": 3}, pooling=["mean", "max", "mean_max", "attention"])
