"""Every row of a sweep against its baseline, and what may be said about it."""

import math
from collections.abc import Mapping, Sequence

from rnn_jax.errors import UserError
from rnn_jax.sweeps.records import Record
from rnn_jax.sweeps.rows import Sweep
from rnn_jax.sweeps.statistics import (
    bootstrap_difference,
    bootstrap_mean,
    holm,
    mean,
    paired_test,
    welch_test,
)
from rnn_jax.sweeps.summaries import FEWEST_SEEDS, Difference, Summary, records_by_row, summarise

SIGNIFICANT = 0.05
ORDERS = ("sweep", "metric")


def compare(sweep: Sweep, records: Sequence[Record], order: str = "sweep") -> list[Summary]:
    """A summary of each row, in the sweep's order or the best mean first (those without one last).

    Raises:
      UserError: unknown order.
    """
    if order not in ORDERS:
        raise UserError(f"unknown order of rows {order!r}: choose {' or '.join(ORDERS)}")
    baseline, *changes = [summarise(sweep, *row) for row in enumerate(records_by_row(sweep, records))]
    differences = [_difference(change.values, baseline.values) for change in changes]
    corrected = holm([difference.p if difference else None for difference in differences])
    judged = [_judged(baseline, None, baseline, sweep.maximize)]
    for change, difference, p_holm in zip(changes, differences, corrected):
        difference = difference._replace(p_holm=p_holm) if difference else None
        judged.append(_judged(change, difference, baseline, sweep.maximize))
    return judged if order == "sweep" else sorted(judged, key=lambda summary: _place(summary, sweep.maximize))


def _place(summary: Summary, maximize: bool) -> float:
    if summary.mean is None:
        return math.inf
    return -summary.mean if maximize else summary.mean


def _difference(values: Mapping[int, float], baseline: Mapping[int, float]) -> Difference | None:
    """Over the seeds that both have, where there are three or more; else between the means, if that allows a test."""
    if not values or not baseline:
        return None
    common = [seed for seed in values if seed in baseline]
    enough = min(len(values), len(baseline)) >= FEWEST_SEEDS
    if len(common) >= FEWEST_SEEDS or (common and not enough):
        ours, theirs = [values[seed] for seed in common], [baseline[seed] for seed in common]
        differences = [a - b for a, b in zip(ours, theirs)]
        difference = Difference(mean(differences), len(common), paired=True)
        if len(common) < FEWEST_SEEDS:
            return difference
        p, exact = paired_test(ours, theirs)
        return difference._replace(interval=bootstrap_mean(differences), p=p, exact=exact)
    ours, theirs = list(values.values()), list(baseline.values())
    difference = Difference(mean(ours) - mean(theirs), len(ours), paired=False)
    if not enough:
        return difference
    p, exact = welch_test(ours, theirs)
    return difference._replace(interval=bootstrap_difference(ours, theirs), p=p, exact=exact)


def _judged(summary: Summary, difference: Difference | None, baseline: Summary, maximize: bool) -> Summary:
    """The summary with its difference, judgement and remark."""
    judgement, remarks = _judgement(summary, difference, baseline, maximize)
    if difference is not None and difference.exact:
        remarks.append("seeds do not vary")
    remark = ", ".join(filter(None, remarks))
    return summary._replace(difference=difference, judgement=judgement, remark=remark)


def _judgement(
    summary: Summary, difference: Difference | None, baseline: Summary, maximize: bool
) -> tuple[str, list[str]]:
    """What is lost (diverged, failed) flatters the rest of its row.

    So a change that lost runs is never better, and none is worse than a baseline that did.
    """
    lost = summary.lost
    if summary.is_baseline:
        return "baseline", [f"anecdotal: n = {len(summary.values)}" * (len(summary.values) < FEWEST_SEEDS), lost]
    if summary.unfinished:
        return "unfinished", [f"{len(summary.values)} of {summary.runs} so far", lost]
    if not summary.values:
        return "no result", [lost]
    if baseline.unfinished:
        return "unfinished", [f"baseline {len(baseline.values)} of {baseline.runs} so far", lost]
    if difference is None or difference.p_holm is None:
        few, whose = min((len(summary.values), ""), (len(baseline.values), "baseline "))
        return "anecdotal", [f"{whose}n = {few}", lost]
    if difference.p_holm >= SIGNIFICANT:
        return "no difference shown", [lost]
    if (difference.mean > 0) == maximize:
        return ("not judged" if lost else "better"), [lost]
    if baseline.lost:
        return "not judged", [f"baseline {baseline.lost}", lost]
    return "worse", [lost]
