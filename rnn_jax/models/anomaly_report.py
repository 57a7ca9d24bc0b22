"""What is said of anomalies found: who ranks rows best, and in which series."""

from collections.abc import Iterator, Sequence

import numpy as np

from rnn_jax.data.anomaly.parts import AnomalyPart
from rnn_jax.data.anomaly.reading import marks_of
from rnn_jax.models.anomaly_score import MODEL, AnomalyScores
from rnn_jax.models.report_text import named, number, table

_RANKED = ("vus_pr", "auc_pr", "vus_roc", "auc_roc")
_FLAGGED = ("share_flagged", "range_f1", "affiliation_precision", "affiliation_recall", "affiliation_f1")
_SPANS = ("span_precision", "span_recall", "span_f1", "nab_standard")
_FITTED = ("nab_standard_fitted", "nab_low_fp_fitted", "nab_low_fn_fitted", "point_adjusted_f1")
_MOST_SERIES = 5


def verdict(name: str, scores: AnomalyScores) -> str:
    """One line: whether the model has the highest VUS-PR, and if not, who has."""
    found = {method: metrics["vus_pr"] for method, metrics in scores.metrics.items() if "vus_pr" in metrics}
    if not found:
        share = scores.metrics[MODEL]["share_flagged"]
        return f"{name}: no row is marked as anomalous, so nothing can be scored; {share:.2%} of the rows are flagged."
    others = {method: value for method, value in found.items() if method != MODEL}
    if not others:
        return f"{name}: VUS-PR of the model {number(found[MODEL])}."
    best = max(others, key=others.__getitem__)
    of_best, of_model = f"{named(best)} {number(others[best])}", f"the model {number(found[MODEL])}"
    if others[best] >= found[MODEL]:
        return f"{name}: A BASELINE WINS. The VUS-PR of {of_best}, of {of_model}."
    return f"{name}: the model wins. The VUS-PR of {of_model}, of the best baseline, {of_best}."


def report(part: AnomalyPart, scores: AnomalyScores) -> str:
    """Markdown: the verdict, all methods, and where there are several, the best and worst series."""
    rows = int(np.diff(part.bounds).sum())
    lines = [verdict(part.name, scores), ""]
    if "vus_pr" not in scores.metrics[MODEL]:
        return "\n".join(lines)
    marked = sum(int(marks_of(one)[a:b].sum()) for one, (a, b) in zip(part.series, part.bounds, strict=True))
    lines += [f"{len(part.series):,} series, {rows:,} rows, {marked / rows:.2%} of them marked.", ""]
    lines += ["How rows are ranked, means over the series with anomalies:", "", *_methods(scores, _RANKED), ""]
    lines += [
        "What is flagged, by a threshold of normal rows (means over series; flag everything, and recall is 1):",
        "",
    ]
    lines += [*_methods(scores, _FLAGGED), "", "Spans of all series together, and NAB's standard profile:", ""]
    lines += [*_methods(scores, _SPANS), ""]
    lines += ["At thresholds fitted to the marks, for comparison with published tables alone (point-adjusted scores of"]
    lines[-1] += " random numbers are high: compare with these):"
    lines += ["", *_methods(scores, _FITTED), ""]
    return "\n".join([*lines, *_of_series(part, scores)]).rstrip() + "\n"


def _methods(scores: AnomalyScores, columns: Sequence[str]) -> Iterator[str]:
    rows = [(named(method), *(metrics[name] for name in columns)) for method, metrics in scores.metrics.items()]
    return table(("scores", *columns), rows)


def _of_series(part: AnomalyPart, scores: AnomalyScores) -> Iterator[str]:
    known = np.flatnonzero(np.isfinite(scores.by_series[MODEL]))
    if len(known) < 2:
        return
    order = known[np.argsort(-scores.by_series[MODEL][known], kind="stable")]
    for what, chosen in (("best", order[:_MOST_SERIES]), ("worst", order[::-1][:_MOST_SERIES])):
        yield f"The {what} series, by VUS-PR:"
        yield ""
        rows = [(part.series[i].id, *(values[i] for values in scores.by_series.values())) for i in chosen]
        yield from table(("series", *map(named, scores.by_series)), rows)
        yield ""
