"""The embedded series: parts that adjoin in time, and a day that can be foreseen better than it repeats."""

import numpy as np
import pytest

from rnn_jax.data.datasets import open_split
from rnn_jax.data.synthetic.series import DAY_OF_WEEK, HOUR_OF_DAY, load

HOURS = {"train": 7_200, "validation": 960, "test": 1_440}
HORIZON = 24


@pytest.fixture(scope="module")
def splits():
    """Split → its only example, as it comes out of the prepared files."""
    return {split: open_split("synthetic_series", split)[0] for split in HOURS}


def test_the_parts_adjoin_hour_by_hour(splits):
    assert {split: example["series"].shape for split, example in splits.items()} == {
        split: (hours, 1) for split, hours in HOURS.items()
    }
    times = np.concatenate([splits[split]["timestamp"] for split in HOURS])
    np.testing.assert_array_equal(np.diff(times), 3600)
    assert times[0] == np.datetime64("2024-01-01T00", "s").astype(np.int64)


def test_days_have_the_shape_that_is_said(splits):
    """Weekends are low, nights lower; and the hour's mean share is that of the table, whatever the events."""
    values = splits["train"]["series"][:7_056, 0].reshape(42, 7, 24)  # whole weeks
    assert values[:, 5:].mean() < 0.8 * values[:, :5].mean()
    shares = values.mean(axis=(0, 1)) / values.mean()
    np.testing.assert_allclose(shares, np.array(HOUR_OF_DAY) / np.mean(HOUR_OF_DAY), rtol=0.04)


def test_a_day_ahead_is_foreseen_three_times_better_than_it_repeats():
    """Who knows the process, and of events what the hour before tells, has a third of the best repetition's error."""
    expected, noise = load(sum(HOURS.values()), 0)
    assert abs(noise.mean()) < 0.02 and noise.std() == pytest.approx(0.6, rel=0.02)
    hours = np.arange(len(expected))
    level = 20 + 6 * hours / len(hours)
    whole = level * np.array(HOUR_OF_DAY)[hours % 24] * np.array(DAY_OF_WEEK)[hours // 24 % 7]
    effect, values = 1 - expected / whole, expected + noise
    errors: dict[str, list[float]] = {"known": [], "day": [], "week": []}
    for first in range(len(values) - HOURS["test"], len(values) - HORIZON + 1):
        target = values[first : first + HORIZON]
        recovery = effect[first - 1] * np.exp(-np.arange(1, HORIZON + 1) / 72)
        forecasts = {
            "known": whole[first : first + HORIZON] * (1 - recovery),
            "day": values[first - 24 : first - 24 + HORIZON],
            "week": values[first - 168 : first - 168 + HORIZON],
        }
        for name, forecast in forecasts.items():
            errors[name].append(float(np.square(forecast - target).mean()))
    mse = {name: np.mean(found) for name, found in errors.items()}
    assert min(mse["day"], mse["week"]) > 3 * mse["known"]
