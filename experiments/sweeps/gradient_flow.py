"""The vanishing gradient, by cell: its norm by distance to the loss, before training.

The loss reads the last output only. What arrives at the state of earlier steps says how far back learning can reach;
the picture is the one that every course draws, from real numbers. 200 steps of random input, hidden size 64.
"""

EXPERIMENT = "gradient_flow"
METRIC = "gradient/log10_ratio"
NUM_SEEDS = 5
CURVE, CURVE_AXIS, CURVE_LOG = "gradient/norm", "distance to the loss in steps", True

BASELINE = {"length": 200, "input_scale": 0.3}


def rows():
    for cell in ("elman", "elman_relu", "gru", "lstm", "lstm_coupled", "lstm_layer_norm"):
        yield {**BASELINE, "cell": cell}
    yield {**BASELINE, "cell": "elman_relu", "cell_options": "w_h_init=identity"}
    yield {**BASELINE, "cell": "lstm", "cell_options": "chrono=200"}
