"""How well anomalies are found: the network's scores and flags beside those of the baselines, by the same metrics."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rnn_jax.data.anomaly.parts import AnomalyPart
from rnn_jax.data.anomaly.reading import marks_of
from rnn_jax.data.anomaly.windows import Window
from rnn_jax.data.series.series import Series
from rnn_jax.metrics.anomaly_affiliation import affiliation_scores
from rnn_jax.metrics.anomaly_baselines import period_of
from rnn_jax.metrics.anomaly_ranges import SpanCounts, best_f1, range_scores, span_counts
from rnn_jax.metrics.anomaly_ranking import ranking_summary
from rnn_jax.metrics.nab_score import PROFILES, NabFile, best_nab_score, nab_score
from rnn_jax.models.anomaly_baselines import RANDOM, baselines, filled
from rnn_jax.models.anomaly_config import DetectorConfig
from rnn_jax.models.anomaly_detector import Detector, NormalErrors, fit_detector, fit_thresholds
from rnn_jax.models.anomaly_errors import errors_of
from rnn_jax.models.apply import Apply
from rnn_jax.models.make_watcher import Watcher
from rnn_jax.models.watchers import StepForecaster

MODEL = "model"
_FLAGGED = 0.5  # between flags as numbers
_NAB_FITTED = {"standard": "standard", "low_fp": "reward_low_FP", "low_fn": "reward_low_FN"}


class Watched(NamedTuple):
    """One series: scores of all rows, and of the rows that count, first … last, flags and thresholds."""

    scores: np.ndarray
    flags: np.ndarray
    thresholds: np.ndarray


class AnomalyScores(NamedTuple):
    """watched: by method, the model first, every series. metrics: by method, of the part. by_series: VUS-PR (n,)."""

    watched: dict[str, list[Watched]]
    metrics: dict[str, dict[str, float]]
    by_series: dict[str, np.ndarray]


def part_errors(apply: Apply, model: Watcher, part: AnomalyPart, window: Window) -> list[np.ndarray]:
    """Errors of every series of a part, from its first row on."""
    return errors_of(apply, model, [part.codec.encode_series(one) for one in part.series], window)


def fitted_detector(
    apply: Apply, model: Watcher, part: AnomalyPart, config: DetectorConfig, window: Window
) -> Detector:
    """Fits to the normal rows that count of a part."""
    normal = NormalErrors(len(part.codec.ids))
    for one, bounds, errors in zip(part.series, part.bounds, part_errors(apply, model, part, window), strict=True):
        normal.add(part.codec.number_of(one.id), errors, _counts(one, bounds))
    return fit_detector(normal, config)


def mean_loss(model: Watcher, part: AnomalyPart, errors: Sequence[np.ndarray]) -> float:
    """Mean of what training minimises over the normal rows that count, of values clipped as there.

    Of an autoencoder the error of a row is the mean over the windows around it.
    """
    total, weight = 0.0, 0
    for one, bounds, own in zip(part.series, part.bounds, errors, strict=True):
        if isinstance(model, StepForecaster):
            own = own - _beyond(model, part, one)
        known = _counts(one, bounds)[:, None] & np.isfinite(own)
        total += float(np.abs(own[known]).sum() if model.error == "mae" else np.square(own[known]).sum())
        weight += int(known.sum())
    return total / max(weight, 1)


def _beyond(model: StepForecaster, part: AnomalyPart, one: Series) -> np.ndarray:
    """(T, H · C): what errors owe to values that training clips, those of a row and those that changes are from."""
    values = filled(part, one)
    beyond = values - np.clip(values, -model.clip, model.clip)
    found = np.repeat(beyond[:, None], model.horizon, axis=1)
    if model.forecasts_changes:
        for h in range(1, model.horizon + 1):
            found[h:, h - 1] -= beyond[:-h]
    return found.reshape(len(values), -1)


def score_part(
    detector: Detector, part: AnomalyPart, errors: Sequence[np.ndarray], config: DetectorConfig
) -> AnomalyScores:
    """The model's scores, and where anomalies are marked those of the baselines; all metrics of each."""
    numbers = [part.codec.number_of(one.id) for one in part.series]
    watched: dict[str, list[Watched]] = {MODEL: []}
    for number, own, (first, last) in zip(numbers, errors, part.bounds, strict=True):
        scores = detector.scores(number, own)
        watched[MODEL].append(Watched(scores, *detector.thresholds.decide(number, scores[first:last])))
    if part.has_marks and part.normal is not None:
        watched |= _baselines(part, part.normal, config, numbers)
    by_series = {name: _ranking(part, own) for name, own in watched.items()} if part.has_marks else {}
    metrics = {name: _metrics(part, own, by_series.get(name)) for name, own in watched.items()}
    if part.has_marks and RANDOM in metrics:
        metrics[MODEL]["point_adjusted_f1_of_random"] = metrics[RANDOM]["point_adjusted_f1"]
    return AnomalyScores(watched, metrics, {name: found["vus_pr"] for name, found in by_series.items()})


def _counts(one: Series, bounds: np.ndarray) -> np.ndarray:
    """(T,), the rows that count and are not marked."""
    counts = ~marks_of(one)
    counts[: bounds[0]] = counts[bounds[1] :] = False
    return counts


def _baselines(
    part: AnomalyPart, normal: AnomalyPart, config: DetectorConfig, numbers: Sequence[int]
) -> dict[str, list[Watched]]:
    found: dict[str, list[Watched]] = {}
    for name, scorer in baselines(part, config.span).items():
        calm: list[list[np.ndarray]] = [[np.empty(0)] for _ in part.codec.ids]
        for i, (one, bounds) in enumerate(zip(normal.series, normal.bounds, strict=True)):
            row = part.codec.number_of(one.id)
            calm[row].append(scorer(one, len(part.series) + i)[_counts(one, bounds)])
        thresholds = fit_thresholds([np.concatenate(own) for own in calm], config)
        found[name] = []
        for i, (one, number, (first, last)) in enumerate(zip(part.series, numbers, part.bounds, strict=True)):
            scores = scorer(one, i)
            found[name].append(Watched(scores, *thresholds.decide(number, scores[first:last])))
    return found


def _ranking(part: AnomalyPart, watched: Sequence[Watched]) -> dict[str, np.ndarray]:
    """Of each series, NaN where nothing is marked: areas and volumes, with its period as the buffer."""
    rows = []
    for one, own, (first, last) in zip(part.series, watched, part.bounds, strict=True):
        buffer = period_of(filled(part, one)[first:last, 0])
        rows.append(ranking_summary(marks_of(one)[first:last], own.scores[first:last], buffer))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _metrics(part: AnomalyPart, watched: Sequence[Watched], ranking: dict[str, np.ndarray] | None) -> dict[str, float]:
    """vus_*, auc_*, range_* and affiliation_*: means over the series with anomalies. span_*: all spans of all series
    together. point_adjusted_f1 and nab_*_fitted: at the thresholds that are best for the marks, for comparison alone.
    """
    flagged = sum(int(own.flags.sum()) for own in watched)
    found = {"share_flagged": flagged / max(sum(len(own.flags) for own in watched), 1)}
    if ranking is None:
        return found
    marks = [marks_of(one)[first:last] for one, (first, last) in zip(part.series, part.bounds, strict=True)]
    marked = [i for i, own in enumerate(marks) if own.any()]
    if not marked:
        return found
    ranked = {name: float(values[marked].mean()) for name, values in ranking.items()}
    ranges = [range_scores(marks[i], watched[i].flags) for i in marked]
    affiliations = [affiliation_scores(marks[i], watched[i].flags) for i in marked]
    spans = SpanCounts(0, 0, 0)
    for own, truth in zip(watched, marks, strict=True):
        spans = spans.add(span_counts(truth, own.flags))
    span = spans.scores()
    return (
        ranked
        | {"range_f1": float(np.mean([one.f1 for one in ranges]))}
        | {
            "affiliation_precision": float(np.mean([one.precision for one in affiliations])),
            "affiliation_recall": float(np.mean([one.recall for one in affiliations])),
            "affiliation_f1": float(np.mean([one.f1 for one in affiliations])),
        }
        | {"span_precision": span.precision, "span_recall": span.recall, "span_f1": span.f1}
        | found
        | {"point_adjusted_f1": _point_adjusted(part, watched, marks)}
        | _nab(part, watched)
    )


def _point_adjusted(part: AnomalyPart, watched: Sequence[Watched], marks: Sequence[np.ndarray]) -> float:
    """At the best threshold; a row that is not anomalous, and has the lowest score, keeps series apart."""
    scores = [own.scores[first:last] for own, (first, last) in zip(watched, part.bounds, strict=True)]
    lowest = min(float(own.min()) for own in scores if len(own))
    joined = np.concatenate([np.append(own, lowest) for own in scores])
    return best_f1(np.concatenate([np.append(own, False) for own in marks]), joined, adjust=True).f1


def _nab(part: AnomalyPart, watched: Sequence[Watched]) -> dict[str, float]:
    """NAB's profiles with its own threshold, fitted to the marks; and the standard one of our flags."""
    truth = [marks_of(one) for one in part.series]
    scored = [NabFile(own, other.scores) for own, other in zip(truth, watched, strict=True)]
    flags = []
    for own, other, (first, last) in zip(truth, watched, part.bounds, strict=True):
        row = np.zeros(len(own))
        row[first:last] = other.flags
        flags.append(NabFile(own, row))
    fitted = {
        f"nab_{name}_fitted": best_nab_score(scored, PROFILES[profile]).score for name, profile in _NAB_FITTED.items()
    }
    return fitted | {"nab_standard": nab_score(flags, _FLAGGED)}
