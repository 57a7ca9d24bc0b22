"""The units of a language model: characters, bytes, words or subwords, fitted on the training texts.

decode(encode(text)) is the text in NFC, but for units that the vocabulary lacks and, of words, the spaces between them.
Ids 0 to 2 are padding, the unknown unit, and the end, which also stands before each document; none can be typed.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from rnn_jax.data.batching import Ragged
from rnn_jax.data.kept import kept
from rnn_jax.errors import UserError
from rnn_jax.text.vocabulary import PAD, PAD_ID, UNKNOWN_ID, WORD_PATTERN

UNKNOWN, END, END_ID = "<unk>", "[END]", 2
UNITS = ("char", "word", "bpe", "byte")
UNIT_NAMES = {"char": "character", "word": "word", "bpe": "subword", "byte": "byte"}
_SPECIAL = (PAD, UNKNOWN, END)
_BPE_SIZE = 8_000  # where --vocabulary_size does not say
_BYTE_ALPHABET = 256
_ANY_CHARACTER = r"(?m)."
_BETWEEN_SPACES = r"\n|[^\s]+"
_PIECE = 500_000  # characters that are encoded at once
_SPACE = re.compile(r"(?<=\S)\s")
# In raw text these hang on words; where a text is tokenised already, they stand alone.
_HANGING = re.compile(r"\w[,;!?\"()]+(?=\s)|(?<=\s)[\"(]\w")


def looks_tokenized(texts: Iterable[str]) -> bool:
    """Whether spaces stand between words and punctuation marks, as in the Penn Treebank: hardly any mark hangs on."""
    words = marks = 0
    for text in texts:
        words += len(text.split())
        marks += sum(1 for _ in _HANGING.finditer(text))
    return marks < 0.002 * words


def fit_units(
    texts: Sequence[str],
    *,
    kind: str = "char",
    vocabulary_size: int = 0,
    min_count: int = 1,
    lowercase: bool = False,
    pretokenized: bool = False,
) -> Tokenizer:
    """Fits a tokenizer; its vocabulary is a pure function of the multiset of texts.

    Kinds: `char` and `word` keep what occurs `min_count` times, at most `vocabulary_size` units (0 = all), the most
    frequent first; a line end is a word. `byte` has the 256 bytes of UTF-8; `bpe` merges them into subwords.
    pretokenized: words are what stands between white space, and "<unk>" is the unknown word.

    Raises:
      UserError: a vocabulary too small for its kind.
    """
    smallest = len(_SPECIAL) + (_BYTE_ALPHABET if kind == "bpe" else 1)
    if vocabulary_size and vocabulary_size < smallest:
        raise UserError(f"--vocabulary_size={vocabulary_size} is too small: {kind} needs {smallest} or more.")
    steps = [normalizers.NFC(), *([normalizers.Lowercase()] if lowercase else [])]
    special = list(_SPECIAL)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer: trainers.Trainer
    if kind == "bpe":
        tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary_size or _BPE_SIZE,
            special_tokens=special,
            initial_alphabet=alphabet,
            show_progress=False,
        )
    else:
        tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
        size = vocabulary_size or 2**31
        trainer = trainers.WordLevelTrainer(
            vocab_size=size, min_frequency=min_count, special_tokens=special, show_progress=False
        )
    if kind == "word":
        if not pretokenized:
            steps[1:1] = [normalizers.Replace(Regex(r"(?i)<br\s*/?>"), " "), normalizers.Replace("’", "'")]
        pattern = Regex(_BETWEEN_SPACES if pretokenized else rf"\n|{WORD_PATTERN}")
        tokenizer.pre_tokenizer = pre_tokenizers.Split(pattern, behavior="removed", invert=True)
    elif kind != "bpe":
        single = pre_tokenizers.Split(Regex(_ANY_CHARACTER), behavior="isolated")
        as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([as_bytes, single]) if kind == "byte" else single
    if kind != "word":
        tokenizer.decoder = decoders.Fuse() if kind == "char" else decoders.ByteLevel()
    tokenizer.normalizer = normalizers.Sequence(steps)
    if kind == "byte":
        tokenizer.model = models.WordLevel(
            {symbol: i for i, symbol in enumerate([*special, *sorted(alphabet)])}, unk_token=UNKNOWN
        )
    else:
        tokenizer.train_from_iterator((piece for text in texts for piece in pieces(text)), trainer)
    return Tokenizer.from_str(json.dumps(_tidy(json.loads(tokenizer.to_str()))))


def _tidy(document: dict[str, Any]) -> dict[str, Any]:
    """A fitted tokenizer as it is used."""
    # As added tokens, the special ones would be found in the users' texts: a typed "[END]" would end a document.
    document["added_tokens"] = []
    if document["model"]["type"] == "WordLevel":
        # The trainer gives "<unk>", where it is a word of the text as well, a second id.
        words = sorted(document["model"]["vocab"].items(), key=lambda item: item[1])
        kept = [*_SPECIAL, *(word for word, _ in words if word not in _SPECIAL)]
        document["model"]["vocab"] = {word: i for i, word in enumerate(kept)}
    return document


def encode_units(tokenizer: Tokenizer, texts: Sequence[str]) -> Ragged:
    """The ids of each text; memory beyond the result is bounded, however long a text is."""

    def make() -> dict[str, np.ndarray]:
        rows = []
        for text in texts:
            found = tokenizer.encode_batch_fast(list(pieces(text)), add_special_tokens=False)
            rows.append(np.concatenate([np.zeros(0, np.int32), *(np.asarray(one.ids, np.int32) for one in found)]))
        ragged = Ragged.from_rows(rows)
        return {"values": ragged.values, "offsets": ragged.offsets}

    return Ragged(**kept(texts, ("units", tokenizer.to_str()), make))


def decode_units(tokenizer: Tokenizer, ids: Sequence[int] | np.ndarray) -> str:
    """The text of ids; padding and ends are left out. Words are joined as they are written."""
    known = [int(i) for i in ids if i not in (PAD_ID, END_ID)]
    if tokenizer.decoder is not None:
        return tokenizer.decode(known, skip_special_tokens=False)
    return re.sub(r" ?\n ?", "\n", " ".join(unit_names(tokenizer, known)))


def unit_names(tokenizer: Tokenizer, ids: Sequence[int] | np.ndarray) -> list[str]:
    """How each id is spelt by itself."""
    if tokenizer.decoder is None or isinstance(tokenizer.decoder, decoders.Fuse):
        return [tokenizer.id_to_token(int(i)) or UNKNOWN for i in ids]
    return [tokenizer.decode([int(i)], skip_special_tokens=False) for i in ids]


def pieces(text: str) -> Iterator[str]:
    """The text in NFC, cut before white space into pieces of bounded length that are encoded as the whole would be."""
    text = unicodedata.normalize("NFC", text)
    start = 0
    while start < len(text):
        found = _SPACE.search(text, start + _PIECE, start + 2 * _PIECE)
        end = found.start() if found else min(start + 2 * _PIECE, len(text))
        yield text[start:end]
        start = end


__all__ = [
    "END_ID",
    "PAD_ID",
    "UNITS",
    "UNIT_NAMES",
    "UNKNOWN_ID",
    "decode_units",
    "encode_units",
    "fit_units",
    "looks_tokenized",
    "unit_names",
]
