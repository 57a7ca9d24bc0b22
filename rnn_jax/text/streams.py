"""The texts of a language model as tokens: lanes to train on, and parts to score."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from rnn_jax.data.batching import Ragged
from rnn_jax.data.documents import Documents, load_documents, read_part
from rnn_jax.data.lanes import Lanes
from rnn_jax.data.language_config import LanguageConfig
from rnn_jax.data.parts import Data
from rnn_jax.text.language_codec import END_ID, UNKNOWN_ID, LanguageCodec, fit_language_codec, prepare
from rnn_jax.text.language_config import UnitsConfig
from rnn_jax.text.vocabulary import MANY_UNKNOWN, share_unknown


class LanguagePart(NamedTuple):
    """What a model has to say of each document, token by token.

    num_characters: of the texts, each end that is to be said included. nats: −log of their probability under the
    source, where that is known and the tokens keep all that the texts say. train: makes the lanes that training reads,
    from which dynamic evaluation learns how large gradients are.
    """

    name: str
    documents: Ragged
    num_characters: int
    nats: float | None
    train: Callable[[], Lanes]

    @property
    def num_tokens(self) -> int:
        """Of all documents."""
        return len(self.documents.values)

    @property
    def num_unknown(self) -> int:
        """Tokens that the vocabulary lacks."""
        return int((self.documents.values == UNKNOWN_ID).sum())

    @property
    def sizes(self) -> dict[str, Any]:
        """What `language_metrics` divides by."""
        sizes = {name: getattr(self, name) for name in ("num_tokens", "num_characters", "num_unknown")}
        return sizes | {"source_nats": self.nats}


def read_language(data_config: LanguageConfig, config: UnitsConfig, seed: int, known: LanguageCodec | None) -> Data:
    """Reads all parts; the codec is fitted on the training texts, or a known one."""
    data = load_documents(data_config, seed=seed)
    if known is None:
        codec = fit_language_codec(config, data.train.texts)
    else:
        codec = dataclasses.replace(known, has_ends=len(data.train.texts) > 1)
    lanes = functools.cache(functools.partial(_lanes, config, codec, data.train, seed))
    named = {"validation": data.validation, "test": data.test}
    parts = {name: _part(codec, part, lanes) for name, part in named.items() if part is not None}
    train_part = functools.partial(_part, codec, data.train, lanes)
    return Data(lanes, parts, codec, (*data.notes, *_notes(config, codec, data.train, parts)), train_part=train_part)


def read_language_part(
    data_config: LanguageConfig, config: UnitsConfig, codec: LanguageCodec, name: str, seed: int
) -> LanguagePart:
    """One file or split."""
    lanes = lambda: _lanes(config, codec, load_documents(data_config, seed=seed).train, seed)  # noqa: E731
    return _part(codec, read_part(data_config, name), lanes)


def _lanes(config: UnitsConfig, codec: LanguageCodec, train: Documents, seed: int) -> Lanes:
    return Lanes(
        codec.encode(train.texts), config.batch_size, config.bptt, boundary=END_ID, seed=seed, varies=config.random_bptt
    )


def _part(codec: LanguageCodec, documents: Documents, lanes: Callable[[], Lanes]) -> LanguagePart:
    tokens = codec.encode(documents.texts)
    num_characters = sum(len(prepare(text, codec.space_mark)) for text in documents.texts)
    num_ends = len(documents.texts) * codec.has_ends
    nats = documents.nats if documents.nats is not None and _say_all(codec, tokens, documents.texts) else None
    return LanguagePart(documents.name, tokens, num_characters + num_ends, nats, lanes)


def _say_all(codec: LanguageCodec, tokens: Ragged, texts: list[str]) -> bool:
    """Whether tokens tell all of the texts but spaces: where case or rare words go, fewer nats are needed."""
    said = (codec.text(tokens.row(i)) for i in range(len(tokens)))
    return all("".join(one.split()) == "".join(text.split()) for one, text in zip(said, texts, strict=True))


def _notes(config: UnitsConfig, codec: LanguageCodec, train: Documents, parts: dict[str, LanguagePart]) -> list[str]:
    texts = "one text" if len(train.texts) == 1 else f"{len(train.texts):,} texts"
    size = sum(map(len, train.texts))
    notes = [f"{train.name}: {texts} of {size:,} characters to train on; vocabulary: {codec.describe()}."]
    if codec.vocabulary_size < config.vocabulary_size:
        notes.append(
            f"The training text has no more than {codec.vocabulary_size:,} {codec.unit}s to keep, fewer than"
            f" --vocabulary_size={config.vocabulary_size:,}."
        )
    for name, part in parts.items():
        share = share_unknown(part.documents.values)
        free = "; their spelling costs nothing, so bits_per_character looks too good" if share > MANY_UNKNOWN else ""
        notes.append(f"{name}: {part.num_tokens:,} {codec.unit}s, {share:.2%} of them unknown{free}.")
    if len(parts["validation"].documents) == 1:
        notes.append(
            f"Evaluations during training read it as {config.batch_size} lanes at once; the final score reads a text"
            " from its first token to its last."
        )
    return notes
