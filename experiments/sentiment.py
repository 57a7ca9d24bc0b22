r"""Sentiment analysis, and any other classification of texts.

    python -m experiments.sentiment                                   # embedded synthetic reviews, about a minute
    python -m experiments.sentiment --flagfile=experiments/recipes/imdb.flags --data_dir=DIR --workdir=runs/imdb
    python -m experiments.sentiment --dataset=trec --label_field=label-coarse --data_dir=DIR --workdir=runs/trec
    python -m experiments.sentiment --train_file=a.csv --test_file=b.jsonl --workdir=runs/mine
    echo "not bad at all" | python -m experiments.sentiment --mode=predict --workdir=runs/mine

Expect test/accuracy above 0.97 on synthetic_reviews (a bag of words stays below 0.80). README.md has the results table.
Running the same command again continues an interrupted run, or prints the result of a finished one.
"""

import dataclasses
import functools
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx

from rnn_jax.config import knob, new_default
from rnn_jax.data.batching import Batch, Ragged, ordered_batches
from rnn_jax.data.classification import (
    ClassificationData,
    LabelledTextConfig,
    LabelledTexts,
    is_data_file,
    load_classification,
    load_part,
)
from rnn_jax.data.parts import choose_part
from rnn_jax.data.streaming import doubling_lengths, map_rows
from rnn_jax.data.text_config import TokenConfig, fit_inputs
from rnn_jax.data.text_inputs import TextInputs
from rnn_jax.data.vocabulary import UNKNOWN_ID
from rnn_jax.metrics.classification import ClassificationTotals
from rnn_jax.metrics.losses import cross_entropy
from rnn_jax.models.recurrent_config import dropout_knob, make_stack
from rnn_jax.models.sentiment import NGRAM_FUSIONS, SentimentClassifier
from rnn_jax.models.text_model_config import TextModelConfig, describe_cells, model_size, solve_width
from rnn_jax.modules import Pooling
from rnn_jax.training.adopt import adopt_params, require_same_knobs
from rnn_jax.training.answers import answer_lines
from rnn_jax.training.app import Invocation, run_app
from rnn_jax.training.devices import data_mesh, replicate, shard_batch, wait_for_all
from rnn_jax.training.modes import run_mode
from rnn_jax.training.optimizer import OptimizerConfig, make_optimizer
from rnn_jax.training.plan import TrainingPlan, describe_plan, plan_training
from rnn_jax.training.plots import plot_confusion, plot_curves
from rnn_jax.training.run import Run, RunConfig
from rnn_jax.training.session import Session
from rnn_jax.training.state import TrainState, create_state, evaluation_params
from rnn_jax.training.steps import Steps, make_steps
from rnn_jax.training.summary import num_parameters
from rnn_jax.training.trained import Trained, load_trained
from rnn_jax.training.updates import Update, Updates
from rnn_jax.training.window import prefixed

EXPERIMENT = "sentiment"
VOCABULARY_KNOBS = ("tokenizer", "vocabulary_size", "lowercase", "ngram_vocabulary_size", "ngram_orders")


@dataclasses.dataclass(frozen=True)
class Config(LabelledTextConfig, TokenConfig, TextModelConfig, OptimizerConfig, RunConfig):
    """Every knob of this experiment; groups by inheritance."""

    learning_rate: float = new_default(OptimizerConfig, "learning_rate", 4e-3)
    schedule: str = new_default(OptimizerConfig, "schedule", "cosine")
    clip_global_norm: float = new_default(OptimizerConfig, "clip_global_norm", 1.0)
    num_epochs: int = new_default(RunConfig, "num_epochs", 5)

    ngram_embedding_size: int = knob(32, "size of the n-gram embeddings", minimum=1)
    ngram_fusion: str = knob("input", "n-grams join the encoder's input, or a bag at the output", choices=NGRAM_FUSIONS)
    convolution_width: int = knob(0, "width of the convolution before the recurrence (0 = off)", minimum=0)
    convolution_size: int = knob(128, "features of the convolution", minimum=1)
    pooling: str = knob("last", "from all outputs to one vector", choices=Pooling.KINDS)
    ngram_dropout: float = dropout_knob("n-grams left out")


class Split(NamedTuple):
    """Encoded texts and their labels."""

    texts: Ragged
    labels: np.ndarray


def accuracy_then_loss(scores: dict[str, float]) -> tuple[float, ...]:
    """What the best checkpoint has most of."""
    return scores["accuracy"], -scores["loss"]


def encode_split(config: Config, inputs: TextInputs, data: LabelledTexts) -> Split:
    return Split(inputs.encode(data.texts, max_tokens=config.max_tokens, truncation=config.truncation), data.labels)


def check(config: Config) -> None:
    """UserError for what can be told without data; a sweep asks before anything runs."""
    make_stack(config)
    make_optimizer(config, total_steps=1_000_000)


def make_model(config: Config, inputs: TextInputs) -> SentimentClassifier:
    return SentimentClassifier(
        make_stack(config),
        vocabulary_size=inputs.tokenizer.get_vocab_size(),
        num_classes=len(inputs.label_names),
        embedding_size=config.embedding_size,
        pooling=config.pooling,
        convolution_width=config.convolution_width,
        convolution_size=config.convolution_size,
        ngram_vocabulary_size=inputs.ngrams.size if inputs.ngrams else 0,
        ngram_embedding_size=config.ngram_embedding_size,
        ngram_fusion=config.ngram_fusion,
        word_dropout=config.word_dropout,
        embedding_dropout=config.embedding_dropout,
        ngram_dropout=config.ngram_dropout,
        output_dropout=config.output_dropout,
        unknown_id=UNKNOWN_ID,
        dtype=config.compute_dtype,
        rngs=nnx.Rngs(config.seed),
    )


def forward(model: SentimentClassifier, arrays: dict[str, jax.Array], key: jax.Array | None):
    """Summed loss and weights of a batch, and the class probabilities (B, C). In training, each head has its loss."""
    heads = model.heads(arrays["tokens"], arrays["lengths"], ngrams=arrays.get("ngrams"), key=key)
    mean = heads.mean(axis=0)
    losses = [
        cross_entropy(logits, arrays["labels"], arrays["weights"]) for logits in (heads if key is not None else [mean])
    ]
    total = sum(total for total, _ in losses) / len(losses)
    return (total, losses[0][1]), jax.nn.softmax(mean)


def steps_of(config: Config, inputs: TextInputs, total_steps: int = 0) -> Steps:
    return make_steps(solve_width(config, inputs, make_model), inputs, make_model, forward, total_steps)


def load_best(workdir: str | Path) -> Trained:
    """The model of a run directory."""
    return load_trained(workdir, EXPERIMENT, Config, TextInputs, steps_of)


def evaluate(trained: Trained, split: Split) -> ClassificationTotals:
    """Totals over a split; each text counts once, padding never."""
    mesh, totals = data_mesh(), ClassificationTotals.zero(len(trained.inputs.label_names))
    shapes = {"batch_size": trained.config.batch_size, "buckets": doubling_lengths(trained.config.max_tokens)}
    for batch in ordered_batches(split.texts, **shapes, rows_multiple_of=mesh.size):
        arrays = shard_batch(trained.inputs.batch_arrays(batch, split.labels), mesh)
        (loss, count), probabilities = jax.device_get(trained.steps.predict(trained.params, arrays))
        real = batch.indices >= 0
        totals = totals.add(
            float(loss), float(count), split.labels[batch.indices[real]], probabilities[real].argmax(axis=-1)
        )
    return totals


def plan_of(config: Config, split: Split) -> TrainingPlan:
    return plan_training(config, split.texts.lengths, multiple_of=8)


def prepare(config: Config) -> tuple[ClassificationData, TextInputs, Any]:
    """The data, the inputs fitted on its training split, and with --init_from that run's inputs and parameters."""
    data = load_classification(config, seed=config.seed)
    if not config.init_from:
        return data, fit_inputs(config, data.train.texts, data.label_names), None
    donor = load_best(config.init_from)
    require_same_knobs(config, donor.config, VOCABULARY_KNOBS)
    return data, donor.inputs._replace(label_names=data.label_names), donor.params


def train(config: Config, run: Run) -> Updates:
    """Trains, chooses the best checkpoint by validation accuracy (ties: loss), scores test once; returns the result."""
    data, inputs, donor_params = prepare(config)
    training, validation = encode_split(config, inputs, data.train), encode_split(config, inputs, data.validation)
    mesh, plan = data_mesh(), plan_of(config, training)
    steps = steps_of(config, inputs, plan.total_steps)
    params = steps.init()
    if donor_params is not None:
        params, fresh = adopt_params(params, donor_params, replaceable=("output", "bag_output"))
        run.say(f"Starting from {config.init_from}; initialised anew: {', '.join(fresh) or 'nothing'}.")
    state = create_state(params, plan.optimizer, config.ema_decay)
    averaged = jax.jit(functools.partial(evaluation_params, ema_decay=config.ema_decay))

    with Session(config, run, plan, inputs, rank=accuracy_then_loss) as session:
        state = session.restore(state)
        session.begin(*data.notes, introduction(config, data, params, plan.total_steps))
        state = replicate(state, mesh)

        def score(state: TrainState) -> dict[str, float]:
            return evaluate(Trained(config, inputs, steps, averaged(state)), validation).summary()

        for batch in plan.batches(training.texts, session.step, seed=config.seed):
            if session.exhausted:
                break
            arrays = inputs.batch_arrays(batch, training.labels)
            state, metrics = yield Update(steps, state, arrays, session.step)
            state = session.after_step(state, metrics, score, num_tokens=int(batch.lengths.sum()))
    return report(run, data)


def introduction(config: Config, data: ClassificationData, params: Any, total_steps: int) -> str:
    sizes = f"{len(data.train.texts):,} texts to train on, {len(data.validation.texts):,} to validate"
    return (
        f"{config.train_file or config.dataset}: {sizes}, classes {', '.join(data.label_names)}."
        f" {describe_cells(config)}, {num_parameters(params):,} parameters, {total_steps:,} steps."
    )


def report(run: Run, data: ClassificationData) -> dict[str, Any]:
    """Scores the checkpoint that validation chose, on validation and, this once, on test; pictures and result.json."""
    wait_for_all("training is over")
    trained = load_best(run.path)
    result = model_size(trained.config, trained.inputs, make_model, trained.params)
    for name, part in (("validation", data.validation), ("test", data.test)):
        if part is not None:
            totals = evaluate(trained, encode_split(trained.config, trained.inputs, part))
            result |= prefixed(name, totals.summary())
            run.draw(plot_confusion, totals.confusion, trained.inputs.label_names, f"confusion_{name}.png")
    run.draw(plot_curves, run.path / "metrics.jsonl", "curves.png")
    for answer in predict(trained, (data.test or data.validation).texts[:3]):
        probability = answer["probabilities"][answer["label"]]
        run.say(f"  {answer['label']} ({probability:.1%}): {textwrap.shorten(answer['text'], 100)}")
    return run.finish(result)


def predict(trained: Trained, texts: Sequence[str]) -> list[dict[str, Any]]:
    """The most probable class of each text and the probabilities of all, in order."""
    config, inputs, mesh = trained.config, trained.inputs, data_mesh()

    def probabilities(batch: Batch) -> np.ndarray:
        arrays = inputs.batch_arrays(batch, labels=np.zeros(len(texts), np.int32))
        return jax.device_get(trained.steps.predict(trained.params, shard_batch(arrays, mesh))[1])

    encoded = inputs.encode(texts, max_tokens=config.max_tokens, truncation=config.truncation)
    rows = map_rows(encoded, probabilities, longest=config.max_tokens, batch_size=128, rows_multiple_of=mesh.size)
    answers = []
    for text, row in zip(texts, rows, strict=True):
        by_name = dict(zip(inputs.label_names, map(float, row), strict=True))
        answers.append({"text": text, "label": inputs.label_names[int(row.argmax())], "probabilities": by_name})
    return answers


def show_plan(config: Config) -> None:
    """--dry_run: prints what a run would do; trains nothing and writes nothing."""
    data, inputs, _ = prepare(config)
    training = encode_split(config, inputs, data.train)
    plan = plan_of(config, training)
    longest = inputs.batch_arrays(plan.longest_batch(training.texts), training.labels)
    solved = solve_width(config, inputs, make_model)
    print(describe_plan(solved, steps_of(solved, inputs, plan.total_steps), plan, longest))


def part_to_score(config: Config, inputs: TextInputs, name: str) -> tuple[str, LabelledTexts]:
    """A file, the run's own train, validation or test part (by default test), or another split of its dataset."""
    if is_data_file(name):
        return name, load_part(config, name, inputs.label_names)
    load = functools.partial(load_classification, config, seed=config.seed)
    return choose_part(config, name, load, functools.partial(load_part, config, label_names=inputs.label_names))


def evaluate_part(config: Config, invocation: Invocation) -> tuple[str, dict[str, float]]:
    """--mode=eval: the metrics of one part."""
    trained = load_best(invocation.workdir)
    name, part = part_to_score(config, trained.inputs, invocation.split)
    return name, evaluate(trained, encode_split(config, trained.inputs, part)).summary()


def predict_lines(config: Config, invocation: Invocation) -> None:
    """--mode=predict: classifies the lines of standard input or a file."""
    trained = load_best(invocation.workdir)
    answer_lines(functools.partial(predict, trained), invocation.input)


def main(config: Config, invocation: Invocation) -> None:
    run_mode(
        config, invocation, EXPERIMENT, train=train, show_plan=show_plan, evaluate=evaluate_part, predict=predict_lines
    )


if __name__ == "__main__":
    run_app(main, Config, EXPERIMENT)
