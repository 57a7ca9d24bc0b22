"""From texts to what a language model reads, and back."""

import dataclasses
import functools
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from rnn_jax.data.batching import Ragged
from rnn_jax.data.codec import Codec
from rnn_jax.data.normal_form import nfc
from rnn_jax.errors import UserError
from rnn_jax.text.language_config import UnitsConfig
from rnn_jax.text.units import (
    END_ID,
    PAD_ID,
    UNIT_NAMES,
    UNKNOWN_ID,
    decode_units,
    encode_units,
    fit_units,
    looks_tokenized,
    unit_names,
)
from rnn_jax.text.vocabulary import keep_tokenizer

_CONTEXT = 16  # tokens before a text that may change how it is written


@dataclasses.dataclass(frozen=True, eq=False)
class LanguageCodec(Codec):
    """The units, fitted on training data only.

    has_ends: documents end, and the model says where.
    """

    tokenizer: Tokenizer
    kind: str
    pretokenized: bool
    space_mark: str
    has_ends: bool

    @functools.cached_property
    def vocabulary_size(self) -> int:
        """The number of ids, special ones included."""
        return self.tokenizer.get_vocab_size()

    @property
    def unit(self) -> str:
        """What a token is called."""
        return UNIT_NAMES[self.kind]

    def describe(self) -> str:
        """Which vocabulary a perplexity belongs to."""
        what = {"word": "tokenised words" if self.pretokenized else "words", "byte": "bytes"}
        spaces = f", spaces as {self.space_mark}" if self.space_mark else ""
        return f"{self.vocabulary_size:,} {what.get(self.kind, f'{self.unit}s')}{spaces}, {self.digest[:8]}"

    def encode(self, texts: Sequence[str]) -> Ragged:
        """The tokens that a model has to say of each text, its end included where texts end."""
        found = encode_units(self.tokenizer, [prepare(text, self.space_mark) for text in texts])
        if not self.has_ends:
            return found
        lengths = found.lengths
        values = np.insert(found.values, found.offsets[1:], np.int32(END_ID))
        return Ragged(values, np.concatenate([[0], np.cumsum(lengths + 1)]))

    def prompt(self, text: str) -> np.ndarray:
        """What is read before a text is written on: as in training, the end stands before it."""
        return np.concatenate([[END_ID], encode_units(self.tokenizer, [prepare(text, self.space_mark)]).values]).astype(
            np.int32
        )

    def text(self, ids: Sequence[int] | np.ndarray) -> str:
        """The text of tokens."""
        text = decode_units(self.tokenizer, ids)
        return text if self.kind != "word" or self.pretokenized else _written(text)

    def continuation(self, prompt: np.ndarray, ids: Sequence[int]) -> str:
        """The text of ids as it goes on after that of the prompt: with a space, where words need one between them."""
        context = prompt[-_CONTEXT:]
        return self.text([*context, *ids])[len(self.text(context)) :]

    def names(self, ids: Sequence[int] | np.ndarray) -> list[str]:
        """How each token is spelt, for pictures."""
        return ["⏹" if i == END_ID else name for i, name in zip(ids, unit_names(self.tokenizer, ids), strict=True)]


def prepare(text: str, space_mark: str = "") -> str:
    """The text whose units are counted: in NFC and, with a mark for spaces, lines without spaces around them."""
    text = nfc(text)
    if not space_mark:
        return text
    return "\n".join(line.strip(" \t") for line in text.split("\n")).replace(" ", space_mark)


def fit_language_codec(config: UnitsConfig, texts: Sequence[str]) -> LanguageCodec:
    """The units of the training texts.

    Raises:
      UserError: as `fit_units`; a mark for spaces that is not one visible character.
    """
    mark = config.space_mark
    if mark and (len(mark) > 1 or not mark.isprintable() or mark.isspace() or unicodedata.combining(mark)):
        raise UserError(f"--space_mark={mark!r} must be one visible character, such as _.")
    pretokenized = config.tokenizer == "word" and (
        looks_tokenized(texts) if config.pretokenized == "auto" else config.pretokenized == "yes"
    )
    options: Any = {"kind": config.tokenizer, "vocabulary_size": config.vocabulary_size, "lowercase": config.lowercase}
    # What was split off here are words of a living text, whose rare ones stand for those that are still to come.
    min_count = config.min_count or (2 if config.tokenizer == "word" and not pretokenized else 1)
    options |= {"min_count": min_count, "pretokenized": pretokenized}
    prepared = [prepare(text, mark) for text in texts]
    tokenizer = keep_tokenizer(
        prepared, ("language units", str(options)), functools.partial(fit_units, prepared, **options)
    )
    return LanguageCodec(tokenizer, config.tokenizer, pretokenized, mark, len(texts) > 1)


def _written(text: str) -> str:
    """Words as they are written: marks hang on the word before them, opening ones on the word behind."""
    text = re.sub(r" ([,.;:!?)\]}%]|['’](?:s|re|ve|d|ll|m)\b)", r"\1", text)
    return re.sub(r"([(\[{$]) ", r"\1", text)


__all__ = ["END_ID", "PAD_ID", "UNKNOWN_ID", "LanguageCodec", "fit_language_codec", "prepare"]
