"""Tagged sentences as numbers: batches to train on, and parts to score."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax.numpy as jnp

from rnn_jax.data.parts import Data
from rnn_jax.data.sources import Buckets
from rnn_jax.data.tagging import Sentences, TaggingData, load_tagged_part, load_tagging
from rnn_jax.data.tagging_config import TaggedTextConfig, WordsConfig
from rnn_jax.text.embeddings import PretrainedVectors, match_vectors, read_vectors
from rnn_jax.text.tagging_codec import NUM_SPECIAL, EncodedSentences, TaggingCodec, fit_tagging_codec

PyTree = Any
_LENGTHS_MULTIPLE_OF = 2


class SentencePart(NamedTuple):
    """Words and tags, and what the network reads of them."""

    sentences: Sentences
    encoded: EncodedSentences


def sentence_part(codec: TaggingCodec, tokens: list[list[str]], labels: list[list[str]]) -> SentencePart:
    """The sentences as numbers."""
    return SentencePart(Sentences(tokens, labels), codec.encode(tokens, labels))


def read_sentences(
    data_config: TaggedTextConfig, config: WordsConfig, embedding_size: int, seed: int, known: TaggingCodec | None
) -> Data:
    """Reads all parts, and a file of word vectors; a known codec's words and characters are kept."""
    data = load_tagging(data_config, seed=seed)
    codec = fit_tagging_codec(config, data.train.tokens, data.label_names, scheme=data.scheme)
    notes, start = data.notes, lambda params: params
    if known is not None:
        kept = {name: getattr(known, name) for name in ("words", "characters", "lowercase_unknown")}
        codec = dataclasses.replace(codec, **kept)
    elif config.embeddings_file:
        vectors = _read_vectors(config, embedding_size, codec)
        *_, coverage = match_vectors(codec.words, vectors)
        notes = (*notes, f"{config.embeddings_file}: {coverage}")
        codec = _with_words_of(vectors, config, codec)
        start = functools.partial(place_vectors, codec, vectors)

    def source() -> Buckets:
        encoded = codec.encode(*data.train)
        return Buckets(
            encoded.forms.lengths,
            functools.partial(codec.batch, encoded),
            content=tuple(encoded.arrays().values()),
            batch_size=config.batch_size,
            num_buckets=config.num_buckets,
            multiple_of=_LENGTHS_MULTIPLE_OF,
            tokens_per_batch=config.tokens_per_batch,
            seed=seed,
        )

    parts = {"validation": data.validation, "test": data.test}
    scored = {name: sentence_part(codec, *part) for name, part in parts.items() if part is not None}
    whole = functools.partial(sentence_part, codec, *data.train)
    return Data(source, scored, codec, (*notes, _intro(data_config, codec, data)), start, whole)


def read_sentence_part(data_config: TaggedTextConfig, codec: TaggingCodec, name: str) -> SentencePart:
    """One file or split, with the labels of the codec."""
    return sentence_part(codec, *load_tagged_part(data_config, name, codec.label_names, codec.scheme))


def place_vectors(codec: TaggingCodec, vectors: PretrainedVectors, params: PyTree) -> PyTree:
    """The parameters of a tagger with these word vectors in its embedding table."""
    rows, found, _ = match_vectors(codec.words, vectors)
    table = params["embedding"]["table"]
    special, words = jnp.split(table.get_value(), [NUM_SPECIAL])
    words = jnp.where(jnp.asarray(found)[:, None], jnp.asarray(rows), words)
    params["embedding"]["table"] = table.replace(jnp.concatenate([special, words]))
    return params


def _read_vectors(config: WordsConfig, size: int, codec: TaggingCodec) -> PretrainedVectors:
    wanted = {spelling for word in codec.words for spelling in (word, word.lower())}
    return read_vectors(config.embeddings_file, size=size, wanted=wanted, max_words=config.embeddings_words)


def _with_words_of(vectors: PretrainedVectors, config: WordsConfig, codec: TaggingCodec) -> TaggingCodec:
    more = [word for word in vectors.words if not config.lowercase or word == word.lower()]
    return dataclasses.replace(codec, words=tuple(dict.fromkeys([*codec.words, *more])), lowercase_unknown=True)


def _intro(config: TaggedTextConfig, codec: TaggingCodec, data: TaggingData) -> str:
    num_words = sum(map(len, data.train.tokens))
    spelling = f" ({data.scheme} spans, {codec.model_scheme} in the model)" if data.scheme else ""
    names = ", ".join(data.label_names[:20]) + ", …" * (len(data.label_names) > 20)
    return (
        f"{config.source}: {num_words:,} words in {len(data.train.tokens):,} training sentences,"
        f" {len(data.validation.tokens):,} sentences to validate; {len(data.label_names)} labels{spelling}: {names}."
    )
