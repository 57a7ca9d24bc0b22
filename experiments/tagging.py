r"""Sequence labelling: part-of-speech tags, named entities, chunks, or any other label for every word.

    ./launch.sh tagging                                     # embedded synthetic tags, about a minute
    ./launch.sh tagging --flagfile=experiments/recipes/ewt_upos.flags --data_dir=DIR --workdir=runs/ewt
    ./launch.sh tagging --flagfile=experiments/recipes/conll2003_ner.flags --data_dir=DIR --workdir=runs/ner
    ./launch.sh tagging --train_file=a.conll --test_file=b.conll --columns=0,3 --workdir=runs/mine
    echo "Jordan signed the treaty" | ./launch.sh tagging --mode=predict --workdir=runs/mine

Expect test/accuracy above 0.98 on synthetic_tags (a per-word lookup stays below 0.80). README.md has the results table.
Running the same command again continues an interrupted run, or prints the result of a finished one.
"""

import dataclasses

from rnn_jax.config import group
from rnn_jax.data.tagging_config import TaggedTextConfig, TaggingAnswersConfig, WordsConfig
from rnn_jax.metrics.directions import MAXIMISE, MINIMISE
from rnn_jax.models.recurrent_config import RecurrentConfig
from rnn_jax.models.tagger_config import TaggerConfig
from rnn_jax.models.text_model_config import TextModelConfig
from rnn_jax.training.app import run_app
from rnn_jax.training.optimizer_config import OptimizerConfig
from rnn_jax.training.run_config import RunConfig

EXPERIMENT = "tagging"
METRICS = {"f1": MAXIMISE, "accuracy": MAXIMISE, "loss": MINIMISE}
METRICS |= dict.fromkeys(("unseen_accuracy", "sentence_accuracy", "precision", "recall", "conlleval_f1"), MAXIMISE)


@dataclasses.dataclass(frozen=True)
class Config:
    """Every knob of this experiment."""

    data: TaggedTextConfig = group(TaggedTextConfig, "data")
    words: WordsConfig = group(WordsConfig, "text")
    encoder: RecurrentConfig = group(RecurrentConfig, "model", bidirectional=True)
    model: TextModelConfig = group(TextModelConfig, "model", word_dropout=0.1)
    tagger: TaggerConfig = group(TaggerConfig, "model")
    optimizer: OptimizerConfig = group(
        OptimizerConfig, "optimiser", learning_rate=4e-3, schedule="cosine", clip_global_norm=1.0
    )
    run: RunConfig = group(RunConfig, "run", num_epochs=5)
    answers: TaggingAnswersConfig = group(TaggingAnswersConfig, "mode")


def task():
    """The task; it takes seconds to import what it computes with."""
    from experiments.tasks.tagging import TASK

    return TASK


if __name__ == "__main__":
    run_app(task, Config, EXPERIMENT)
