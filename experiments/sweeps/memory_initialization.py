"""Initialisation, on a task of long memory.

The class is the first colour of a text of about ninety words. An LSTM that starts with half-open forget gates has
forgotten it by the end; how far must they be open? Beside it the Elman networks that were made for long memories: an
orthogonal matrix, and the identity.
"""

EXPERIMENT = "sentiment"
METRIC = "test/accuracy"
NUM_SEEDS = 3

SHARED = {
    "dataset": "synthetic_memory",
    "hidden_size": 64,
    "embedding_size": 16,
    "num_buckets": 2,
    "num_epochs": 10,
}
LSTM = {**SHARED, "cell": "lstm", "learning_rate": 1e-2}
ELMAN = {**SHARED, "learning_rate": 1e-3}


def rows():
    yield LSTM
    for options in ("b_init=(0.0,0.0,0.0,0.0)", "b_init=(0.0,3.0,0.0,0.0)", "chrono=120"):
        yield {**LSTM, "cell_options": options}
    for cell, matrix in (
        ("elman", "orthogonal"),
        ("elman", "glorot_uniform"),
        ("elman", "identity"),
        ("elman_relu", "identity"),
    ):
        yield {**ELMAN, "cell": cell, "cell_options": f"w_h_init={matrix}"}
