"""Which way a metric is better."""

import math

import pytest

from rnn_jax.errors import UserError
from rnn_jax.metrics.directions import MAXIMISE, MINIMISE, rank

METRICS = {"f1": MAXIMISE, "accuracy": MAXIMISE, "loss": MINIMISE}


def test_the_first_metric_chooses_and_the_others_break_ties():
    low, high = {"f1": 0.5, "accuracy": 0.1, "loss": 2.0}, {"f1": 0.5, "accuracy": 0.1, "loss": 1.0}
    assert rank(METRICS, low) == (0.5, 0.1, -2.0) < rank(METRICS, high)
    assert rank(METRICS, low, "loss") == (-2.0, 0.5, 0.1)


def test_metrics_that_an_evaluation_lacks_or_that_nobody_declared_do_not_count():
    assert rank(METRICS, {"accuracy": 0.5, "loss": 1.0, "speed": 9.0}) == (0.5, -1.0)


@pytest.mark.parametrize("name", METRICS)
def test_nan_is_the_worst_in_either_direction(name):
    worst = {"f1": -1e300, "accuracy": -1e300, "loss": 1e300}
    assert rank(METRICS, worst | {name: math.nan}, name) < rank(METRICS, worst, name)


def test_an_undeclared_metric_cannot_choose():
    with pytest.raises(UserError, match="--select_by=wer: allowed: f1, accuracy, loss"):
        rank(METRICS, {}, "wer")
