"""The embedded series with anomalies: what is marked is odd, and no value gives it away."""

import numpy as np
import pytest

from rnn_jax.data.datasets import open_split
from rnn_jax.data.synthetic.anomalies import KINDS, NOISE, machine
from rnn_jax.metrics.anomaly_spans import spans_of


@pytest.fixture(scope="module")
def splits():
    """Split → examples by their ids, as they come out of the prepared files."""
    found = {split: open_split("synthetic_anomalies", split) for split in ("train", "test")}
    return {split: {one["machine"]: one for one in source} for split, source in found.items()}


def test_train_is_normal_and_test_has_an_anomaly_of_each_kind(splits):
    assert set(splits["train"]) == set(splits["test"]) and len(splits["train"]) == 6
    for identity, test in splits["test"].items():
        train = splits["train"][identity]
        assert train["values"].shape == (1_200, 2) and test["values"].shape == (2_000, 2)
        assert not train["is_anomaly"].any()
        lengths = np.diff(spans_of(test["is_anomaly"]), axis=1)[:, 0]
        assert (
            len(lengths) == len(KINDS) and sorted(lengths)[0] == 2 and 20 <= sorted(lengths)[1] <= lengths.max() <= 80
        )


def test_the_parts_of_a_series_adjoin(splits):
    values, marks = machine(0, 0)
    joined = [
        np.concatenate(
            [next(v for k, v in splits[s].items() if k in (b"machine 1", "machine 1"))[name] for s in splits]
        )
        for name in ("values", "is_anomaly")
    ]
    np.testing.assert_array_equal(joined[0], values)
    np.testing.assert_array_equal(joined[1], marks)


def test_what_is_marked_is_seldom_out_of_the_normal_range():
    """Of the marked rows fewer than a fifth lie outside of what 1,200 normal rows span, in either column."""
    outside = []
    for number in range(6):
        values, marks = machine(number, 0)
        low, high = values[:1_200].min(axis=0), values[:1_200].max(axis=0)
        outside.append(((values < low) | (values > high)).any(axis=1)[marks == 1].mean())
    assert 0 < np.mean(outside) < 0.2


def test_the_second_sensor_follows_the_first_three_rows_later():
    """Where nothing is marked: its error is that of both noises, that of the first one through the square's slope."""
    values, marks = machine(1, 0)
    calm = (marks[3:1_200] == 0).nonzero()[0] + 3
    error = values[calm, 1] - (values[calm - 3, 0] ** 2 - 0.5)
    slope = 2 * np.abs(values[calm - 3, 0])
    expected = np.sqrt(np.mean(NOISE**2 * (1 + slope**2) + 2 * NOISE**4))
    assert error.std() == pytest.approx(expected, rel=0.1)
