"""Directions and a CRF, on tagging.

Does a tagger have to see what comes after a word? And does choosing all labels of a sentence jointly (a linear-chain
CRF) help once the recurrent net has seen both sides?
"""

from rnn_jax.sweeps import grid

EXPERIMENT = "tagging"
METRIC = "test/accuracy"
NUM_SEEDS = 5


def rows():
    yield from grid({"num_epochs": 2}, bidirectional=[True, False], decoder=["softmax", "crf"])
    yield {"num_epochs": 2, "character_encoder": "none"}
