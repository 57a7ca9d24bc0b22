"""Directions, how they are merged, and depth, on sentiment.

The text is read from left to right, or in both directions, whose outputs are then joined, added, averaged or the larger
one taken; by one, two or three layers. The width stays: more layers are more parameters.
"""

from rnn_jax.sweeps import one_at_a_time

EXPERIMENT = "sentiment"
METRIC = "test/accuracy"
NUM_SEEDS = 5

BASELINE = {"num_epochs": 3, "hidden_size": 32, "embedding_size": 32, "learning_rate": 8e-3}


def rows():
    yield from one_at_a_time(BASELINE, num_layers=[2, 3])
    for merge in ("concat", "sum", "mean", "max"):
        yield {**BASELINE, "bidirectional": True, "merge": merge}
    yield {**BASELINE, "bidirectional": True, "num_layers": 2}
