"""Pictures of a sweep: every row's metric with its interval, and learning curves. They never end a report."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from rnn_jax.sweeps.records import Record
from rnn_jax.sweeps.report_table import name_of
from rnn_jax.sweeps.rows import Sweep
from rnn_jax.sweeps.summaries import FEWEST_SEEDS, Summary, is_number, records_by_row
from rnn_jax.training.plots import never_fails

# Colours that people with any colour vision tell apart (Okabe and Ito, 2008); the baseline is black.
_JUDGED = {"better": "#0072B2", "worse": "#D55E00", "baseline": "#000000"}
_UNDECIDED = "#7A7A7A"
_ROWS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8A63D2", "#7F6A3F")
_DASHES = ("-", "--", "-.", ":")
_LABEL_WIDTH = 44
MOST_ROWS = 60
_LOG_FROM = 100.0  # largest value over smallest


class Curve(NamedTuple):
    """Learning curves of a row's seeds on common steps: their mean, and the extremes over the seeds.

    whole: where every seed has a value. ends: (step, value) where a diverged seed broke off.
    """

    steps: Float[np.ndarray, " steps"]
    mean: Float[np.ndarray, " steps"]
    low: Float[np.ndarray, " steps"]
    high: Float[np.ndarray, " steps"]
    whole: Bool[np.ndarray, " steps"]
    ends: list[tuple[float, float]]
    num_seeds: int


def row_curve(records: Sequence[Record], name: str) -> Curve | None:
    """The curve of a row's runs, finished or not; None where none has logged this name.

    Seeds may log at different steps (epochs of token batches differ): each is interpolated between its own.
    """
    seeds, ends = [], []
    for record in records:
        points = {float(line["step"]): float(line[name]) for line in record.metrics if is_number(line.get(name))}
        if points:
            seeds.append(sorted(points.items()))
            if record.status == "diverged":
                ends.append(seeds[-1][-1])
    if not seeds:
        return None
    steps = np.unique([step for seed in seeds for step, _ in seed])
    values = np.stack([_interpolate(steps, np.array(seed)) for seed in seeds])
    whole = ~np.isnan(values).any(axis=0)
    mean, low, high = (over(values, axis=0) for over in (np.nanmean, np.nanmin, np.nanmax))
    return Curve(steps, mean, low, high, whole, ends, len(seeds))


def _interpolate(steps: Float[np.ndarray, " steps"], points: Float[np.ndarray, "points 2"]) -> np.ndarray:
    return np.interp(steps, points[:, 0], points[:, 1], left=np.nan, right=np.nan)


def draw_curves(sweep: Sweep, records: Sequence[Record], summaries: Sequence[Summary], png_path: Path) -> bool:
    """sweep.curve over steps, a line for each row; False where no run has logged it."""
    numbers = {row.name: number for number, row in enumerate(sweep.rows)}
    by_row = records_by_row(sweep, records)
    curves = []
    for summary in drawn_rows(summaries) if sweep.curve else ():
        number = numbers[summary.row.name]
        if (curve := row_curve(by_row[number], sweep.curve)) is not None:
            curves.append((summary, _style(number), curve))
    steady = [line.get(sweep.curve) for record in records if record.status != "diverged" for line in record.metrics]
    return bool(curves) and _curves(sweep, curves, [value for value in steady if is_number(value)], png_path)


def drawn_rows(summaries: Sequence[Summary]) -> list[Summary]:
    """The first of them, and the baseline: a picture of more is too large."""
    return [summary for place, summary in enumerate(summaries) if place < MOST_ROWS or summary.is_baseline]


def _style(number: int) -> dict[str, Any]:
    """Colour and dashes by the row's place in the sweep, so that sorting the table changes neither."""
    if number == 0:
        return {"color": "black", "linestyle": "-", "linewidth": 2.2, "zorder": 5}
    dashes, colour = divmod(number - 1, len(_ROWS))
    return {"color": _ROWS[colour], "linestyle": _DASHES[dashes % len(_DASHES)], "linewidth": 1.6}


@never_fails
def _curves(
    figure: Any,
    sweep: Sweep,
    curves: Sequence[tuple[Summary, dict[str, Any], Curve]],
    calm: Sequence[float],
    png_path: str | Path,
) -> None:
    """calm: every value of the runs that did not diverge; those that did may leave the picture of a linear scale."""
    figure.set_size_inches(10.0, max(4.4, 1.0 + 0.24 * sum(1 + _label(s).count("\n") for s, _, _ in curves)))
    axes, shade = figure.subplots(), 0.12 if len(curves) <= 8 else 0.06
    for summary, style, curve in curves:
        count = f" ({curve.num_seeds} of {summary.runs})" if curve.num_seeds < summary.runs else ""
        marker = "o" if len(curve.steps) < 3 else None
        if not curve.whole.all():
            axes.plot(curve.steps, curve.mean, alpha=0.35, **style)
        whole = np.where(curve.whole, curve.mean, np.nan)
        axes.plot(curve.steps, whole, label=_label(summary) + count, marker=marker, **style)
        axes.fill_between(curve.steps, curve.low, curve.high, color=style["color"], alpha=shade, linewidth=0)
        if curve.ends:
            axes.plot(*zip(*curve.ends), "x", color=style["color"], markersize=7, markeredgewidth=2, zorder=6)
    if sweep.curve_log:
        axes.set_yscale("log", nonpositive="mask")
    elif calm:
        (bottom, top), span = axes.get_ylim(), max(calm) - min(calm)
        axes.set_ylim(max(bottom, min(calm) - span), min(top, max(calm) + span))
    axes.set_xlabel(_plain(sweep.curve_axis or "step"))
    axes.set_ylabel(_plain(sweep.curve))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)


def curves_caption(sweep: Sweep, summaries: Sequence[Summary]) -> str:
    """What the picture of the learning curves shows."""
    return (
        f"{sweep.curve} over the {sweep.curve_axis or 'step'}: mean over seeds, band from the lowest to the highest; "
        "pale where not every seed has a value, × where one diverged (if it is not far outside)." + _limit(summaries)
    )


def intervals_caption(sweep: Sweep, summaries: Sequence[Summary]) -> str:
    """What the picture of the intervals shows."""
    return (
        f"{sweep.metric} ({'higher' if sweep.maximize else 'lower'} is better): single seeds as dots, the mean as a "
        "tick, its bootstrap 95 % interval as a bar; the line and the grey band are the baseline's. Blue rows are "
        "better and orange rows worse than the baseline after Holm's correction." + _limit(summaries)
    )


def _limit(summaries: Sequence[Summary]) -> str:
    drawn = len(drawn_rows(summaries))
    return f" Only {drawn} of {len(summaries)} rows, from the top of the table." if drawn < len(summaries) else ""


def draw_intervals(sweep: Sweep, summaries: Sequence[Summary], png_path: Path) -> bool:
    """Every row's seeds, mean and interval; False where there is no value yet."""
    return any(summary.values for summary in summaries) and _intervals(sweep, drawn_rows(summaries), png_path)


@never_fails
def _intervals(figure: Any, sweep: Sweep, summaries: Sequence[Summary], png_path: str | Path) -> None:
    labels = [_label(summary) for summary in summaries]
    figure.set_size_inches(9.0, 1.2 + len(labels) * max(0.32, 0.16 * max(1 + label.count("\n") for label in labels)))
    axes = figure.subplots()
    for place, summary in enumerate(summaries):
        colour = _JUDGED.get(summary.judgement, _UNDECIDED)
        values = list(summary.values.values())
        if summary.is_baseline and summary.mean is not None:
            axes.axvline(summary.mean, color="black", linewidth=0.9, zorder=1)
            if summary.interval:
                axes.axvspan(*summary.interval, color="black", alpha=0.08, linewidth=0, zorder=0)
        if summary.interval:
            axes.plot(summary.interval, [place, place], color=colour, linewidth=4, solid_capstyle="butt", zorder=2)
        below = np.full(len(values), place + 0.27)  # so that they hide no interval
        axes.plot(values, below, "o", color=colour, alpha=0.45, markersize=4, markeredgewidth=0, zorder=3)
        if summary.mean is not None:
            axes.plot(summary.mean, place, "|", color=colour, markersize=13, markeredgewidth=2.2, zorder=4)
    values = [value for summary in summaries for value in summary.values.values()]
    if min(values) > 0 and max(values) > _LOG_FROM * min(values):
        axes.set_xscale("log")
    axes.set_yticks(range(len(summaries)), labels, fontsize=9)
    axes.set_ylim(len(summaries) - 0.4, -0.5)  # the first row on top
    axes.set_xlabel(_plain(f"{sweep.metric} ({'higher' if sweep.maximize else 'lower'} is better)"))
    axes.grid(axis="x", alpha=0.3)
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(summaries)), [_margin_note(summary) for summary in summaries], fontsize=8)
    right.tick_params(length=0)


def _margin_note(summary: Summary) -> str:
    """Beside the row: runs that are missing from the picture."""
    unfinished = f"{summary.unfinished} of {summary.runs} to come" if summary.unfinished else ""
    few = f"n = {len(summary.values)}" if 0 < len(summary.values) < FEWEST_SEEDS else ""
    return "\n".join(filter(None, [few, summary.lost, unfinished]))


def _label(summary: Summary) -> str:
    return _plain(textwrap.fill(name_of(summary), _LABEL_WIDTH, break_on_hyphens=False))


def _plain(text: str) -> str:
    """Text in which no formula begins."""
    return text.replace("$", r"\$")
