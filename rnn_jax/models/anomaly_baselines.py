"""The scores that every report has beside the network's: flagged by thresholds that are fitted in the same way."""

from collections.abc import Callable

import numpy as np

from rnn_jax.data.anomaly.parts import AnomalyPart
from rnn_jax.data.series.series import Series
from rnn_jax.metrics.anomaly_baselines import (
    constant_scores,
    fit_sub_pca,
    last_difference,
    period_of,
    random_scores,
)
from rnn_jax.metrics.windowed_gaussian import windowed_gaussian
from rnn_jax.models.anomaly_detector import steady

RANDOM, CONSTANT, LAST_DIFFERENCE = "random", "constant", "last_difference"
SUB_PCA, WINDOWED_GAUSSIAN = "sub_pca", "windowed_gaussian"
_SEED = 0
_MOST_WINDOW = 2_000  # numbers in a window of Sub-PCA: it takes the eigenvectors of a matrix of so many rows

Scorer = Callable[[Series, int], np.ndarray]
"""(series, number of it for random numbers) → scores of all of its rows, (T,)."""


def baselines(part: AnomalyPart, span: float) -> dict[str, Scorer]:
    """By name: random numbers, zeros, ‖x(t) − x(t−1)‖, Sub-PCA of the training rows, NAB's windowed Gaussian.

    The first three are smoothed as the network's scores are. The last one is of single columns. Values are scaled as
    the network's, and missing ones repeat the last that is known.
    """
    found: dict[str, Scorer] = {
        RANDOM: lambda series, number: steady(random_scores(len(series), _SEED + number), span),
        CONSTANT: lambda series, number: constant_scores(len(series)),
        LAST_DIFFERENCE: lambda series, number: steady(last_difference(filled(part, series)), span),
        SUB_PCA: _sub_pca(part),
    }
    if len(part.codec.target) == 1:
        found[WINDOWED_GAUSSIAN] = lambda series, number: windowed_gaussian(filled(part, series)[:, 0])
    return found


def filled(part: AnomalyPart, series: Series) -> np.ndarray:
    """The scaled values (T, C), each missing one as the last that is known in its column, the first ones 0."""
    values, known, _ = part.codec.encode_series(series)
    at = np.maximum.accumulate(np.where(known, np.arange(len(values))[:, None], -1), axis=0)
    return np.where(at >= 0, np.take_along_axis(values, np.maximum(at, 0), axis=0), 0.0).astype(np.float64)


def _sub_pca(part: AnomalyPart) -> Scorer:
    """Windows of the period of the training rows, as long as these and the series allow; zeros where none fits."""
    normal = part.normal or part
    ends = normal.train_ends or tuple(int(last) for _, last in normal.bounds)
    training = {one.id: filled(part, one.head(end)) for one, end in zip(normal.series, ends, strict=True)}

    def scores(series: Series, number: int) -> np.ndarray:
        values = filled(part, series)
        rows = training.get(series.id, next(iter(training.values())))
        window = min(period_of(rows[:, 0]), len(rows) // 2, len(values) // 2, max(_MOST_WINDOW // rows.shape[1], 1))
        return fit_sub_pca(rows, window).scores(values) if window > 0 else np.zeros(len(values))

    return scores
