"""Classified texts as tokens: batches to train on, and parts to score."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from rnn_jax.data.batching import Ragged
from rnn_jax.data.classification import load_classification, load_part
from rnn_jax.data.classification_config import LabelledTextConfig
from rnn_jax.data.parts import Data
from rnn_jax.data.sources import Buckets, MakeBatch
from rnn_jax.text.text_codec import TextCodec, fit_text_codec
from rnn_jax.text.text_config import TokenConfig
from rnn_jax.text.vocabulary import MANY_UNKNOWN, encode, share_unknown

_LENGTHS_MULTIPLE_OF = 8  # bucket lengths: fewer programs, little more padding


class TextPart(NamedTuple):
    """Texts, their token ids, their classes, and what fills batches with them."""

    texts: list[str]
    tokens: Ragged
    labels: np.ndarray
    make_batch: MakeBatch


def text_part(config: TokenConfig, codec: TextCodec, texts: list[str], labels: np.ndarray | None = None) -> TextPart:
    """The texts as tokens; without labels, all have the first one."""
    labels = np.zeros(len(texts), np.int32) if labels is None else labels
    tokens = encode(codec.tokenizer, texts, max_tokens=config.max_tokens, truncation=config.truncation)
    return TextPart(texts, tokens, labels, functools.partial(codec.batch, tokens, labels))


def read_texts(data_config: LabelledTextConfig, config: TokenConfig, seed: int, known: TextCodec | None) -> Data:
    """Reads all parts; the codec is fitted on the training texts, or a known one with the classes of this data."""
    data = load_classification(data_config, seed=seed)
    if known is None:
        codec = fit_text_codec(config, data.train.texts, data.label_names)
    else:
        codec = dataclasses.replace(known, label_names=data.label_names)

    def source() -> Buckets:
        part = text_part(config, codec, *data.train)
        return Buckets(
            part.tokens.lengths,
            part.make_batch,
            content=(part.tokens.values, part.tokens.offsets, part.labels),
            batch_size=config.batch_size,
            num_buckets=config.num_buckets,
            multiple_of=_LENGTHS_MULTIPLE_OF,
            seed=seed,
        )

    parts = {"validation": data.validation, "test": data.test}
    sizes = f"{len(data.train.texts):,} texts to train on, {len(data.validation.texts):,} to validate"
    intro = f"{data_config.source}: {sizes}, classes {', '.join(data.label_names)}."
    scored = {name: text_part(config, codec, *part) for name, part in parts.items() if part is not None}
    whole = functools.partial(text_part, config, codec, *data.train)
    return Data(source, scored, codec, (*data.notes, intro, *_unknown(scored)), train_part=whole)


def _unknown(parts: Mapping[str, TextPart]) -> Iterator[str]:
    for name, part in parts.items():
        share = share_unknown(part.tokens.values)
        if share > MANY_UNKNOWN:
            yield f"{name}: {share:.1%} of the tokens are unknown to the vocabulary."


def read_text_part(data_config: LabelledTextConfig, config: TokenConfig, codec: TextCodec, name: str) -> TextPart:
    """One file or split, with the classes of the codec."""
    return text_part(config, codec, *load_part(data_config, name, codec.label_names))
