"""Texts → texts of another length."""

import math
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import jax
from flax import nnx

from experiments.exported import forms
from experiments.seq2seq import EXPERIMENT, METRICS, Config
from rnn_jax.data.paired import TextPairs
from rnn_jax.data.parts import Data
from rnn_jax.metrics.translation import sample_translations, score_texts, signatures, translation_report
from rnn_jax.models.make_seq2seq import make_seq2seq
from rnn_jax.models.seq2seq import Seq2Seq
from rnn_jax.models.stack import make_stack
from rnn_jax.models.translator import MORE_TOKENS, answers, attended, mean_loss, search, warn_of_cuts
from rnn_jax.text.pairs import read_pair_part, read_pairs
from rnn_jax.text.translation_codec import TranslationCodec
from rnn_jax.training.plots import plot_attention
from rnn_jax.training.run import Run
from rnn_jax.training.task import Scored, Sums, Task, Trained


def check(config: Config) -> None:
    make_stack(config.encoder)
    make_stack(config.decoder.stack(config.encoder), part="decoder_")
    config.decoding.check(config.seq2seq.attention)


def read(config: Config, known: TranslationCodec | None) -> Data:
    room = lambda lengths: config.decoding.max_length_ratio * lengths + MORE_TOKENS  # noqa: E731
    return read_pairs(config.data, config.text, config.forcing, config.run.seed, known, room)


def make_model(config: Config, codec: TranslationCodec, rngs: nnx.Rngs) -> Seq2Seq:
    return make_seq2seq(config.encoder, config.decoder, config.model, config.seq2seq, codec, rngs)


def loss(model: Seq2Seq, batch: dict[str, jax.Array], carry: Any, key: jax.Array) -> tuple[Sums, Any]:
    """Nats a target token, the end token included."""
    return {"loss": model.loss(batch, key=key)}, carry


def score(trained: Trained, part: TextPairs) -> Scored:
    """Loss, its exponential, and the scores of the texts; a checkpoint is chosen by greedy ones, whatever the flags."""
    config, codec, final = trained.config, trained.codec, trained.is_final
    limit = config.decoding.limit(config.text)
    encoded = codec.encode(part.sources, part.targets, limit)
    if final:
        warn_of_cuts(encoded.num_cut, limit, f"{part.name}: ")
    decoding, scoring = config.decoding if final else config.decoding.greedy(), config.text.scoring()
    texts = [codec.text(best[0].ids) if best else "" for best in search(trained, decoding, encoded.sources)]
    nats = mean_loss(trained, config.text, codec, encoded)
    metrics = {"loss": nats, "perplexity": math.exp(min(nats, 700.0))} | score_texts(texts, part.targets, **scoring)
    return Scored(metrics | (signatures(**scoring) if final else {}), (part, texts))


def answer(trained: Trained, inputs: Iterable[str]) -> Iterator[dict]:
    """Of each line its translation, --n_best hypotheses and, with --show_attention, where the decoder looked."""
    check(trained.config)
    return answers(
        trained, trained.config.decoding, trained.codec, inputs, trained.config.decoding.limit(trained.config.text)
    )


def illustrate(trained: Trained, name: str, part: TextPairs, details: tuple, run: Run) -> None:
    config, codec, scoring = trained.config, trained.codec, trained.config.text.scoring()
    run.write(f"report_{name}.txt", translation_report(name, part.sources, details[1], part.targets, **scoring))
    sources, _ = codec.encode_sources(part.sources[:4], config.decoding.limit(config.text))
    found = enumerate(search(trained, config.decoding, sources))
    if any(maps := [attended(trained, codec, sources.row(row), best[0].ids) for row, best in found if best]):
        run.draw(plot_attention, maps, f"attention_{name}.png")


def examples(trained: Trained, part: TextPairs) -> list[str]:
    found = trained.answer(part.sources[:4])
    return [textwrap.shorten(f"  {one['source']} → {one['translation']}", 200) for one in found]


def samples(details: tuple[TextPairs, list[str]]) -> str:
    return sample_translations(details[0].sources, details[1], details[0].targets)


TASK = Task(
    EXPERIMENT, Config, TranslationCodec, METRICS, read, make_model, loss, score, answer,
    read_part=lambda config, codec, name: read_pair_part(config.data, name), illustrate=illustrate, samples=samples,
    examples=examples, check=check, settings=lambda config: config.decoding.settings(), exported=forms.seq2seq,
    unit="tokens",
)  # fmt: skip
