"""Pictures of anomalies: a series and what is marked in it; below it the score, its threshold and what is flagged."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnn_jax.models.anomaly_pictures import DrawnSeries
from rnn_jax.training.plots import never_fails

_WIDTH, _HEIGHT = 9.0, 2.8


@never_fails
def plot_anomalies(figure: Any, drawn: Sequence[DrawnSeries], png_path: str | Path) -> None:
    """Two panels each."""
    figure.set_size_inches(_WIDTH, _HEIGHT * len(drawn))
    axes = figure.subplots(2 * len(drawn), 1, squeeze=False)[:, 0]
    for number, one in enumerate(drawn):
        _draw(axes[2 * number], axes[2 * number + 1], one, with_legend=not number)


def _draw(above: Any, below: Any, one: DrawnSeries, *, with_legend: bool) -> None:
    above.plot(one.times, one.values, color="black", linewidth=0.7)
    _shade(above, one, one.true, color="tab:red", alpha=0.25, label="true")
    _shade(below, one, one.flagged, color="tab:orange", alpha=0.35, label="flagged")
    below.plot(one.times, one.scores, color="tab:blue", linewidth=0.8, label="score")
    if np.isfinite(one.thresholds).any():
        below.plot(one.times, one.thresholds, color="0.4", linewidth=0.8, linestyle="--", label="threshold")
    if (one.scores > 0).any():
        below.set_yscale("symlog", linthresh=max(float(np.quantile(one.scores, 0.5)), 1e-6))
    above.set_title(one.title, fontsize=9)
    above.set_xticklabels([])
    for axes in (above, below):
        axes.set_xlim(one.times[0], one.times[-1])
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
    if with_legend and len(one.true):
        above.legend(fontsize=7, loc="upper left")
    if with_legend:
        below.legend(fontsize=7, loc="upper left", ncols=3)


def _shade(axes: Any, one: DrawnSeries, spans: np.ndarray, **style: Any) -> None:
    for number, (first, last) in enumerate(spans):
        end = one.times[min(last, len(one.times) - 1)]
        axes.axvspan(one.times[first], end, linewidth=0, **style | ({"label": ""} if number else {}))
