"""Affiliation precision and recall: how near predictions are to the anomalies, against rows drawn at random."""

import numpy as np
import numpy.typing as npt

from rnn_jax.metrics.anomaly_spans import NOTHING, UNDEFINED, PrecisionRecall, same_rows, spans_of


def affiliation_scores(labels: npt.ArrayLike, predicted: npt.ArrayLike) -> PrecisionRecall:
    """Chance that a random place would be farther: of predictions from anomalies (precision), of those from these.

    Row i is the interval [i, i + 1). The series is cut into zones Z half-way between true spans J; what is predicted
    in a zone, I, belongs to its span. With X uniform on Z and dist the distance between a place and a set:

      precision(J) = mean over x in I of P(dist(X, J) ≥ dist(x, J))      (a zone without a prediction has none)
      recall(J)    = mean over y in J of P(|X − y| ≥ dist(y, I))         (0 for a zone without a prediction)

    Precision is averaged over zones that have it, recall over all. labels, predicted: marks of the same rows. Both NaN
    without an anomaly, both 0 without a prediction. A random flag gets about 0.5 to 0.8 of precision: compare with it.

    Source: Huet et al. 2022, Local Evaluation of Time Series Anomaly Detection Algorithms. The integrals are of
    functions with straight pieces, so that the value amid each piece times its length is exact.

    Raises:
      UserError: labels or predictions that are no marks, or not as many of both.
    """
    truth, flags = same_rows(labels, predicted)
    if not truth.any():
        return UNDEFINED
    if not flags.any():
        return NOTHING
    true, found = spans_of(truth).astype(float), spans_of(flags).astype(float)
    borders = np.concatenate([[0.0], (true[:-1, 1] + true[1:, 0]) / 2, [float(len(truth))]])
    precisions, recalls = [], []
    for (start, stop), low, high in zip(true, borders[:-1], borders[1:]):
        inside = np.clip(found[(found[:, 0] < high) & (found[:, 1] > low)], low, high)
        if len(inside):
            precisions.append(_precision(inside, start, stop, low, high))
        recalls.append(_recall(inside, start, stop, low, high) if len(inside) else 0.0)
    return PrecisionRecall(float(np.mean(precisions)), float(np.mean(recalls)))


def _precision(inside: np.ndarray, start: float, stop: float, low: float, high: float) -> float:
    """Mean over the predicted intervals inside[n, 2] of the share of the zone at least as far from [start, stop)."""
    margins = start - low, high - stop
    near = min(margins)  # beyond it the zone ends on one side
    middle, length = _pieces([*inside.ravel(), start, stop, start - near, stop + near])
    covered = _distance(middle, inside) == 0.0
    middle, length = middle[covered], length[covered]
    distance = np.maximum(np.maximum(start - middle, middle - stop), 0.0)
    nearer = stop - start + np.minimum(distance, margins[0]) + np.minimum(distance, margins[1])
    farther = np.where(distance > 0.0, 1.0 - nearer / (high - low), 1.0)
    return float(farther @ length / length.sum())


def _recall(inside: np.ndarray, start: float, stop: float, low: float, high: float) -> float:
    """Mean over [start, stop) of the share of the zone at least as far from the place as the predictions are."""
    between = (inside[:-1, 1] + inside[1:, 0]) / 2
    outer = (low + inside[0, 0]) / 2, (inside[-1, 1] + high) / 2  # as near to the zone's end as to a prediction
    kinks = np.clip([*inside.ravel(), *between, *outer, start, stop], start, stop)
    middle, length = _pieces(kinks)
    distance = _distance(middle, inside)
    nearer = np.minimum(distance, middle - low) + np.minimum(distance, high - middle)
    return float((1.0 - nearer / (high - low)) @ length / (stop - start))


def _pieces(places: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Middles and lengths of the pieces between places, in order."""
    ends = np.unique(places)
    return (ends[:-1] + ends[1:]) / 2, np.diff(ends)


def _distance(places: np.ndarray, intervals: np.ndarray) -> np.ndarray:
    """From each of places[n] to the nearest of intervals[m, 2], which are in order and don't overlap."""
    after = np.searchsorted(intervals[:, 0], places, side="right")  # intervals that start at or before the place
    before = places - np.append(-np.inf, intervals[:, 1])[after]
    ahead = np.append(intervals[:, 0], np.inf)[after] - places
    return np.maximum(np.minimum(before, ahead), 0.0)
