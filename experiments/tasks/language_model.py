"""Texts → probabilities of each token given those before it, and texts from them."""

from collections.abc import Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from experiments.language_model import EXPERIMENT, METRICS, Config
from rnn_jax.data.parts import Data
from rnn_jax.metrics.language import language_metrics
from rnn_jax.models.adaptation import score_part
from rnn_jax.models.language_model import LanguageModel
from rnn_jax.models.language_passage import draw_passage
from rnn_jax.models.make_language_model import check_stack, make_language_model
from rnn_jax.models.texts import answers, rendered, sample_texts
from rnn_jax.text.language_codec import LanguageCodec
from rnn_jax.text.streams import LanguagePart, read_language, read_language_part
from rnn_jax.training.run import Run
from rnn_jax.training.task import Scored, Sums, Task, Trained


def read(config: Config, known: LanguageCodec | None) -> Data:
    return read_language(config.data, config.text, config.run.seed, known)


def read_part(config: Config, codec: LanguageCodec, name: str) -> LanguagePart:
    return read_language_part(config.data, config.text, codec, name, config.run.seed)


def make_model(config: Config, codec: LanguageCodec, rngs: nnx.Rngs) -> LanguageModel:
    return make_language_model(config.encoder, config.model, config.language, codec, rngs)


def loss(model: LanguageModel, batch: dict[str, jax.Array], carry: Any, key: jax.Array) -> tuple[Sums, Any]:
    """Nats a token, with the penalties on activations; the carry goes on, its gradient does not. Where the length of
    windows varies the learning rate does as well, so that short ones do not count for more (Merity et al. 2018).
    """
    reading, drawing = jax.random.split(key)
    read = model.read(batch["tokens"], carry=carry, resets=batch["resets"], mask=batch.get("mask"), key=reading)
    nats, weight = model.loss(read.features, batch["labels"], batch["weights"], drawing)
    sums = {"loss": (nats, weight)}
    if model.has_penalty:
        penalty = model.penalty(read, batch["weights"], batch["resets"])
        sums = {"loss": (nats + weight * penalty, weight), "nats": (nats, weight)}
    if "scale" in batch:
        sums["rate_factor"] = batch["scale"].max(), jnp.ones(())  # rows that fill a batch have 0
    return sums, read.carry


def score(trained: Trained, part: LanguagePart) -> Scored:
    """Nats of each token, once; in --mode=eval the model may adapt to the text."""
    config, codec = trained.config, trained.codec
    nats = score_part(trained, part, config.text, config.scoring, is_final=trained.is_final)
    texts = [] if trained.is_final else sample_texts(trained, codec, part)
    return Scored(language_metrics(nats, **part.sizes), texts)


def answer(trained: Trained, inputs: Iterable[str]) -> Iterator[dict]:
    """Of each line, a prompt, the texts that go on from it."""
    return answers(trained, trained.codec, trained.config.writing, inputs)


def illustrate(trained: Trained, name: str, part: LanguagePart, details: Any, run: Run) -> None:
    run.write(f"passage_{name}.html", draw_passage(trained, trained.codec, part, f"{run.path.name}: {part.name}"))


def examples(trained: Trained, part: LanguagePart) -> Iterator[str]:
    yield f"A perplexity is one of its vocabulary, here {trained.codec.describe()}."
    for number, text in enumerate(sample_texts(trained, trained.codec, part), start=1):
        yield f"[{number}] {text}"


TASK = Task(
    EXPERIMENT, Config, LanguageCodec, METRICS, read, make_model, loss, score, answer,
    read_part=read_part, illustrate=illustrate, examples=examples, samples=lambda texts: "\n\n".join(texts) + "\n",
    render=lambda config, found: rendered(config.writing, found), unit="tokens",
    check=lambda config: check_stack(config.encoder), settings=lambda config: config.scoring.settings(),
)  # fmt: skip
