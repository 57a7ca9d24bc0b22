"""Series → what comes next."""

from collections.abc import Iterator
from typing import Any

import jax
from flax import nnx

from experiments.forecasting import EXPERIMENT, METRICS, Config
from rnn_jax.data.parts import Data
from rnn_jax.data.series.codec import SeriesCodec
from rnn_jax.data.series.reading import ForecastPart, read_forecast_part, read_forecasting, require_counts
from rnn_jax.errors import UserError
from rnn_jax.models.forecast_pictures import drawn_forecasts
from rnn_jax.models.forecast_report import report, verdict
from rnn_jax.models.forecast_score import ForecastScores
from rnn_jax.models.forecast_sizes import sizes_of
from rnn_jax.models.forecast_table import forecast_table
from rnn_jax.models.forecaster import Forecaster
from rnn_jax.models.forecaster_config import check_forecaster
from rnn_jax.models.make_forecaster import make_forecaster
from rnn_jax.models.rolling_origins import scored
from rnn_jax.models.stack import make_stack
from rnn_jax.training.forecast_plots import plot_forecasts, plot_steps_ahead
from rnn_jax.training.run import Run
from rnn_jax.training.task import Scored, Sums, Task, Trained


def read(config: Config, known: SeriesCodec | None) -> Data:
    data = read_forecasting(config.data, config.run.seed, known)
    if config.model.output == "negative_binomial":
        require_counts(data.parts["validation"])  # it has the series whole
    return data


def read_part(config: Config, codec: SeriesCodec, name: str) -> ForecastPart:
    return read_forecast_part(config.data, codec, name)


def make_model(config: Config, codec: SeriesCodec, rngs: nnx.Rngs) -> Forecaster:
    return make_forecaster(config.encoder, config.model, sizes_of(config.data, codec), rngs)


def check(config: Config) -> None:
    check_forecaster(config.model, config.encoder)
    if config.model.output == "negative_binomial" and config.data.transform == "log":
        raise UserError(
            "--transform=log: --output=negative_binomial is of counts, not of their logarithms. Leave it out."
        )
    make_stack(config.encoder)


def loss(model: Forecaster, batch: dict[str, jax.Array], carry: Any, key: jax.Array) -> tuple[Sums, Any]:
    """The error, or the nats, of each value that is known."""
    return {"loss": model.loss(batch, key)}, carry


def score(trained: Trained, part: ForecastPart) -> Scored:
    """Every window once, beside the baselines in the final score; with --backtest from so many origins."""
    config = trained.config
    metrics, scores = scored(trained, part, config.scoring, config.model.quantiles, is_final=trained.is_final)
    return Scored(metrics, scores)


def illustrate(trained: Trained, name: str, part: ForecastPart, scores: ForecastScores, run: Run) -> None:
    run.say(verdict(name, scores.errors))
    run.write(f"report_{name}.md", report(part, scores))
    levels, seed = trained.config.model.quantiles, trained.config.scoring.sampling_seed
    run.draw(plot_forecasts, drawn_forecasts(trained, part, scores.per_window, levels, seed), f"forecasts_{name}.png")
    by_step = {name: found.scaled.by_step()["mse"] for name, found in scores.errors.items()}
    run.draw(plot_steps_ahead, by_step, "MSE of scaled values", f"steps_ahead_{name}.png")


def answer_file(trained: Trained, path: str) -> Iterator[dict]:
    """The forecast after the last row of a table."""
    config = trained.config
    return forecast_table(
        trained, trained.codec, config.data, path, config.model.quantiles, config.scoring.sampling_seed,
        told_apart=config.model.series_embedding_size > 0,
    )  # fmt: skip


TASK = Task(
    EXPERIMENT, Config, SeriesCodec, METRICS, read, make_model, loss, score, None, check,
    read_part=read_part, answer_file=answer_file, illustrate=illustrate, unit="windows",
    settings=lambda config: config.scoring.settings(),
)  # fmt: skip
