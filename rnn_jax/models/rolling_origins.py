"""The scores of a part: from every window, from the last origins alone, and as published tables have them."""

from typing import Any

import numpy as np

from rnn_jax.data.series.reading import ForecastPart
from rnn_jax.data.series.spacing import written
from rnn_jax.models.apply import Apply
from rnn_jax.models.backtest_config import BacktestConfig
from rnn_jax.models.forecast_score import MODEL, ForecastScores, score_part


def scored(
    apply: Apply, part: ForecastPart, config: BacktestConfig, levels: tuple[float, ...], *, is_final: bool
) -> tuple[dict[str, Any], ForecastScores]:
    """The metrics, those of the baselines as "mse_repeat_last", and the scores that they come from.

    With --backtest, "origins" has the model's errors from each origin. Before the final score, the model's alone.
    """
    if is_final and config.backtest:
        return _backtest(apply, part, config, levels)
    scores = score_part(apply, part, levels, config.sampling_seed, with_baselines=is_final)
    metrics: dict[str, Any] = scores.summary()
    if is_final:
        metrics |= _of_baselines(scores)
    if is_final and (size := config.published_batch_size):
        rest = len(part.windows) % size
        published = scores.over(slice(len(part.windows) - rest))
        metrics |= {f"{name}_published": published[name] for name in ("mse", "mae")} | {"windows_left_out": rest}
    return metrics, scores


def _of_baselines(scores: ForecastScores) -> dict[str, float]:
    others = {name: found.summary() for name, found in scores.errors.items() if name != MODEL}
    return {f"{metric}_{name}": found[metric] for name, found in others.items() for metric in ("mse", "mae", "mase")}


def _backtest(
    apply: Apply, part: ForecastPart, config: BacktestConfig, levels: tuple[float, ...]
) -> tuple[dict[str, Any], ForecastScores]:
    """Of each series the last window of the part, and those so many steps before it."""
    step = config.backtest_step or part.timeline.horizon
    at, series = part.windows.at, part.windows.series
    last = np.zeros(len(part.series), np.int64)
    np.maximum.at(last, series, at)
    before = last[series] - at
    numbers = np.flatnonzero((before % step == 0) & (before // step < config.backtest))
    chosen = part.only(numbers)
    scores = score_part(apply, chosen, levels, config.sampling_seed, with_baselines=True)
    origins = []
    for back in reversed(range(config.backtest)):
        of_origin = np.flatnonzero(before[numbers] == back * step)
        if len(of_origin):
            found = scores.over(of_origin)
            origins.append({"origin": _when(chosen, int(of_origin[0])), "windows": len(of_origin)} | found)
    return scores.summary() | _of_baselines(scores) | {"origins": origins}, scores


def _when(part: ForecastPart, number: int) -> str | int:
    """The first step that is forecast, of the first of the windows."""
    at, series = int(part.windows.at[number]), part.series[part.windows.series[number]]
    step = part.codec.step
    return at if series.times is None or step is None else written(series.times[at : at + 1], step)[0]
