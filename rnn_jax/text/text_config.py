"""The knobs of how texts become tokens, and tokens batches."""

import dataclasses

from rnn_jax.config import ABOVE_ZERO, VOCABULARY, knob, when


@dataclasses.dataclass(frozen=True)
class TokenConfig:
    """How texts become tokens, and tokens batches."""

    tokenizer: str = knob(
        "word", "unit of the vocabulary", choices=("word", "bpe", "char"), short=True, inherited=VOCABULARY
    )
    vocabulary_size: int = knob(
        30_000, "most frequent units of the training split that are kept", minimum=3, short=True, inherited=VOCABULARY
    )
    lowercase: bool = knob(True, "fold the case of all texts", inherited=VOCABULARY)
    max_tokens: int = knob(400, "longer texts are cut to this many tokens", minimum=1, short=True)
    truncation: str = knob("head", "which part of a long text is kept", choices=("head", "tail", "both"))
    ngram_vocabulary_size: int = knob(
        0, "most frequent n-grams that get embeddings (0 = none)", minimum=0, inherited=VOCABULARY
    )
    ngram_orders: tuple[int, ...] = knob(
        (2, 3), "orders of the n-grams", minimum=1, only_if=when(ngram_vocabulary_size=ABOVE_ZERO), inherited=VOCABULARY
    )
    batch_size: int = knob(64, "texts in a batch", minimum=1, short=True)
    num_buckets: int = knob(6, "lengths that batches are padded to; each is compiled once", minimum=1)
