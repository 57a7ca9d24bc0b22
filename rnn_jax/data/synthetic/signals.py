"""The TFDS dataset `synthetic_signals`: two chirps in noise, labelled with which of them rise and which fall."""

import math
from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

CLASSES = ("rise-rise", "rise-fall", "fall-rise", "fall-fall")
SHORTEST, LONGEST = 80, 120  # steps of a signal
CHIRP = 24  # steps of a chirp
LOW, HIGH = 0.03, 0.25  # cycles a step, from one end of a chirp to the other
NOISE = 0.3
_RECORDERS = {"train": range(30), "validation": range(30, 36), "test": range(36, 46)}
_SIGNALS = 100  # of each recorder
_SEED = 0


class SyntheticSignals(tfds.core.GeneratorBasedBuilder):
    """Signals of 80 to 120 steps, 3,000 to train on, 600 to validate and 1,000 to test, of 46 recorders in all.

    x_t = gain · (chirps_t + 0.3 ε_t),   ε_t ~ N(0, 1)

    Two chirps of 24 steps lie anywhere, one after the other; each sweeps from 0.03 to 0.25 cycles a step, or back. The
    label is what both do. Backwards, a rise is a fall: mean, deviation, extremes, mean change and spectrum are alike
    for all four classes, and only the order in time tells them apart. The gain is the recorder's.
    """

    VERSION = tfds.core.Version("1.0.0")  # Prepared folders are found by it: values that change need a new one.

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Two chirps in noise, which rise or fall: only the order in time tells classes apart.",
            features=tfds.features.FeaturesDict(
                {
                    "signal": tfds.features.Tensor(shape=(None, 1), dtype=np.float32),
                    "label": tfds.features.ClassLabel(names=list(CLASSES)),
                    "recorder": tfds.features.Scalar(np.int64),
                }
            ),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager  # Nothing is downloaded.
        return {split: self._generate_examples(recorders) for split, recorders in _RECORDERS.items()}

    def _generate_examples(self, recorders: range) -> Iterator[tuple[int, dict[str, Any]]]:
        for recorder in recorders:
            rng = Random(1000 * _SEED + recorder)  # random() is the one method whose values Python promises to keep
            gain = math.exp(rng.random() - 0.5)
            for number in range(_SIGNALS):
                label, signal = record(rng)
                values = (gain * signal).astype(np.float32)[:, None]
                yield recorder * _SIGNALS + number, {"signal": values, "label": label, "recorder": recorder}


def record(rng: Random) -> tuple[int, np.ndarray]:
    """A label and a signal (T,) in float64."""
    label = int(rng.random() * len(CLASSES))
    steps = SHORTEST + int(rng.random() * (LONGEST - SHORTEST + 1))
    signal = np.array([NOISE * _normal(rng) for _ in range(steps)])
    spare = steps - 2 * CHIRP
    first, second = sorted((int(rng.random() * (spare + 1)), int(rng.random() * (spare + 1))))
    for place, falls in zip((first, second + CHIRP), (label // 2, label % 2), strict=True):
        chirp = _rise(rng)
        signal[place : place + CHIRP] += chirp[::-1] if falls else chirp
    return label, signal


def _rise(rng: Random) -> np.ndarray:
    """Of any phase, and as loud at its end as at its beginning."""
    phase, found = rng.random(), []
    for step in range(CHIRP):
        found.append(math.sin(2 * math.pi * phase) * math.sin(math.pi * (step + 0.5) / CHIRP))
        phase += LOW + (HIGH - LOW) * (step + 0.5) / CHIRP
    return np.array(found)


def _normal(rng: Random) -> float:
    """A standard normal number (Box and Muller 1958)."""
    return math.sqrt(-2 * math.log(1 - rng.random())) * math.cos(2 * math.pi * rng.random())
