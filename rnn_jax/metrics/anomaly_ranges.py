"""Flagged rows against true spans, counted by span and not by row: range-based, span-level and point-adjusted scores.

Every function takes labels and predictions as marks of the same rows and raises `UserError` where they are none.
"""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from rnn_jax.errors import UserError
from rnn_jax.metrics.anomaly_spans import (
    NOTHING,
    UNDEFINED,
    PrecisionRecall,
    as_marks,
    as_scores,
    same_rows,
    spans_of,
)

Bias = Literal["flat", "front", "middle", "back"]
EXISTENCE_WEIGHT = 0.2  # α of recall, as the published tables have it


def range_scores(
    labels: npt.ArrayLike, predicted: npt.ArrayLike, alpha: float = EXISTENCE_WEIGHT, bias: Bias = "flat"
) -> PrecisionRecall:
    """Range-based precision and recall: of each span, whether it was met, how much of it, and in how many pieces.

    A span R with x pieces of the other side's spans in it, of which it covers the share ω (rows weighed by the bias):

      overlap(R) = ω / max(x, 1)
      recall = mean over true spans of α [x > 0] + (1 − α) overlap      precision = mean over predicted spans of overlap

    bias: flat (all rows alike), front (early rows weigh more: n, n − 1, …, 1), back, or middle. Both NaN without a true
    span, both 0 without a predicted one.

    Source: Tatbul et al. 2018, Precision and Recall for Time Series; γ(x) = 1/x, α = 0 for precision.

    Raises:
      UserError: alpha is not in [0, 1].
    """
    truth, flags = same_rows(labels, predicted)
    if not 0.0 <= alpha <= 1.0:
        raise UserError(f"alpha={alpha}: give a weight from 0 (overlap alone) to 1 (existence alone)")
    if not truth.any():
        return UNDEFINED
    if not flags.any():
        return NOTHING
    return PrecisionRecall(_mean_reward(flags, truth, 0.0, bias), _mean_reward(truth, flags, alpha, bias))


def _mean_reward(spans_in: np.ndarray, others_in: np.ndarray, alpha: float, bias: Bias) -> float:
    rewards = []
    for start, stop in spans_of(spans_in):
        covered = others_in[start:stop]
        pieces = int(covered[0]) + int((covered[1:] & ~covered[:-1]).sum())
        weights = _weights(len(covered), bias)
        share = float(weights[covered].sum() / weights.sum())
        rewards.append(alpha * (pieces > 0) + (1.0 - alpha) * share / max(pieces, 1))
    return float(np.mean(rewards))


def _weights(rows: int, bias: Bias) -> np.ndarray:
    up = np.arange(1, rows + 1)
    weights: dict[Bias, np.ndarray] = {
        "flat": np.ones(rows),
        "front": up[::-1],
        "middle": np.minimum(up, up[::-1]),
        "back": up,
    }
    return weights[bias]


class SpanCounts(NamedTuple):
    """Spans of one series, or of many added up: true ones found and missed, predicted ones that are false."""

    found: int
    missed: int
    false: int

    def add(self, other: "SpanCounts") -> "SpanCounts":
        """Of the spans of both."""
        return SpanCounts(self.found + other.found, self.missed + other.missed, self.false + other.false)

    def scores(self) -> PrecisionRecall:
        """found / (found + false) and found / (found + missed)."""
        if not self.found + self.missed:
            return UNDEFINED
        return PrecisionRecall(self.found / max(self.found + self.false, 1), self.found / (self.found + self.missed))


def span_counts(labels: npt.ArrayLike, predicted: npt.ArrayLike, true_spans: npt.ArrayLike | None = None) -> SpanCounts:
    """A true span is found if any predicted one overlaps it; a predicted span that overlaps none is false.

    Several predictions in one true span count once. true_spans: int[n, 2], first row and the row after the last, where
    the labels' runs are not the spans (spans that touch or overlap).

    Source: Hundman et al. 2018, Detecting Spacecraft Anomalies. Where one prediction overlaps two true spans, the
    authors' code finds the first alone; here, as in the paper's words, both.
    """
    truth, flags = same_rows(labels, predicted)
    true = spans_of(truth) if true_spans is None else np.asarray(true_spans, np.int64).reshape(-1, 2)
    found = sum(bool(flags[start:stop].any()) for start, stop in true)
    false = sum(not truth[start:stop].any() for start, stop in spans_of(flags))
    return SpanCounts(found, len(true) - found, false)


def point_adjusted(labels: npt.ArrayLike, predicted: npt.ArrayLike) -> np.ndarray:
    """The flags, and all rows of every true span that has one flagged row, bool[rows].

    Source: Xu et al. 2018, Donut. For comparison alone: long spans are hit by chance, so that random flags score high.
    """
    truth, flags = same_rows(labels, predicted)
    adjusted = flags.copy()
    for start, stop in spans_of(truth):
        adjusted[start:stop] = flags[start:stop].any()
    return adjusted


def row_scores(labels: npt.ArrayLike, predicted: npt.ArrayLike) -> PrecisionRecall:
    """Precision and recall of single rows; both NaN without an anomalous row, both 0 without a flagged one."""
    truth, flags = same_rows(labels, predicted)
    if not truth.any():
        return UNDEFINED
    hits = int((truth & flags).sum())
    return PrecisionRecall(hits / max(int(flags.sum()), 1), hits / int(truth.sum()))


class BestF1(NamedTuple):
    """The highest F1 over all thresholds, and the threshold: fitted on the labels that it is measured on."""

    f1: float
    threshold: float


def best_f1(labels: npt.ArrayLike, scores: npt.ArrayLike, adjust: bool = False) -> BestF1:
    """F1 of rows at the threshold best for it; with adjust, of point-adjusted rows.

    Many series are one: their rows one after the other (a normal row between them keeps spans apart). NaN without an
    anomaly. Of equally good thresholds the highest.

    Raises:
      UserError: scores are NaN, or not one a row.
    """
    truth = as_marks(labels)
    values = as_scores(scores, len(truth)).copy()
    if not truth.any():
        return BestF1(np.nan, np.nan)
    if adjust:  # at every threshold a span is flagged as a whole, by its highest score
        for start, stop in spans_of(truth):
            values[start:stop] = values[start:stop].max()
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    flagged = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) + 1
    f1 = 2.0 * np.cumsum(truth[order])[flagged - 1] / (flagged + truth.sum())
    best = int(np.argmax(f1))
    return BestF1(float(f1[best]), float(ranked[flagged[best] - 1]))
