"""The score of the Numenta Anomaly Benchmark: early detections in windows are rewarded, false ones cost."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnn_jax.errors import UserError
from rnn_jax.metrics.anomaly_spans import as_marks, as_scores, spans_of

PROBATION = 0.15  # share of a file's first rows that is not scored
PROBATION_FILE = 5000  # rows of a file that count for it at most
STEEPNESS = 5.0
AT_START = 2.0 / (1.0 + math.exp(-STEEPNESS)) - 1.0  # of the sigmoid, in a window's first row
FAR = 3.0  # widths of a window behind it, from where on a false detection costs all
NO_DETECTION = np.inf


class NabProfile(NamedTuple):
    """What a window found at its start earns, what a window missed and a false detection far from any cost."""

    found: float
    missed: float
    false: float


PROFILES = {
    "standard": NabProfile(1.0, 1.0, 0.11),
    "reward_low_FP": NabProfile(1.0, 1.0, 0.22),
    "reward_low_FN": NabProfile(1.0, 2.0, 0.11),
}


class NabFile(NamedTuple):
    """One series. windows: marks of rows inside anomaly windows; scores: as many, higher is more anomalous."""

    windows: npt.ArrayLike
    scores: npt.ArrayLike


class NabResult(NamedTuple):
    """Score of a corpus: 0 for no detection at all, 100 for one at each window's start and no other; no lower bound."""

    score: float
    threshold: float


def probationary_rows(rows: int) -> int:
    """The rows at a file's start that are not scored, for the detector to learn from: 15 %, at most 750."""
    return int(PROBATION * min(rows, PROBATION_FILE))


def nab_score(files: Sequence[NabFile], threshold: float, profile: NabProfile = PROFILES["standard"]) -> float:
    """NAB's score of detections where scores ≥ threshold, over all files together.

    Of each window the best detection counts, 1 at its start down to 0 at its end; one outside costs `false` times how
    far it lies behind the window before it, in that window's widths y: 1 − 2σ(−5 y), all of it (1) without a window
    before; a window without a detection costs `missed`. Normalised:

      100 · (raw − null) / (perfect − null),  null = −missed · windows,  perfect = found · windows

    Windows that end in the probationary rows don't count; NaN without a window that does. Consecutive windows without a
    row between are one (NAB has none).

    Source: Lavin & Ahmad 2015, Evaluating Real-Time Anomaly Detection Algorithms; constants of NAB's code 1.1.

    Raises:
      UserError: windows that are no marks, scores that are NaN or not as many, or no file.
    """
    sweep = _sweep(files, profile)
    at = np.searchsorted(-sweep.thresholds, -threshold, side="right") - 1
    return sweep.normalised(sweep.raw[at])


def best_nab_score(files: Sequence[NabFile], profile: NabProfile = PROFILES["standard"]) -> NabResult:
    """The score at the best of all thresholds (∞: detect nothing), as NAB publishes it: fitted on the labels scored.

    Source, arguments and errors: as of `nab_score`. To be reported apart from scores at a threshold fixed beforehand.
    """
    sweep = _sweep(files, profile)
    best = int(np.argmax(sweep.raw))  # of equal ones the highest threshold, as in NAB
    return NabResult(sweep.normalised(sweep.raw[best]), float(sweep.thresholds[best]))


class _Sweep(NamedTuple):
    """Raw scores of a corpus at falling thresholds, from "nothing is detected" on."""

    thresholds: np.ndarray
    raw: np.ndarray
    windows: int
    profile: NabProfile

    def normalised(self, raw: float) -> float:
        null, perfect = -self.profile.missed * self.windows, self.profile.found * self.windows
        return float(100.0 * (raw - null) / (perfect - null)) if self.windows else np.nan


def _sweep(files: Sequence[NabFile], profile: NabProfile) -> _Sweep:
    if not files:
        raise UserError("no file to score: give at least one series with its windows")
    changes, scores, count = [], [], 0
    for windows, file_scores in files:
        inside = as_marks(windows, "windows")
        values = as_scores(file_scores, len(inside))
        change, windows_here = _changes(inside, values, profile)
        first = probationary_rows(len(inside))
        changes.append(change[first:])
        scores.append(values[first:])
        count += windows_here
    values, change = np.concatenate(scores), np.concatenate(changes)
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # equal scores are detected together
    raw = -profile.missed * count + np.append(0.0, np.cumsum(change[order])[last])
    return _Sweep(np.append(NO_DETECTION, ranked[last]), raw, count, profile)


def _changes(inside: np.ndarray, values: np.ndarray, profile: NabProfile) -> tuple[np.ndarray, int]:
    """What each row adds to the raw score when the threshold sinks to its score, and the number of windows scored."""
    rewards = _rewards(inside, profile)
    changes = np.where(inside, 0.0, rewards)
    first, count = probationary_rows(len(inside)), 0
    for start, stop in spans_of(inside):
        rows = np.arange(max(start, first), stop)
        count += bool(rows.size)
        rows = rows[np.argsort(-values[rows], kind="stable")]
        best = np.maximum.accumulate(np.append(-profile.missed, rewards[rows]))
        changes[rows] = np.diff(best)
    return changes, count


def _rewards(inside: np.ndarray, profile: NabProfile) -> np.ndarray:
    """Of a detection in each row: positive inside windows, at most 0 outside."""
    rows = len(inside)
    rewards = np.full(rows, -profile.false)
    spans = spans_of(inside)
    for (start, stop), following in zip(spans, np.append(spans[1:, 0], rows)):
        width = stop - start
        rewards[start:stop] = profile.found * _sigmoid(-np.arange(width, 0, -1) / width) / AT_START
        behind = np.arange(1, following - stop + 1) / max(width - 1, 1)
        rewards[stop:following] = profile.false * np.where(behind > FAR, -1.0, _sigmoid(np.minimum(behind, FAR)))
    return rewards


def _sigmoid(place: np.ndarray) -> np.ndarray:
    """2σ(−5 x) − 1, from 1 through 0 at a window's end to −1."""
    return 2.0 / (1.0 + np.exp(STEEPNESS * place)) - 1.0
