r"""Sentiment analysis, and any other classification of texts.

    ./launch.sh sentiment                                   # embedded synthetic reviews, about a minute
    ./launch.sh sentiment --flagfile=experiments/recipes/imdb.flags --data_dir=DIR --workdir=runs/imdb
    ./launch.sh sentiment --dataset=trec --label_field=label-coarse --data_dir=DIR --workdir=runs/trec
    ./launch.sh sentiment --train_file=a.csv --test_file=b.jsonl --workdir=runs/mine
    echo "not bad at all" | ./launch.sh sentiment --mode=predict --workdir=runs/mine

Expect test/accuracy above 0.97 on synthetic_reviews (a bag of words stays below 0.80). README.md has the results table.
Running the same command again continues an interrupted run, or prints the result of a finished one.
"""

import dataclasses

from rnn_jax.config import group
from rnn_jax.data.classification_config import LabelledTextConfig
from rnn_jax.metrics.directions import MAXIMISE, MINIMISE
from rnn_jax.models.classifier_config import ClassifierConfig
from rnn_jax.models.recurrent_config import RecurrentConfig
from rnn_jax.models.text_model_config import TextModelConfig
from rnn_jax.text.text_config import TokenConfig
from rnn_jax.training.app import run_app
from rnn_jax.training.optimizer_config import OptimizerConfig
from rnn_jax.training.run_config import RunConfig

EXPERIMENT = "sentiment"
METRICS = {"accuracy": MAXIMISE, "loss": MINIMISE, "macro_f1": MAXIMISE}


@dataclasses.dataclass(frozen=True)
class Config:
    """Every knob of this experiment."""

    data: LabelledTextConfig = group(LabelledTextConfig, "data")
    text: TokenConfig = group(TokenConfig, "text")
    encoder: RecurrentConfig = group(RecurrentConfig, "model")
    model: TextModelConfig = group(TextModelConfig, "model")
    classifier: ClassifierConfig = group(ClassifierConfig, "model")
    optimizer: OptimizerConfig = group(
        OptimizerConfig, "optimiser", learning_rate=4e-3, schedule="cosine", clip_global_norm=1.0
    )
    run: RunConfig = group(RunConfig, "run", num_epochs=5)


def task():
    """The task; it takes seconds to import what it computes with."""
    from experiments.tasks.sentiment import TASK

    return TASK


if __name__ == "__main__":
    run_app(task, Config, EXPERIMENT)
