"""Marked rows, scores of rows, and spans of rows: what every metric of anomalies reads, checked in one place."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnn_jax.errors import UserError


class PrecisionRecall(NamedTuple):
    """Two shares in [0, 1]; both NaN where there is no anomaly to find, both 0 where nothing was predicted."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """2 P R / (P + R), the harmonic mean; 0 where both are 0."""
        total = self.precision + self.recall
        return 2.0 * self.precision * self.recall / total if total != 0.0 else 0.0


UNDEFINED = PrecisionRecall(np.nan, np.nan)
NOTHING = PrecisionRecall(0.0, 0.0)


def as_marks(marks: npt.ArrayLike, name: str = "labels") -> np.ndarray:
    """Rows marked by 1 or True as bool[rows].

    Raises:
      UserError: not one mark a row, no rows, or marks other than 0 and 1.
    """
    array = np.asarray(marks)
    if array.ndim != 1 or not array.size:
        raise UserError(f"{name} have the shape {array.shape}: give one mark a row, of at least one row")
    marked = array.astype(bool)
    wrong = np.flatnonzero(array != marked)
    if wrong.size:
        raise UserError(f"{name}, row {wrong[0]}: {array[wrong[0]]} is no mark: give 1 for an anomaly, 0 for none")
    return marked


def as_scores(scores: npt.ArrayLike, rows: int) -> np.ndarray:
    """Scores of rows, higher is more anomalous, as float64[rows]. Infinities are numbers that can be ranked.

    Raises:
      UserError: not one score a row, or a score is NaN.
    """
    array = np.asarray(scores, np.float64)
    if array.shape != (rows,):
        raise UserError(f"scores have the shape {array.shape}, labels have {rows} rows: give one score a row")
    missing = np.flatnonzero(np.isnan(array))
    if missing.size:
        raise UserError(
            f"{missing.size} of {rows} scores are NaN, the first in row {missing[0]}: NaN has no rank; "
            "leave such rows out, of the labels too, or give them the score that they deserve"
        )
    return array


def same_rows(labels: npt.ArrayLike, predicted: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted marks of the same rows, each bool[rows].

    Raises:
      UserError: as `as_marks` does, or their numbers of rows differ.
    """
    truth, flags = as_marks(labels), as_marks(predicted, "predictions")
    if truth.shape != flags.shape:
        raise UserError(f"{len(flags)} rows are predicted, {len(truth)} have labels: give as many of both")
    return truth, flags


def spans_of(marks: npt.ArrayLike) -> np.ndarray:
    """Runs of marked rows as int64[spans, 2], first row and the row after the last; touching spans are one."""
    edges = np.diff(as_marks(marks).astype(np.int8), prepend=0, append=0)
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], axis=1)


def marks_of(spans: npt.ArrayLike, rows: int) -> np.ndarray:
    """bool[rows], True inside spans[n, 2] of first row and the row after the last; what lies outside is cut off."""
    marks = np.zeros(rows, bool)
    for start, stop in np.asarray(spans, np.int64).reshape(-1, 2):
        marks[max(start, 0) : max(stop, 0)] = True
    return marks
