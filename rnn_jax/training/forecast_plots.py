"""Pictures of forecasts: windows with their past, forecast, interval and truth; and the error of each step ahead."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnn_jax.models.forecast_pictures import DrawnForecast
from rnn_jax.training.plots import never_fails, panels
from rnn_jax.types import Float

_MAX_HISTORY = 3  # horizons of it: more would squeeze the forecast


@never_fails
def plot_forecasts(figure: Any, drawn: Sequence[DrawnForecast], png_path: str | Path) -> None:
    """A panel each."""
    for axes, one in zip(panels(figure, len(drawn), 6.4, 2.6), drawn, strict=True):
        _draw_window(axes, one)
    figure.axes[0].legend(fontsize=8, loc="upper left")


def _draw_window(axes: Any, one: DrawnForecast) -> None:
    horizon = len(one.forecast)
    begin = max(len(one.past) - _MAX_HISTORY * horizon, 0)
    past_times, times = one.times[begin : len(one.past)], one.times[len(one.past) :]
    axes.plot(past_times, one.past[begin:], color="0.45", linewidth=1, label="history")
    if one.interval is not None:
        label = f"{one.coverage:.0%} interval"
        axes.fill_between(times, *one.interval, color="tab:orange", alpha=0.25, linewidth=0, label=label)
    marker = "." if horizon < 3 else None  # a line needs two points
    if one.truth is not None:
        axes.plot(times, one.truth, color="black", linewidth=1, marker=marker, label="truth")
    axes.plot(times, one.forecast, color="tab:orange", linewidth=1.5, marker=marker, label="forecast")
    axes.axvline(times[0], color="0.7", linewidth=0.8, linestyle=":")
    axes.set_title(one.title, fontsize=9)
    axes.tick_params(axis="x", labelrotation=20, labelsize=7)
    axes.tick_params(axis="y", labelsize=8)
    axes.grid(alpha=0.3)


@never_fails
def plot_steps_ahead(
    figure: Any, errors: Mapping[str, Float[np.ndarray, " H"]], what: str, png_path: str | Path
) -> None:
    """A line for each forecaster: its error so many steps ahead; the first one, the model, stands out."""
    figure.set_size_inches(6.4, 3.6)
    axes = figure.subplots()
    for number, (name, values) in enumerate(errors.items()):
        steps = np.arange(1, len(values) + 1)
        style: dict[str, Any] = {"linewidth": 1} if number else {"linewidth": 2.2, "color": "tab:orange", "zorder": 3}
        axes.plot(steps, values, marker="o" if len(values) < 10 else None, markersize=3, label=name, **style)
    axes.set_xlabel("steps ahead")
    axes.set_ylabel(what)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
