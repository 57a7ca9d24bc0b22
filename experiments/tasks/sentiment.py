"""Texts → a class for each."""

import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np
from flax import nnx

from experiments import load
from experiments.exported import forms
from experiments.sentiment import EXPERIMENT, METRICS, Config
from rnn_jax.data.batching import Shapes, doubling_lengths
from rnn_jax.data.lines import chunks
from rnn_jax.data.parts import Data
from rnn_jax.data.sources import in_order, map_rows
from rnn_jax.losses import cross_entropy
from rnn_jax.metrics.classification import ClassificationTotals
from rnn_jax.models.make_classifier import make_classifier
from rnn_jax.models.pretrained import classifier_from
from rnn_jax.models.sentiment import SentimentClassifier
from rnn_jax.models.stack import make_stack
from rnn_jax.text.text_codec import TextCodec
from rnn_jax.text.texts import TextPart, read_text_part, read_texts, text_part
from rnn_jax.training.plots import plot_confusion
from rnn_jax.training.run import Run
from rnn_jax.training.task import Scored, Sums, Task, Trained


def read(config: Config, known: TextCodec | None) -> Data:
    return read_texts(config.data, config.text, config.run.seed, known)


def read_part(config: Config, codec: TextCodec, name: str) -> TextPart:
    return read_text_part(config.data, config.text, codec, name)


def make_model(config: Config, codec: TextCodec, rngs: nnx.Rngs) -> SentimentClassifier:
    return make_classifier(config.encoder, config.model, config.classifier, codec, rngs)


def loss(model: SentimentClassifier, batch: dict[str, jax.Array], carry: Any, key: jax.Array) -> tuple[Sums, Any]:
    """Nats a text; each head has its loss."""
    heads = model.heads(batch["tokens"], batch["lengths"], ngrams=batch.get("ngrams"), key=key)
    losses = [cross_entropy(logits, batch["labels"], batch["weights"]) for logits in heads]
    return {"loss": (sum(total for total, _ in losses) / len(losses), losses[0][1])}, carry


def judge(model: SentimentClassifier, batch: dict[str, jax.Array]) -> Any:
    """Summed loss, weight, and the probabilities (B, C) of the classes."""
    logits = model(batch["tokens"], batch["lengths"], ngrams=batch.get("ngrams"))
    return *cross_entropy(logits, batch["labels"], batch["weights"]), jax.nn.softmax(logits)


def score(trained: Trained, part: TextPart) -> Scored:
    """Each text counts once, padding never."""
    totals = ClassificationTotals.zero(len(trained.codec.label_names))
    shapes = Shapes(doubling_lengths(trained.config.text.max_tokens), trained.config.text.batch_size)
    for rows, batch in in_order(part.tokens.lengths, part.make_batch, shapes):
        total, weight, probabilities = jax.device_get(trained(judge, batch))
        real = rows >= 0
        predictions = probabilities[: len(rows)][real].argmax(axis=-1)
        totals = totals.add(float(total), float(weight), part.labels[rows[real]], predictions)
    return Scored(totals.summary(), totals.confusion)


def answer(trained: Trained, inputs: Iterable[str]) -> Iterator[dict]:
    """The most probable class of each line, and the probabilities of all."""
    names, config = trained.codec.label_names, trained.config.text
    for texts in chunks(inputs):
        part = text_part(config, trained.codec, texts)
        probabilities = lambda batch: jax.device_get(trained(judge, batch)[2])  # noqa: E731
        shapes = {"buckets": doubling_lengths(config.max_tokens), "batch_size": config.batch_size}
        rows = map_rows(part.tokens.lengths, part.make_batch, probabilities, **shapes)
        for text, row in zip(texts, rows, strict=True):
            by_name = dict(zip(names, map(float, row), strict=True))
            yield {"text": text, "label": names[int(row.argmax())], "probabilities": by_name}


def illustrate(trained: Trained, name: str, part: TextPart, confusion: np.ndarray, run: Run) -> None:
    run.draw(plot_confusion, confusion, trained.codec.label_names, f"confusion_{name}.png")


def examples(trained: Trained, part: TextPart) -> Iterator[str]:
    for found in trained.answer(part.texts[:3]):
        probability = found["probabilities"][found["label"]]
        yield f"  {found['label']} ({probability:.1%}): {textwrap.shorten(found['text'], 100)}"


TASK = Task(
    EXPERIMENT, Config, TextCodec, METRICS, read, make_model, loss, score, answer,
    read_part=read_part, illustrate=illustrate, examples=examples, check=lambda config: make_stack(config.encoder),
    classes=lambda codec: codec.label_names, heads=("output", "bag_output"), exported=forms.sentiment,
    donors={"language_model": lambda config, run: classifier_from(load(run), config.encoder, config.classifier)},
)  # fmt: skip
