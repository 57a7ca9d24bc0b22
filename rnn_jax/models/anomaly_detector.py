"""From errors to scores and flags: fitted to the errors on normal rows that the network was not trained on.

    errors (T, D) → raw scores (T,) → smoothed → for a likelihood: against those before → flagged from a threshold on

A row of which nothing is known, or was forecast, has the score of the row before, the first ones 0.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from rnn_jax.data.codec import Codec
from rnn_jax.errors import UserError
from rnn_jax.metrics.anomaly_gaussian import LEAST_ERRORS, ErrorGaussian, fit_gaussian
from rnn_jax.metrics.anomaly_thresholds import (
    Decisions,
    DynamicState,
    DynamicThreshold,
    Smoothing,
    after_normal,
    finish,
    push,
    quantile_threshold,
)
from rnn_jax.metrics.windowed_gaussian import WindowedGaussian
from rnn_jax.models.anomaly_config import DetectorConfig

_LEAST_OWN = 10  # normal error vectors of a series for a Gaussian of its own; and more than an error has entries


@dataclasses.dataclass(frozen=True, eq=False)
class Thresholds(Codec):
    """Of each series of training. rule: (window, batch, buffer, gap) of a dynamic threshold, () for a fixed one.

    fixed: (n,), ∞ with a rule. normal: of each series with a rule, the last scores of normal rows.
    """

    rule: tuple[float, ...]
    fixed: np.ndarray
    normal: tuple[np.ndarray, ...]

    def stream(self, number: int) -> "FlagStream":
        """Decisions on the scores of a series of this number, as they come."""
        return FlagStream(self, number)

    def decide(self, number: int, scores: np.ndarray) -> Decisions:
        """Flags and thresholds of all scores of a series."""
        stream = self.stream(number)
        done, rest = stream.push(scores), stream.finish()
        return Decisions(*map(np.concatenate, zip(done, rest, strict=True)))


class FlagStream:
    """Which scores are flagged: with a fixed threshold at once, with a dynamic one some rows later."""

    def __init__(self, thresholds: Thresholds, number: int):
        self._fixed, self._state = float(thresholds.fixed[number]), DynamicState()
        self._rule: DynamicThreshold | None = None
        if thresholds.rule:
            window, batch, buffer, gap = thresholds.rule
            self._rule = DynamicThreshold(int(window), int(batch), int(buffer), gap)
            self._state = after_normal(self._rule, thresholds.normal[number])

    def push(self, scores: np.ndarray) -> Decisions:
        """Of the rows that are decided now, none or more."""
        if self._rule is None:
            return Decisions(scores >= self._fixed, np.full(len(scores), self._fixed))
        decisions, self._state = push(self._rule, self._state, scores)
        return decisions

    def finish(self) -> Decisions:
        """Of the rows that are left."""
        return self.push(np.empty(0)) if self._rule is None else finish(self._rule, self._state)


def fit_thresholds(normal: Sequence[np.ndarray], config: DetectorConfig) -> Thresholds:
    """normal: of each series of training its scores of normal rows; of one without any, those of all hold.

    Raises:
      UserError: there is none at all.
    """
    everything = np.concatenate(list(normal))
    if not len(everything):
        raise UserError("There is no normal row to fit a threshold to: raise --validation_fraction.")
    own = [scores if len(scores) else everything for scores in normal]
    if config.threshold == "dynamic":
        window = config.dynamic_window
        rule = (float(window), float(config.dynamic_batch), float(config.dynamic_buffer), config.dynamic_gap)
        return Thresholds(rule, np.full(len(own), np.inf), tuple(scores[-window:] for scores in own))
    own = own if config.threshold_by == "series" else [everything] * len(own)
    return Thresholds((), np.array([quantile_threshold(scores, config.quantile) for scores in own]), ())


@dataclasses.dataclass(frozen=True, eq=False)
class Detector(Codec):
    """What the normal errors of a trained network say. kind: gaussian, smoothed or likelihood. span: of the smoothing.

    mean (n, D), axes (n, D, D), variances (n, D): of the Gaussian of each series; empty for other kinds.
    """

    kind: str
    span: float
    mean: np.ndarray
    axes: np.ndarray
    variances: np.ndarray
    thresholds: Thresholds

    def raw(self, number: int, errors: np.ndarray) -> np.ndarray:
        """(T,), NaN where nothing is known: the distance of errors (T, D) of a series, or their mean size.

        An entry that is not known counts as the mean of the normal ones.
        """
        if self.kind != "gaussian":
            return mean_size(errors)
        gaussian = ErrorGaussian(self.mean[number], self.axes[number], self.variances[number])
        distances = gaussian.distance(np.where(np.isnan(errors), gaussian.mean, errors))
        return np.where(np.isnan(errors).all(axis=1), np.nan, distances)

    def scores(self, number: int, errors: np.ndarray) -> np.ndarray:
        """(T,), of all errors of a series from its first row on."""
        return self.stream().push(self.raw(number, errors))

    def stream(self) -> "ScoreStream":
        """Scores of raw scores, as they come."""
        return ScoreStream(self.span, WindowedGaussian() if self.kind == "likelihood" else None)


class ScoreStream:
    """Raw scores → scores: smoothed, and without gaps; with `before`, by how far out they are among those before."""

    def __init__(self, span: float, before: WindowedGaussian | None = None):
        self._smoothing, self._before, self._last = Smoothing(span), before, 0.0

    def push(self, raw: np.ndarray) -> np.ndarray:
        """Of the next rows."""
        scores = np.empty(len(raw))
        for row, value in enumerate(raw):
            if value == value:
                smoothed, self._smoothing = self._smoothing.next(float(value))
                self._last = float(smoothed)
                if self._before is not None:
                    self._last, self._before = self._before.deviations(self._last)
            scores[row] = self._last
        return scores


def steady(raw: np.ndarray, span: float) -> np.ndarray:
    """Raw scores (T,) of a whole series, smoothed and without gaps."""
    return ScoreStream(span).push(raw)


def mean_size(errors: np.ndarray) -> np.ndarray:
    """Of errors (T, D) the mean absolute value of those that are known, (T,); NaN where none is."""
    known = ~np.isnan(errors)
    counts = known.sum(axis=1)
    means = np.where(known, np.abs(errors), 0.0).sum(axis=1) / np.maximum(counts, 1)
    return np.where(counts > 0, means, np.nan)


class NormalErrors:
    """Errors of the series with normal rows: all of them, and which rows count. number: of the series of training."""

    def __init__(self, num_series: int):
        self.num_series = num_series
        self._entries: list[tuple[int, np.ndarray, np.ndarray]] = []

    def add(self, number: int, errors: np.ndarray, counts: np.ndarray) -> None:
        """errors: (T, D) of a series, counts: (T,) bool."""
        self._entries.append((number, errors, counts))

    def vectors(self) -> list[np.ndarray]:
        """Of each series of training the error vectors of normal rows that are known as a whole."""
        size = self._entries[0][1].shape[1]
        found: list[list[np.ndarray]] = [[np.empty((0, size))] for _ in range(self.num_series)]
        for number, errors, counts in self._entries:
            found[number].append(errors[counts & np.isfinite(errors).all(axis=1)])
        return [np.concatenate(own) for own in found]

    def scores(self, detector: Detector) -> list[np.ndarray]:
        """Of each series of training the scores of its normal rows."""
        found: list[list[np.ndarray]] = [[np.empty(0)] for _ in range(self.num_series)]
        for number, errors, counts in self._entries:
            found[number].append(detector.scores(number, errors)[counts])
        return [np.concatenate(own) for own in found]


def fit_detector(normal: NormalErrors, config: DetectorConfig) -> Detector:
    """Fits the Gaussians, where there are any, and then the thresholds of the scores that follow from them.

    A series with few normal errors (fewer than ten, or not more than a vector has entries) has the Gaussian of all.

    Raises:
      UserError: no error on normal rows is known.
    """
    none = np.empty(0)
    detector = Detector(config.score, config.span, none, none, none, Thresholds((), none, ()))
    if config.score == "gaussian":
        vectors = normal.vectors()
        everything = np.concatenate(vectors)
        if len(everything) < LEAST_ERRORS:
            raise UserError(
                f"{len(everything)} errors on normal rows are known, which is too few to say what is normal: raise"
                " --validation_fraction, or give more rows."
            )
        pooled = fit_gaussian(everything)
        least = max(_LEAST_OWN, everything.shape[1] + 1)
        own = [fit_gaussian(one) if config.errors_by == "series" and len(one) >= least else pooled for one in vectors]
        mean, axes, variances = map(np.stack, zip(*own, strict=True))
        detector = dataclasses.replace(detector, mean=mean, axes=axes, variances=variances)
    return dataclasses.replace(detector, thresholds=fit_thresholds(normal.scores(detector), config))
