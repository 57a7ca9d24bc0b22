"""Subwords that can be written back as text: what translation and other generation read and write.

Unlike `vocabulary`, nothing of a text is folded but its Unicode form (NFC), unless asked: decode(encode(text)) is the
text, but for white space around it and, with `char`, characters that training does not have.
"""

import json
import os
from collections.abc import Iterable, Sequence

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from rnn_jax.errors import UserError
from rnn_jax.text.vocabulary import PAD, PAD_ID, UNKNOWN, UNKNOWN_ID, load_tokenizer

START, END = "[START]", "[END]"
START_ID, END_ID = 2, 3
SUBWORD_KINDS = ("bpe", "char")

_SPECIAL = (PAD, UNKNOWN, START, END)
_BYTE_ALPHABET = 256


def fit_subwords(
    texts: Iterable[str], *, kind: str = "bpe", vocabulary_size: int = 8_000, lowercase: bool = False
) -> Tokenizer:
    """Fits a tokenizer whose tokens can be joined to text again; a pure function of the multiset of texts.

    Kinds: `bpe` merges bytes within words (Sennrich et al. 2016) and has no unknown token; `char` keeps the most
    frequent characters, white space among them. Ids 0 to 3 are [PAD], [UNK], [START] and [END]; none can be typed.

    Args:
      vocabulary_size: upper limit on the number of ids, the four above included.

    Raises:
      UserError: an unknown kind, or a vocabulary too small for it.
    """
    smallest = len(_SPECIAL) + (_BYTE_ALPHABET if kind == "bpe" else 1)
    if kind not in SUBWORD_KINDS:
        raise UserError(f"Unknown tokenizer {kind!r}; it can be {', '.join(SUBWORD_KINDS)}.")
    if vocabulary_size < smallest:
        raise UserError(
            f"--vocabulary_size={vocabulary_size} is too small: {kind} needs {smallest} or more"
            f"{' (char fewer)' * (kind == 'bpe')}."
        )
    trainer: trainers.Trainer
    if kind == "bpe":
        tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary_size,
            special_tokens=list(_SPECIAL),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    else:
        tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"(?m)."), behavior="isolated")
        tokenizer.decoder = decoders.Fuse()
        trainer = trainers.WordLevelTrainer(
            vocab_size=vocabulary_size, special_tokens=list(_SPECIAL), show_progress=False
        )
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), *([normalizers.Lowercase()] if lowercase else [])])
    tokenizer.train_from_iterator(texts, trainer)
    # As added tokens, the special ones would be found in the users' texts: a typed "[END]" would end a sentence.
    return Tokenizer.from_str(json.dumps(json.loads(tokenizer.to_str()) | {"added_tokens": []}))


def load_subwords(path: str | os.PathLike[str]) -> Tokenizer:
    """Reads a tokenizer of `fit_subwords` that earlier releases wrote.

    Raises:
      UserError: the file is missing, damaged, or of a tokenizer that cannot begin and end a text.
    """
    tokenizer = load_tokenizer(path)
    if (tokenizer.token_to_id(START), tokenizer.token_to_id(END)) != (START_ID, END_ID):
        raise UserError(f"The tokenizer file {path} has not {START} and {END} as its tokens {START_ID} and {END_ID}.")
    return tokenizer


def decode(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The text of the ids, special ones left out; bytes that are no UTF-8 become U+FFFD."""
    return tokenizer.decode([int(i) for i in ids if i >= len(_SPECIAL)], skip_special_tokens=False).strip()


__all__ = [
    "END_ID",
    "PAD_ID",
    "START_ID",
    "SUBWORD_KINDS",
    "UNKNOWN_ID",
    "decode",
    "fit_subwords",
    "load_subwords",
]
