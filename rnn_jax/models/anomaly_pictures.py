"""Which series of a part are drawn, and what of them."""

from typing import NamedTuple

import numpy as np

from rnn_jax.data.anomaly.parts import AnomalyPart
from rnn_jax.data.anomaly.reading import marks_of
from rnn_jax.metrics.anomaly_spans import spans_of
from rnn_jax.models.anomaly_score import MODEL, AnomalyScores

_MOST_SERIES = 5


class DrawnSeries(NamedTuple):
    """One column of some rows of a series: times (T,), values, scores and thresholds (T,); spans of true and flagged.

    spans: (n, 2) of rows of these, first and the one after the last.
    """

    title: str
    times: np.ndarray
    values: np.ndarray
    scores: np.ndarray
    thresholds: np.ndarray
    true: np.ndarray
    flagged: np.ndarray


def drawn_series(part: AnomalyPart, scores: AnomalyScores) -> list[DrawnSeries]:
    """From the best to the worst series by VUS-PR, or the first ones; of several columns that which moves most."""
    numbers = list(range(len(part.series)))
    if MODEL in scores.by_series:
        found = scores.by_series[MODEL]
        known = [i for i in numbers if np.isfinite(found[i])]
        numbers = sorted(known, key=lambda i: -found[i]) or numbers
    ranks = np.linspace(0, len(numbers) - 1, min(_MOST_SERIES, len(numbers))).round().astype(int)
    return [_drawn(part, scores, numbers[rank]) for rank in ranks]


def _drawn(part: AnomalyPart, scores: AnomalyScores, i: int) -> DrawnSeries:
    series, (first, last), watched = part.series[i], part.bounds[i], scores.watched[MODEL][i]
    rows = slice(first, last)
    spread = np.nan_to_num(np.nanstd(series.values[rows], axis=0))
    column = int(np.argmax(spread / (1 + np.abs(np.nan_to_num(np.nanmean(series.values[rows], axis=0))))))
    times = np.arange(first, last) if series.times is None else series.times[rows]
    title = " ".join(filter(None, (series.id, part.codec.target[column])))
    if MODEL in scores.by_series and np.isfinite(scores.by_series[MODEL][i]):
        title += f", VUS-PR {scores.by_series[MODEL][i]:.2f}"
    return DrawnSeries(
        title, times, series.values[rows, column], watched.scores[rows], watched.thresholds,
        spans_of(marks_of(series)[rows]), spans_of(watched.flags),
    )  # fmt: skip
