"""What is said of forecasts: who wins, by how much, at which steps and for which series."""

from collections.abc import Iterator, Sequence

import numpy as np

from rnn_jax.data.series.reading import ForecastPart
from rnn_jax.models.forecast_baselines import NAIVE
from rnn_jax.models.forecast_score import MODEL, Errors, ForecastScores

_COLUMNS = ("mse", "mae", "mse_units", "mae_units", "rmse_units", "smape", "mase")
_MOST_STEPS, _MOST_SERIES = 8, 5


def verdict(name: str, errors: dict[str, Errors]) -> str:
    """One line: whether the model has the lowest MSE, and if not, who has."""
    mse = {forecaster: found.scaled.summary()["mse"] for forecaster, found in errors.items()}
    naive = min((forecaster for forecaster in mse if forecaster in NAIVE), key=mse.__getitem__)
    best = min(mse, key=mse.__getitem__)
    model = f"the model {number(mse[MODEL])}"
    best_naive = f"{named(naive)} {number(mse[naive])}"
    if best in NAIVE:
        return f"{name}: A NAIVE FORECAST WINS. The MSE of {best_naive}, of {model}."
    if best != MODEL:
        of_best = f"{named(best)} {number(mse[best])}"
        return f"{name}: the {named(best)} forecast wins. The MSE of {of_best}, of {model}, of {best_naive}."
    ratio = mse[naive] / mse[MODEL] if mse[MODEL] else float("inf")
    return f"{name}: the model wins. Its MSE is {number(mse[MODEL])}, that of {best_naive} ({ratio:.2f} times as much)."


def report(part: ForecastPart, scores: ForecastScores) -> str:
    """Markdown: the verdict, all forecasters, errors by steps ahead, and where there are several, by series."""
    errors = scores.errors
    lines = [verdict(part.name, errors), "", f"{len(part.windows):,} windows of {part.timeline.context_length} steps"]
    lines[-1] += f" and {part.timeline.horizon} to forecast. mse and mae are of scaled values; mase is relative to the"
    lines[-1] += f" seasonal naive error before the part (a season of {part.codec.season} steps)."
    lines += ["", *table(("forecast", *_COLUMNS), _summaries(errors)), ""]
    steps = _chosen_steps(part.timeline.horizon)
    by_step = {name: found.scaled.by_step()["mse"] for name, found in errors.items()}
    rows = [(named(name), *(values[step - 1] for step in steps)) for name, values in by_step.items()]
    lines += ["MSE by steps ahead:", "", *table(("forecast", *map(str, steps)), rows), ""]
    if scores.quantiles is not None:
        lines += list(_of_intervals(scores))
    if len(part.series) > 1:
        lines += list(_of_series(part, errors))
    return "\n".join(lines).rstrip() + "\n"


def _summaries(errors: dict[str, Errors]) -> Iterator[tuple]:
    for name, found in errors.items():
        summary = found.summary()
        yield named(name), *(summary[column] for column in _COLUMNS)


def _of_intervals(scores: ForecastScores) -> Iterator[str]:
    summary = scores.summary()
    wanted = scores.levels[-1] - scores.levels[0]
    yield (
        f"The interval of {wanted:.0%} covers {summary['coverage']:.1%}; the quantile loss is"
        f" {number(summary['quantile_loss'])}, in units of the data."
    )
    yield ""


def _of_series(part: ForecastPart, errors: dict[str, Errors]) -> Iterator[str]:
    by_series = {name: found.scaled.by_series()["mse"] for name, found in errors.items()}
    model = by_series[MODEL]
    naive = np.min([values for name, values in by_series.items() if name in NAIVE], axis=0)
    known = np.flatnonzero(np.isfinite(model))
    wins = int((model[known] < naive[known]).sum())
    yield f"Of {len(known):,} series the model forecasts {wins:,} better than every naive forecast does."
    yield ""
    order = known[np.argsort(model[known], kind="stable")]
    for what, chosen in (("best", order[:_MOST_SERIES]), ("worst", order[::-1][:_MOST_SERIES])):
        yield f"The {what} series, by MSE:"
        yield ""
        rows = ((part.series[i].id, *(values[i] for values in by_series.values())) for i in chosen)
        yield from table(("series", *map(named, by_series)), rows)
        yield ""


def _chosen_steps(horizon: int) -> list[int]:
    return sorted({round(step) for step in np.linspace(1, horizon, min(horizon, _MOST_STEPS))})


def table(header: Sequence[str], rows: Iterator[tuple] | Sequence[tuple]) -> Iterator[str]:
    """Lines of Markdown; the first entry of each row is its name."""
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for first, *numbers in rows:
        yield f"| {first} | {' | '.join(map(number, numbers))} |"


def number(value: float) -> str:
    """Four digits; a dash where there is none."""
    return f"{value:.4g}" if np.isfinite(value) else "–"


def named(name: str) -> str:
    """As it is written in text."""
    return name.replace("_", " ")
