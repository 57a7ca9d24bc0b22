"""Kinds of attention, on writing dates as ISO 8601.

Without attention the whole source has to fit into one vector. With it, what do the score functions differ in?
"""

from rnn_jax.sweeps import one_at_a_time

EXPERIMENT = "seq2seq"
METRIC = "test/exact_match"
NUM_SEEDS = 3


BASELINE = {"num_epochs": 1, "hidden_size": 64, "decoder_hidden_size": 128}


def rows():
    yield from one_at_a_time(
        BASELINE, attention=["concat", "general", "dot", "multi_head", "none"], input_feeding=[True]
    )
