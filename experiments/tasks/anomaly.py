"""Series → which rows of them are anomalous."""

from collections.abc import Iterator
from typing import Any

import jax
from flax import nnx

from experiments.anomaly import EXPERIMENT, METRICS, Config
from rnn_jax.data.anomaly.codec import AnomalyCodec
from rnn_jax.data.anomaly.parts import AnomalyPart, read_anomalies, read_anomaly_part
from rnn_jax.data.parts import Data
from rnn_jax.errors import UserError
from rnn_jax.models.anomaly_detector import Detector
from rnn_jax.models.anomaly_pictures import drawn_series
from rnn_jax.models.anomaly_report import report, verdict
from rnn_jax.models.anomaly_score import MODEL, AnomalyScores, fitted_detector, mean_loss, part_errors, score_part
from rnn_jax.models.anomaly_table import watch_stream, watch_table
from rnn_jax.models.make_watcher import Watcher, check_watcher, make_watcher, window_of
from rnn_jax.training.anomaly_plots import plot_anomalies
from rnn_jax.training.run import Run
from rnn_jax.training.task import Scored, Sums, Task, Trained


def read(config: Config, known: AnomalyCodec | None) -> Data:
    return read_anomalies(config.data, window_of(config.model, config.data), config.run.seed, known)


def read_part(config: Config, codec: AnomalyCodec, name: str) -> AnomalyPart:
    return read_anomaly_part(config.data, codec, name)


def make_model(config: Config, codec: AnomalyCodec, rngs: nnx.Rngs) -> Watcher:
    return make_watcher(config.encoder, config.model, config.data, codec, rngs)


def check(config: Config) -> None:
    check_watcher(config.encoder, config.model, config.data)


def loss(model: Watcher, batch: dict[str, jax.Array], carry: Any, key: jax.Array) -> tuple[Sums, Any]:
    """Squared error of scaled values."""
    return {"loss": model.loss(batch, key)}, carry


def score(trained: Trained, part: AnomalyPart) -> Scored:
    """While training goes on, the loss alone: marks must not choose the checkpoint."""
    model, window = _model(trained), window_of(trained.config.model, trained.config.data)
    errors = part_errors(trained, model, part, window)
    found = {"loss": mean_loss(model, part, errors)}
    if not trained.is_final:
        return Scored(found)
    scores = score_part(_detector(trained), part, errors, trained.config.detector)
    return Scored(found | scores.metrics[MODEL], scores)


def fit_after(trained: Trained, data: Data) -> Detector:
    """Errors and thresholds of the normal rows that chose the checkpoint."""
    window = window_of(trained.config.model, trained.config.data)
    return fitted_detector(trained, _model(trained), data.parts["validation"], trained.config.detector, window)


def illustrate(trained: Trained, name: str, part: AnomalyPart, scores: AnomalyScores, run: Run) -> None:
    run.say(verdict(name, scores))
    run.write(f"report_{name}.md", report(part, scores))
    run.draw(plot_anomalies, drawn_series(part, scores), f"anomalies_{name}.png")


def answer_file(trained: Trained, path: str) -> Iterator[dict]:
    """Score, threshold and flag of each row of a table."""
    config, model = trained.config, _model(trained)
    window = window_of(config.model, config.data)
    watch = watch_stream if config.answers.stream else watch_table
    return watch(trained, model, _detector(trained), trained.codec, config.data, path, window)


def _model(trained: Trained) -> Watcher:
    return nnx.merge(trained.graph, trained.params)


def _detector(trained: Trained) -> Detector:
    if trained.fitted is None:
        raise UserError("This run has no thresholds yet: they are fitted when training ends. Run its command again.")
    return trained.fitted


TASK = Task(
    EXPERIMENT, Config, AnomalyCodec, METRICS, read, make_model, loss, score, None, check,
    read_part=read_part, answer_file=answer_file, illustrate=illustrate, unit="windows",
    fit_after=fit_after, fitted=Detector,
)  # fmt: skip
