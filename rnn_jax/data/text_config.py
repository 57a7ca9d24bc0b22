"""The knobs of how texts become tokens, and the inputs that they describe."""

import dataclasses
from collections.abc import Sequence

from rnn_jax.config import knob
from rnn_jax.data.ngrams import fit_ngrams
from rnn_jax.data.text_inputs import TextInputs
from rnn_jax.data.vocabulary import UNKNOWN_ID, encode, fit_tokenizer


@dataclasses.dataclass(frozen=True)
class TokenConfig:
    """How texts become tokens, and tokens batches."""

    tokenizer: str = knob("word", "unit of the vocabulary", choices=("word", "bpe", "char"))
    vocabulary_size: int = knob(30_000, "most frequent units of the training split that are kept", minimum=3)
    lowercase: bool = knob(True, "fold the case of all texts")
    max_tokens: int = knob(400, "longer texts are cut to this many tokens", minimum=1)
    truncation: str = knob("head", "which part of a long text is kept", choices=("head", "tail", "both"))
    ngram_vocabulary_size: int = knob(0, "most frequent n-grams that get embeddings (0 = none)", minimum=0)
    ngram_orders: tuple[int, ...] = knob((2, 3), "orders of the n-grams of --ngram_vocabulary_size", minimum=1)
    batch_size: int = knob(64, "texts in a batch", minimum=1)
    num_buckets: int = knob(6, "lengths that batches are padded to; each is compiled once", minimum=1)


def fit_inputs(config: TokenConfig, texts: Sequence[str], label_names: tuple[str, ...]) -> TextInputs:
    """The tokenizer and, if the config wants them, the n-grams of the training texts."""
    tokenizer = fit_tokenizer(
        texts, kind=config.tokenizer, vocabulary_size=config.vocabulary_size, lowercase=config.lowercase
    )
    if not config.ngram_vocabulary_size:
        return TextInputs(tokenizer, label_names)
    ngrams = fit_ngrams(
        encode(tokenizer, texts, max_tokens=config.max_tokens, truncation=config.truncation),
        num_tokens=tokenizer.get_vocab_size(),
        orders=config.ngram_orders,
        vocabulary_size=config.ngram_vocabulary_size,
        unknown_id=UNKNOWN_ID,
    )
    return TextInputs(tokenizer, label_names, ngrams)
