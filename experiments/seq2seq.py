r"""Sequence to sequence: translation, and any other text from a text, by an encoder–decoder with attention.

    ./launch.sh seq2seq                                     # embedded dates to ISO 8601, one to two minutes
    ./launch.sh seq2seq --flagfile=experiments/recipes/multi30k_en_de.flags --data_dir=DIR --workdir=runs/m30k
    ./launch.sh seq2seq --train_file=a.en,a.de --test_file=b.en,b.de --vocabulary_size=8000 --workdir=runs/own
    echo "A man sleeps." | ./launch.sh seq2seq --mode=predict --workdir=runs/mine --beam_size=10 --n_best=3

Expect test/exact_match above 0.98 on synthetic_dates. README.md has the results table.
Running the same command again continues an interrupted run, or prints the result of a finished one.
"""

import dataclasses

from rnn_jax.config import group
from rnn_jax.data.translation_config import PairsConfig, SubwordConfig
from rnn_jax.metrics.directions import MAXIMISE, MINIMISE
from rnn_jax.models.decoding_config import DecodingConfig
from rnn_jax.models.recurrent_config import RecurrentConfig
from rnn_jax.models.seq2seq_config import DecoderConfig, Seq2SeqConfig
from rnn_jax.models.text_model_config import TextModelConfig
from rnn_jax.text.teacher_forcing import TeacherForcingConfig
from rnn_jax.training.app import run_app
from rnn_jax.training.optimizer_config import OptimizerConfig
from rnn_jax.training.run_config import RunConfig

EXPERIMENT = "seq2seq"
METRICS = {"bleu": MAXIMISE, "loss": MINIMISE, "exact_match": MAXIMISE, "chrf": MAXIMISE, "perplexity": MINIMISE}


@dataclasses.dataclass(frozen=True)
class Config:
    """Every knob of this experiment."""

    data: PairsConfig = group(PairsConfig, "data")
    text: SubwordConfig = group(SubwordConfig, "text", vocabulary_size=500, tokens_per_batch=500, num_buckets=4)
    encoder: RecurrentConfig = group(
        RecurrentConfig, "model", cell=("gru",), bidirectional=True, variational_dropout=True
    )
    decoder: DecoderConfig = group(DecoderConfig, "model", prefix="decoder_")
    model: TextModelConfig = group(TextModelConfig, "model", embedding_size=128)
    seq2seq: Seq2SeqConfig = group(Seq2SeqConfig, "model")
    forcing: TeacherForcingConfig = group(TeacherForcingConfig, "optimiser")
    optimizer: OptimizerConfig = group(
        OptimizerConfig, "optimiser", learning_rate=4e-3, schedule="cosine", clip_global_norm=1.0
    )
    decoding: DecodingConfig = group(DecodingConfig, "decoding")
    run: RunConfig = group(RunConfig, "run", num_epochs=2, select_by="bleu")


def task():
    """The task; it takes seconds to import what it computes with."""
    from experiments.tasks.seq2seq import TASK

    return TASK


if __name__ == "__main__":
    run_app(task, Config, EXPERIMENT)
