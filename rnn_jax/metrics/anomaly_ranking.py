"""How well scores rank anomalous rows above others, without a threshold: areas under curves and volumes under surfaces.

A row is flagged at a threshold if its score is not below it; rows with equal scores are flagged together. All four
metrics depend on the order of scores alone.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnn_jax.errors import UserError
from rnn_jax.metrics.anomaly_spans import as_marks, as_scores, spans_of

PUBLISHED_THRESHOLDS = 250  # of the authors' code, and so of the published tables


class Areas(NamedTuple):
    """Of one series. pr: under precision over recall, roc: under true over false positive rate; NaN if undefined."""

    pr: float
    roc: float


def areas_under_curves(labels: npt.ArrayLike, scores: npt.ArrayLike) -> Areas:
    """AUC-PR, as average precision Σ (Rₙ − Rₙ₋₁) Pₙ over thresholds, and AUC-ROC, by trapezoids.

    labels: marks of rows; scores: as many numbers, higher is more anomalous. Constant scores get the share of
    anomalous rows and 0.5. No anomaly: both NaN. Nothing else than anomalies: 1 and NaN.

    Raises:
      UserError: labels that are no marks, scores that are NaN, or another number of them.
    """
    truth = as_marks(labels)
    values = as_scores(scores, len(truth))
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives:
        return Areas(np.nan, np.nan)
    order = np.argsort(-values, kind="stable")
    flagged = _rows_flagged(values[order], None)
    hits = np.cumsum(truth[order])[flagged - 1]
    recall, precision = hits / positives, hits / flagged
    pr = float(np.diff(recall, prepend=0.0) @ precision)
    return Areas(pr, _area(recall, (flagged - hits) / negatives) if negatives else np.nan)


def volumes_under_surfaces(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    buffer: int,
    max_thresholds: int | None = PUBLISHED_THRESHOLDS,
) -> Areas:
    """VUS-PR and VUS-ROC: range-aware areas, averaged over tolerances ℓ = 0, 1, …, buffer around each anomaly.

    With tolerance ℓ a row d ≤ ⌊ℓ/2⌋ steps beside an anomaly is one by √(1 − d/ℓ), which softens its label l; where two
    anomalies reach it, it is one. With p the flags at a threshold, P the number of anomalous rows:

      TP = Σ l p     P' = (P + P + Σ_{rows beside} l p) / 2      E = share of the widened anomalies that p touches
      recall = min(TP / P', 1) · E     FPR = (Σ p − TP) / (rows − P')     precision = TP / Σ p

    labels, scores, errors: as of `areas_under_curves`. buffer: rows, usually the period of the series. max_thresholds:
    scores at that many equally spaced ranks are thresholds; None takes every score. No anomaly: both NaN. Nothing else:
    VUS-ROC is NaN.

    Source: Paparrizos et al. 2022, Volume Under the Surface; equal to the authors' code (its `opt` version), which
    takes 250 thresholds and loops over them; here sums run once over the ranked rows. As there, the area for ℓ = 0 is
    not AUC: E multiplies the recall. aeon's VUS is another number: P' there is the same at all thresholds, PR is summed
    by trapezoids, and ramps are a row nearer.
    """
    truth = as_marks(labels)
    values = as_scores(scores, len(truth))
    if buffer < 0:
        raise UserError(f"buffer={buffer}: give a number of rows, 0 or more")
    if not truth.any():
        return Areas(np.nan, np.nan)
    order = np.argsort(-values, kind="stable")
    flagged = _rows_flagged(values[order], max_thresholds)
    thresholds, hits_inside = values[order][flagged - 1], np.cumsum(truth[order])[flagged - 1]
    spans = spans_of(truth)
    nearest, second = _distances_to_spans(spans, len(truth))
    beside = np.flatnonzero(~truth & (nearest <= buffer // 2))
    nearest, second, ranks = nearest[beside], second[beside], np.argsort(order)[beside]
    flagged_from = np.searchsorted(flagged, ranks, side="right")  # the first threshold that flags the row
    areas = []
    for tolerance in range(buffer + 1):
        soft = _soft_labels(nearest, second, tolerance)
        hits_beside = np.cumsum(np.bincount(flagged_from, weights=soft, minlength=len(flagged)))
        hits, positives = hits_inside + hits_beside, truth.sum() + hits_beside / 2
        touched = _share_touched(values, spans, tolerance // 2, thresholds)
        recall = np.minimum(hits / positives, 1.0) * touched
        pr = np.diff(recall, prepend=0.0) @ (hits / flagged)
        roc = np.nan if truth.all() else _area(recall, (flagged - hits) / (len(truth) - positives))
        areas.append((pr, roc))
    pr, roc = np.mean(areas, axis=0)
    return Areas(float(pr), float(roc))


def ranking_summary(labels: npt.ArrayLike, scores: npt.ArrayLike, buffer: int) -> dict[str, float]:
    """All four of one series: vus_pr, auc_pr, vus_roc, auc_roc."""
    volumes, areas = volumes_under_surfaces(labels, scores, buffer), areas_under_curves(labels, scores)
    return {"vus_pr": volumes.pr, "auc_pr": areas.pr, "vus_roc": volumes.roc, "auc_roc": areas.roc}


def _rows_flagged(ranked: np.ndarray, max_thresholds: int | None) -> np.ndarray:
    """How many rows each threshold flags, increasing, of scores in falling order."""
    rows = len(ranked)
    places = np.arange(rows) if max_thresholds is None else np.linspace(0, rows - 1, max_thresholds).astype(int)
    return np.unique(np.searchsorted(-ranked, -ranked[places], side="right"))


def _area(rate: np.ndarray, false_rate: np.ndarray) -> float:
    """By trapezoids from (0, 0) to (1, 1)."""
    return float(np.trapezoid(np.concatenate([[0.0], rate, [1.0]]), np.concatenate([[0.0], false_rate, [1.0]])))


def _distances_to_spans(spans: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps from each row outside spans to the nearest of them and to the second nearest, ∞ where there is none."""
    beyond = np.full(2, np.inf)
    starts, lasts = np.append(spans[:, 0], beyond), np.append(-beyond, spans[:, 1] - 1)
    row = np.arange(rows)
    following = np.searchsorted(spans[:, 0], row)
    ahead, behind = [starts[following + i] - row for i in (0, 1)], [row - lasts[following + i] for i in (0, 1)]
    nearest, second = np.sort(np.stack([*ahead, *behind]), axis=0)[:2]
    return nearest, second


def _soft_labels(nearest: np.ndarray, second: np.ndarray, tolerance: int) -> np.ndarray:
    """Labels of rows beside anomalies; of a row that two reach it is 1, as its ramps add up to more."""
    reach = tolerance // 2
    if not reach:
        return np.zeros(len(nearest))
    ramp = np.sqrt(1.0 - np.minimum(nearest, reach) / tolerance)
    return np.where(nearest > reach, 0.0, np.where(second > reach, ramp, 1.0))


def _share_touched(values: np.ndarray, spans: np.ndarray, reach: int, thresholds: np.ndarray) -> np.ndarray:
    """Share of the anomalies, widened by reach on both sides and merged where they meet, with a row flagged."""
    apart = spans[1:, 0] - reach > spans[:-1, 1] - 1 + reach
    starts = np.maximum(spans[np.append(True, apart), 0] - reach, 0)
    stops = np.minimum(spans[np.append(apart, True), 1] + reach, len(values))
    ends = np.stack([starts, stops], axis=1).ravel()
    highest = np.sort(np.maximum.reduceat(np.append(values, -np.inf), ends)[::2])
    return 1.0 - np.searchsorted(highest, thresholds, side="left") / len(highest)
