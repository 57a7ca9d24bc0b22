"""Signals → a class for each."""

from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np
from flax import nnx

from experiments.exported import forms
from experiments.signals import EXPERIMENT, METRICS, Config
from rnn_jax.data.parts import Data
from rnn_jax.data.signals.codec import SignalCodec
from rnn_jax.data.signals.parts import SignalPart, read_signal_part, read_signals
from rnn_jax.models.make_signal_classifier import make_signal_classifier
from rnn_jax.models.signal_answers import answers, scored
from rnn_jax.models.signals import SignalClassifier
from rnn_jax.models.stack import make_stack
from rnn_jax.training.plots import plot_confusion
from rnn_jax.training.run import Run
from rnn_jax.training.task import Scored, Sums, Task, Trained


def read(config: Config, known: SignalCodec | None) -> Data:
    return read_signals(config.data, config.front_end, config.run.seed, known)


def read_part(config: Config, codec: SignalCodec, name: str) -> SignalPart:
    return read_signal_part(config.data, codec, name)


def make_model(config: Config, codec: SignalCodec, rngs: nnx.Rngs) -> SignalClassifier:
    return make_signal_classifier(config.encoder, config.front_end, config.model, codec, rngs)


def loss(model: SignalClassifier, batch: dict[str, jax.Array], carry: Any, key: jax.Array) -> tuple[Sums, Any]:
    """Nats a signal."""
    return {"loss": model.loss(batch, key)}, carry


def score(trained: Trained, part: SignalPart) -> Scored:
    """Each signal or window counts once, padding never; recordings as well, where windows were cut from them."""
    return Scored(*scored(trained, trained.codec, part, trained.config.data.batch_size))


def answer(trained: Trained, inputs: Iterable[str]) -> Iterator[dict]:
    """The most probable class of the signals in each file, and the probabilities of all."""
    config = trained.config
    model = nnx.merge(trained.graph, trained.params)
    return answers(trained, model, trained.codec, config.data, config.answers.stream_every, inputs)


def illustrate(trained: Trained, name: str, part: SignalPart, details: Any, run: Run) -> None:
    run.draw(plot_confusion, details.confusion, trained.codec.label_names, f"confusion_{name}.png")
    run.write(f"classes_{name}.csv", details.table(trained.codec.label_names))


def examples(trained: Trained, part: SignalPart) -> Iterator[str]:
    """What it says of the first signals."""
    batch = part.make_batch(np.arange(min(3, len(part.labels))), max(part.buckets))
    names = trained.codec.label_names
    for row, label in zip(np.asarray(trained(SignalClassifier.probabilities, batch)), part.labels):
        yield f"  {names[int(row.argmax())]} ({row.max():.1%}), it is {names[label]}"


TASK = Task(
    EXPERIMENT, Config, SignalCodec, METRICS, read, make_model, loss, score, answer,
    read_part=read_part, illustrate=illustrate, examples=examples, check=lambda config: make_stack(config.encoder),
    classes=lambda codec: codec.label_names, heads=("output",), unit="signals", exported=forms.signals,
)  # fmt: skip
