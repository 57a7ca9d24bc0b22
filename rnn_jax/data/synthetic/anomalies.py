"""The TFDS dataset `synthetic_anomalies`: beating series of two sensors, in which something goes wrong now and then."""

import functools
import math
from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

_NORMAL_ROWS, _ROWS = 1_200, 3_200
_SERIES, _SEED = 6, 0
_ROOM = 330  # rows for each anomaly and the normal ones around it
NOISE = 0.12
KINDS = ("spike", "level_shift", "frequency", "missing_beat", "noise", "decoupled")


class SyntheticAnomalies(tfds.core.GeneratorBasedBuilder):
    """Six series of 1,200 normal rows (train) and 2,000 in which six anomalies are marked (test), one of each kind.

    A wave of a period from 20 to 45 rows has a beat in every period; a second sensor follows the first one three rows
    later, in the shape of its square. What goes wrong, for 20 to 80 rows but for the spike, which has two:

      spike          the first sensor jumps by less than its range
      level_shift    both sensors are higher
      frequency      the wave turns faster by a third
      missing_beat   the beats are left out
      noise          there is three times as much
      decoupled      the second sensor follows a wave of its own

    No value is out of the range of normal ones for long, so that values alone say little.
    """

    VERSION = tfds.core.Version("1.0.0")  # Prepared folders are found by it: values that change need a new one.

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Two sensors of a machine that turns; spikes, shifts, lost beats and the like are marked.",
            features=tfds.features.FeaturesDict(
                {
                    "machine": tfds.features.Text(),
                    "values": tfds.features.Tensor(shape=(None, 2), dtype=np.float32),
                    "is_anomaly": tfds.features.Tensor(shape=(None,), dtype=np.int64),
                }
            ),
            metadata=tfds.core.MetadataDict({"columns": ["first", "second"]}),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager  # Nothing is downloaded.
        parts = {"train": slice(0, _NORMAL_ROWS), "test": slice(_NORMAL_ROWS, _ROWS)}
        return {split: self._generate_examples(rows) for split, rows in parts.items()}

    def _generate_examples(self, rows: slice) -> Iterator[tuple[int, dict[str, Any]]]:
        for number in range(_SERIES):
            values, marks = machine(number, _SEED)
            yield number, {"machine": f"machine {number + 1}", "values": values[rows], "is_anomaly": marks[rows]}


@functools.cache
def machine(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Values (T, 2) float32 and marks (T,) of one series."""
    rng = Random(1_000 * seed + number)  # random() is the one method whose values Python promises to keep
    period = 20.0 + 25.0 * rng.random()
    at = {kind: _place(rng, slot) for slot, kind in enumerate(_shuffled(rng))}
    kinds = [""] * _ROWS
    for kind, (first, last) in at.items():
        kinds[first : 2 + first if kind == "spike" else last] = [kind] * (2 if kind == "spike" else last - first)
    values, turn, own, before = np.empty((_ROWS, 2)), 0.0, 0.0, [0.0, 0.0, 0.0]
    for row, kind in enumerate(kinds):
        turn += (4 / 3 if kind == "frequency" else 1.0) / period
        own += 1.0 / 14.0
        beat = 0.0 if kind == "missing_beat" else math.exp(-(((turn % 1.0) - 0.5) ** 2) / 0.003)
        wave = math.sin(2 * math.pi * turn) + 1.2 * beat
        follows = math.sin(2 * math.pi * own) if kind == "decoupled" else before[0]
        before = [*before[1:], wave]
        noise = NOISE * (3.0 if kind == "noise" else 1.0)
        jump = {"spike": 1.0, "level_shift": 0.5}.get(kind, 0.0)
        shift = 0.5 if kind == "level_shift" else 0.0
        values[row] = wave + jump + noise * _normal(rng), follows**2 - 0.5 + shift + noise * _normal(rng)
    return values.astype(np.float32), np.array([bool(kind) for kind in kinds], np.int64)


def _shuffled(rng: Random) -> list[str]:
    return sorted(KINDS, key=lambda kind: rng.random())


def _place(rng: Random, slot: int) -> tuple[int, int]:
    """First row, and the one after the last, of the anomaly in a slot of the rows to be scored."""
    length = 20 + int(60 * rng.random())
    first = _NORMAL_ROWS + slot * _ROOM + 60 + int((_ROOM - 60 - length - 30) * rng.random())
    return first, first + length


def _normal(rng: Random) -> float:
    """A standard normal number (Box and Muller 1958)."""
    return math.sqrt(-2 * math.log(1 - rng.random())) * math.cos(2 * math.pi * rng.random())
