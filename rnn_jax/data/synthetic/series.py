"""The TFDS dataset `synthetic_series`: an hourly series with a trend, two seasons and events."""

import functools
import math
from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

_DAYS = {"train": 300, "validation": 40, "test": 60}
_START = 1_704_067_200  # Monday, 1 January 2024, 0:00
_SEED = 0

HOUR_OF_DAY = (  # the share of the day's mean that an hour has
    *(0.55, 0.48, 0.44, 0.42, 0.44, 0.54, 0.74, 1.04, 1.22, 1.24, 1.20, 1.18),
    *(1.20, 1.16, 1.12, 1.12, 1.18, 1.34, 1.52, 1.58, 1.44, 1.18, 0.92, 0.75),
)
DAY_OF_WEEK = (0.90, 1.15, 1.00, 1.20, 1.05, 0.70, 0.55)  # from Monday
FIRST_LEVEL, LAST_LEVEL = 20.0, 26.0
NOISE = 0.6
SHORTEST_PAUSE, LONGEST_PAUSE = 96, 384  # hours between events
DROP, RECOVERY_HOURS = 0.5, 72.0


class SyntheticSeries(tfds.core.GeneratorBasedBuilder):
    """A load of 400 days by the hour: one series, cut in time into 7,200 hours of train, 960 and 1,440 of the others.

    y_t = level_t · day_t · week_t · (1 − e_t) + 0.6 ε_t,   ε_t ~ N(0, 1)

    The level rises from 20 to 26; day_t is the hour's factor, week_t that of the day of the week. Events come
    four to sixteen days apart, at random: the load drops by half, and recovers in the shape of exp(−hours/72).
    Who forecasts a day sees from the days before where a recovery stands; repeating the day or the week before repeats
    a drop that is over, and misses one that lasts.
    """

    VERSION = tfds.core.Version("1.0.0")  # Prepared folders are found by it: values that change need a new one.

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="An hourly load: a trend, a daily and a weekly season, and drops that recover.",
            features=tfds.features.FeaturesDict(
                {
                    "series": tfds.features.Tensor(shape=(None, 1), dtype=np.float32),
                    "timestamp": tfds.features.Tensor(shape=(None,), dtype=np.int64),
                }
            ),
            metadata=tfds.core.MetadataDict({"columns": ["load"]}),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager  # Nothing is downloaded.
        return {split: self._generate_examples(*rows) for split, rows in _cut().items()}

    def _generate_examples(self, first: int, values: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
        hours = np.arange(first, first + len(values), dtype=np.int64)
        yield 0, {"series": values[:, None], "timestamp": _START + 3600 * hours}


def _cut() -> dict[str, tuple[int, np.ndarray]]:
    """Split → its first hour, and its values (T,)."""
    (expected, noise), parts, first = load(24 * sum(_DAYS.values()), _SEED), {}, 0
    values = (expected + noise).astype(np.float32)
    for split, days in _DAYS.items():
        parts[split] = first, values[first : first + 24 * days]
        first += 24 * days
    return parts


@functools.cache
def load(num_hours: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What is expected of each hour once its events are known, and the noise on it: both (T,), float64."""
    rng = Random(seed)  # random() is the one method whose values Python promises to keep
    expected, noise = np.empty(num_hours), np.empty(num_hours)
    effect, next_event = 0.0, SHORTEST_PAUSE
    for hour in range(num_hours):
        effect *= math.exp(-1 / RECOVERY_HOURS)
        if hour == next_event:
            effect = DROP
            next_event += SHORTEST_PAUSE + int(rng.random() * (LONGEST_PAUSE - SHORTEST_PAUSE))
        level = FIRST_LEVEL + (LAST_LEVEL - FIRST_LEVEL) * hour / num_hours
        expected[hour] = level * HOUR_OF_DAY[hour % 24] * DAY_OF_WEEK[hour // 24 % 7] * (1 - effect)
        noise[hour] = NOISE * _normal(rng)
    return expected, noise


def _normal(rng: Random) -> float:
    """A standard normal number (Box and Muller 1958)."""
    return math.sqrt(-2 * math.log(1 - rng.random())) * math.cos(2 * math.pi * rng.random())
