"""Clipping against exploding gradients, on a task of long memory.

The class of a text of about ninety words is the first colour in it, and the seven other colours follow later: one
symbol has to survive everything that comes after. A ReLU network that starts at the identity can, and its gradients
explode.
"""

from rnn_jax.sweeps import one_at_a_time

EXPERIMENT = "sentiment"
METRIC = "test/accuracy"
NUM_SEEDS = 5

BASELINE = {
    "dataset": "synthetic_memory",
    "cell": "elman_relu",
    "cell_options": "w_h_init=identity",
    "hidden_size": 64,
    "embedding_size": 16,
    "num_buckets": 2,
    "num_epochs": 10,
    "learning_rate": 3e-3,
    "clip_global_norm": 0.0,
}


def rows():
    yield from one_at_a_time(BASELINE, clip_global_norm=[10.0, 1.0, 0.1, 0.01], clip_value=[0.01])
