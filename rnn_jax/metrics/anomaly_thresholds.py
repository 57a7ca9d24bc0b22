"""Thresholds that no label was needed for: a quantile of normal scores, and one that follows the errors.

A row is flagged where its score is not below the threshold, here as in every metric of ours.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnn_jax.errors import UserError
from rnn_jax.metrics.anomaly_spans import spans_of

DEVIATIONS = np.arange(2.5, 12.0, 0.5)  # above the mean: candidates for a threshold
FALLBACK_DEVIATIONS = 12.0
MOST_SPANS = 5  # in a window, for a threshold to be a candidate
MOST_ROWS = 0.5  # of a window


def quantile_threshold(scores: npt.ArrayLike, quantile: float) -> float:
    """The least number above the quantile of scores on normal data: at most the share 1 − quantile of them is flagged.

    Raises:
      UserError: the quantile is not in [0, 1], there is no score, or one is NaN.
    """
    values = np.asarray(scores, np.float64)
    if not 0.0 <= quantile <= 1.0:
        raise UserError(f"quantile={quantile}: give a share from 0 to 1")
    if not values.size or np.isnan(values).any():
        raise UserError(f"{values.size} scores, {int(np.isnan(values).sum())} of them NaN, have no quantile")
    return float(np.nextafter(np.quantile(values, quantile, method="higher"), np.inf))


class Smoothing(NamedTuple):
    """Exponential smoothing with a start that is no guess: the mean of what was seen, weighed by (1 − α)^age.

    span: rows, α = 2 / (span + 1). total and weight: sums over what was seen of value · (1 − α)^age and of (1 − α)^age.
    """

    span: float
    total: np.ndarray | float = 0.0
    weight: float = 0.0

    def next(self, error: np.ndarray | float) -> tuple[np.ndarray | float, "Smoothing"]:
        """The smoothed error and the state after it; errors are numbers or arrays of one shape."""
        decay = 1.0 - 2.0 / (self.span + 1.0)
        total, weight = self.total * decay + error, self.weight * decay + 1.0
        return total / weight, Smoothing(self.span, total, weight)


def smooth(errors: npt.ArrayLike, span: float) -> np.ndarray:
    """Each row of errors[T, …] smoothed over those before it (`Smoothing`), as float64 of the same shape.

    Source: Hundman et al. 2018; equal to pandas' `ewm(span=span).mean()`. They take span = 105 (0.05 · 2,100 rows).

    Raises:
      UserError: the span is below 1.
    """
    if span < 1.0:
        raise UserError(f"span={span}: give a number of rows, 1 (no smoothing) or more")
    array = np.asarray(errors, np.float64)
    state, rows = Smoothing(span), np.empty_like(array)
    for row, error in enumerate(array):
        rows[row], state = state.next(error)
    return rows


class DynamicThreshold(NamedTuple):
    """Hundman's threshold without a distribution: what, left out, makes the other smoothed errors smallest and calmest.

    Of the last `window` errors e, with mean μ and deviation σ, ε = μ + zσ with the z of 2.5, 3, …, 11.5 that maximises

      (Δμ/μ + Δσ/σ) / (number of rows flagged + (number of spans)²)

    where Δ is what flagged errors add to μ and σ; at most five spans and half of the rows; 12 if none is left. Rows up
    to `buffer` beside a flagged one are flagged too. Pruning: the highest errors of the spans and of the rows not
    flagged in falling order; spans after the last fall by the share `gap` are normal after all.

    Rows are decided `batch` at a time, the first ones when the window is full: decisions come up to that much later.
    floor: smaller errors are never flagged.

    Source: Hundman et al. 2018 and its code, whose defaults these are. Left out: the second pass over mirrored errors
    and a floor from the quantiles of the test series; the last rows are decided with the window that ends there.
    """

    window: int = 2100
    batch: int = 70
    buffer: int = 100
    gap: float = 0.13
    floor: float = 0.0


PUBLISHED = DynamicThreshold()


class Decisions(NamedTuple):
    """Of consecutive rows. flags: bool[rows] after pruning; thresholds: float64[rows], ε of the window decided by."""

    flags: np.ndarray
    thresholds: np.ndarray


class DynamicState(NamedTuple):
    """The last errors and which of them are flagged; the last `pending` ones are not decided."""

    errors: np.ndarray = np.empty(0)
    flagged: np.ndarray = np.empty(0, bool)
    pending: int = 0


NOTHING_SEEN = DynamicState()


def after_normal(rule: DynamicThreshold, errors: npt.ArrayLike) -> DynamicState:
    """The state after smoothed errors[n] on normal data: then the first batch of new ones is decided at once."""
    last = _checked(errors)[-rule.window :]
    return DynamicState(last, np.zeros(len(last), bool), 0)


def push(rule: DynamicThreshold, state: DynamicState, errors: npt.ArrayLike) -> tuple[Decisions, DynamicState]:
    """Decisions that new smoothed errors[n ≥ 0] complete, of none or more rows, and the state after them.

    Raises:
      UserError: an error is negative or not finite.
    """
    done, new = [], _checked(errors)
    while new.size:
        due = rule.window if state.pending == len(state.errors) else rule.batch
        taken, new = np.split(new, [due - state.pending])
        pending = state.pending + len(taken)
        state = DynamicState(
            np.append(state.errors, taken), np.append(state.flagged, np.zeros(len(taken), bool)), pending
        )
        if pending == due:
            decisions, state = _decide(rule, state)
            done.append(decisions)
    return _joined(done), state


def finish(rule: DynamicThreshold, state: DynamicState) -> Decisions:
    """Decisions for the rows that are pending when the series ends."""
    return _decide(rule, state)[0] if state.pending else _joined([])


def dynamic_decisions(
    errors: npt.ArrayLike, rule: DynamicThreshold = PUBLISHED, state: DynamicState = NOTHING_SEEN
) -> Decisions:
    """Decisions for all smoothed errors[T] of a series: `push` and `finish`. state: `after_normal`, or nothing seen.

    Raises:
      UserError: an error is negative or not finite.
    """
    decided, state = push(rule, state, errors)
    return _joined([decided, finish(rule, state)])


def _checked(errors: npt.ArrayLike) -> np.ndarray:
    array = np.asarray(errors, np.float64)
    if array.ndim != 1 or not np.isfinite(array).all() or (array < 0.0).any():
        raise UserError(f"smoothed errors of the shape {array.shape}: give one number a row, finite and not negative")
    return array


def _joined(parts: list[Decisions]) -> Decisions:
    flags = [np.empty(0, bool), *(part.flags for part in parts)]
    return Decisions(np.concatenate(flags), np.concatenate([np.empty(0), *(part.thresholds for part in parts)]))


def _decide(rule: DynamicThreshold, state: DynamicState) -> tuple[Decisions, DynamicState]:
    """On the pending rows, from the window that ends with them."""
    new, start = state.pending, -max(rule.window, state.pending)
    errors, flagged = state.errors[start:], state.flagged[start:]
    threshold = _threshold(errors, rule.buffer)
    marks = _widened((errors >= threshold) & (errors > rule.floor), rule.buffer)
    marks[:-new] = False
    flagged = flagged | _pruned(marks, errors, flagged, rule.gap)
    decisions = Decisions(flagged[-new:], np.full(new, threshold))
    return decisions, DynamicState(errors[-rule.window :], flagged[-rule.window :], 0)


def _threshold(errors: np.ndarray, buffer: int) -> float:
    mean, deviation = errors.mean(), errors.std()
    if deviation == 0.0:
        return np.inf  # no error is larger than others
    best, threshold = -np.inf, mean + FALLBACK_DEVIATIONS * deviation
    for candidate in mean + DEVIATIONS * deviation:
        calm = errors[errors < candidate]
        marks = _widened(errors >= candidate, buffer)
        rows, spans = int(marks.sum()), len(spans_of(marks))
        if not 0 < rows < MOST_ROWS * len(errors) or spans > MOST_SPANS:
            continue
        gain = ((mean - calm.mean()) / mean + (deviation - calm.std()) / deviation) / (rows + spans**2)
        if gain >= best:
            best, threshold = gain, candidate
    return float(threshold)


def _widened(marks: np.ndarray, buffer: int) -> np.ndarray:
    """Also the rows up to buffer beside marked ones."""
    seen = np.cumsum(np.pad(marks, (buffer + 1, buffer)))
    return seen[2 * buffer + 1 :] > seen[: -2 * buffer - 1]


def _pruned(marks: np.ndarray, errors: np.ndarray, flagged: np.ndarray, gap: float) -> np.ndarray:
    """The marks without spans that stand out too little from one another and from normal errors."""
    spans = spans_of(marks)
    if not len(spans):
        return marks
    highest = np.array([errors[start:stop].max() for start, stop in spans])
    falling = np.append(np.sort(highest)[::-1], errors[~(marks | flagged)].max(initial=0.0))
    falls = np.flatnonzero(falling[:-1] - falling[1:] >= gap * falling[:-1])
    kept = highest >= falling[falls[-1]] if falls.size else np.zeros(len(spans), bool)
    marks = marks.copy()
    for start, stop in spans[~kept]:
        marks[start:stop] = False
    return marks
