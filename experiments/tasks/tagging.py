"""Sentences → a label for every word."""

import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import jax
from flax import nnx

from experiments.exported import forms
from experiments.tagging import EXPERIMENT, METRICS, Config
from rnn_jax.data.columns import write_columns
from rnn_jax.data.lines import chunks
from rnn_jax.data.parts import Data
from rnn_jax.metrics.tagging import TaggingScores, score_tags, tagging_report
from rnn_jax.models.make_tagger import make_tagger
from rnn_jax.models.stack import make_stack
from rnn_jax.models.tag import answers, emissions, tag
from rnn_jax.models.tagger import Tagger
from rnn_jax.text.sentences import SentencePart, read_sentence_part, read_sentences
from rnn_jax.text.tagging_codec import TaggingCodec
from rnn_jax.text.words import split_at_spaces, split_words
from rnn_jax.training.answers import json_line
from rnn_jax.training.plots import plot_confusion
from rnn_jax.training.run import Run
from rnn_jax.training.task import Scored, Sums, Task, Trained


def read(config: Config, known: TaggingCodec | None) -> Data:
    return read_sentences(config.data, config.words, config.model.embedding_size, config.run.seed, known)


def read_part(config: Config, codec: TaggingCodec, name: str) -> SentencePart:
    return read_sentence_part(config.data, codec, name)


def make_model(config: Config, codec: TaggingCodec, rngs: nnx.Rngs) -> Tagger:
    return make_tagger(config.encoder, config.model, config.tagger, codec, rngs)


def loss(model: Tagger, batch: dict[str, jax.Array], carry: Any, key: jax.Array) -> tuple[Sums, Any]:
    """Nats a label."""
    scores = emissions(model, batch, key)
    return {"loss": model.loss(scores, batch["labels"], batch["lengths"], batch["weights"])}, carry


def score(trained: Trained, part: SentencePart) -> Scored:
    """Loss a word, accuracies, and F1 of spans where the labels spell some."""
    codec = trained.codec
    tagged = tag(trained, trained.config.words, codec, part.encoded)
    scores = score_tags(*part.sentences, tagged.tags, seen_words=frozenset(codec.seen_words), scheme=codec.scheme)
    return Scored({"loss": tagged.loss} | scores.summary(), scores)


def answer(trained: Trained, inputs: Iterable[str]) -> Iterator[dict]:
    """Of each line the words, their tags with probabilities, the spans; with --num_best more tag sequences."""
    config = trained.config
    split = split_at_spaces if config.answers.pretokenized else split_words
    for lines in chunks(inputs):
        sentences = [split(line) for line in lines]
        yield from answers(trained, config.words, trained.codec, sentences, config.answers.num_best)


def illustrate(trained: Trained, name: str, part: SentencePart, scores: TaggingScores, run: Run) -> None:
    names, tokens = trained.codec.label_names, part.sentences.tokens
    run.draw(plot_confusion, scores.matrix(names), names, f"confusion_{name}.png")
    run.write(f"report_{name}.txt", tagging_report(name, scores, tokens))


def examples(trained: Trained, part: SentencePart) -> Iterator[str]:
    for found in answers(trained, trained.config.words, trained.codec, part.sentences.tokens[:3]):
        pairs = (f"{word}/{label}" for word, label in zip(found["tokens"], found["tags"], strict=True))
        yield f"  {textwrap.shorten(' '.join(pairs), 160)}"


def render(config: Config, found: dict) -> str:
    if config.answers.output_format == "json":
        return json_line(found)
    return write_columns(found["tokens"], found["tags"]) if found["tokens"] else ""


TASK = Task(
    EXPERIMENT, Config, TaggingCodec, METRICS, read, make_model, loss, score, answer,
    exported=forms.tagging,
    read_part=read_part, illustrate=illustrate, examples=examples, render=render, unit="words",
    check=lambda config: make_stack(config.encoder),
    classes=lambda codec: codec.model_labels, heads=("output", "crf"),
)  # fmt: skip
