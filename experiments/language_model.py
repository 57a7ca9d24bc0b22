r"""Language models, and text from them: by characters, words, subwords or bytes.

    ./launch.sh language_model                              # embedded synthetic language, about a minute
    ./launch.sh language_model --flagfile=experiments/recipes/ptb_small.flags --data_dir=DIR --workdir=runs/ptb
    ./launch.sh language_model --train_file=a.txt --workdir=runs/mine
    echo "ROMEO:" | ./launch.sh language_model --mode=predict --workdir=runs/mine --temperature=0.8
    ./launch.sh language_model --mode=eval --workdir=runs/ptb --data_dir=DIR --dynamic_evaluation

Expect test/perplexity below 1.55 on synthetic_language, whose source itself has 1.41. README.md has the results table.
Running the same command again continues an interrupted run, or prints the result of a finished one.
"""

import dataclasses

from rnn_jax.config import group
from rnn_jax.data.language_config import LanguageConfig
from rnn_jax.metrics.directions import MINIMISE
from rnn_jax.models.adaptation_config import AdaptationConfig
from rnn_jax.models.language_model_config import LanguageModelConfig
from rnn_jax.models.recurrent_config import RecurrentConfig
from rnn_jax.models.text_model_config import TextModelConfig
from rnn_jax.models.writing_config import WritingConfig
from rnn_jax.text.language_config import UnitsConfig
from rnn_jax.training.app import run_app
from rnn_jax.training.optimizer_config import OptimizerConfig
from rnn_jax.training.run_config import RunConfig

EXPERIMENT = "language_model"
METRICS = dict.fromkeys(("loss", "perplexity", "bits_per_character"), MINIMISE)


@dataclasses.dataclass(frozen=True)
class Config:
    """Every knob of this experiment."""

    data: LanguageConfig = group(LanguageConfig, "data")
    text: UnitsConfig = group(UnitsConfig, "text", batch_size=16)
    encoder: RecurrentConfig = group(RecurrentConfig, "model")
    model: TextModelConfig = group(TextModelConfig, "model", embedding_size=128)
    language: LanguageModelConfig = group(LanguageModelConfig, "model")
    optimizer: OptimizerConfig = group(
        OptimizerConfig, "optimiser", learning_rate=6e-3, schedule="cosine", clip_global_norm=1.0
    )
    run: RunConfig = group(RunConfig, "run", num_epochs=4)
    scoring: AdaptationConfig = group(AdaptationConfig, "scoring")
    writing: WritingConfig = group(WritingConfig, "writing")


def task():
    """The task; it takes seconds to import what it computes with."""
    from experiments.tasks.language_model import TASK

    return TASK


if __name__ == "__main__":
    run_app(task, Config, EXPERIMENT)
