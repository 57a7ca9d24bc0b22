"""Recurrent cells on sentiment, each with the same number of parameters.

Which of the cells learns to read a negation, a "but" or a quotation? A bag of words stays below 80 % on these reviews.
Every cell gets the width that gives the LSTM's number of parameters, and the same recipe: it was made for the LSTM.
"""

from rnn_jax.sweeps import equal_parameters

EXPERIMENT = "sentiment"
METRIC = "test/accuracy"
NUM_SEEDS = 5


def rows():
    yield from equal_parameters(
        148_000,
        {"num_epochs": 3},
        cell=["lstm", "lstm_peephole", "lstm_coupled", "lstm_layer_norm", "gru", "elman", "elman_relu", "memoryless"],
    )
