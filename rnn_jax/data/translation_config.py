"""The knobs of text pairs: where they come from, how they become subwords and batches."""

import dataclasses
from typing import Any

from rnn_jax.config import VOCABULARY, knob
from rnn_jax.data.parts_config import NO_FILE, PartsConfig

SUBWORD_KINDS = ("bpe", "char")  # of `subwords`; a test compares
BLEU_TOKENIZERS = ("13a", "intl", "char", "zh", "none")


@dataclasses.dataclass(frozen=True)
class PairsConfig(PartsConfig):
    """Where text pairs come from."""

    dataset: str = knob(
        "synthetic_dates", "TFDS name with two texts a row, as wmt14_translate/de-en", only_if=NO_FILE, short=True
    )
    train_file: str = knob(
        "", "source and target file, as a.en,a.de; or a table with tabs, as a.tsv; not --dataset", short=True
    )
    source_field: str = knob("", "feature or column of the source (default: the data's supervised keys, or column 0)")
    target_field: str = knob("", "feature or column of the target (default: as for the source, or column 1)")
    further_tests: tuple[str, ...] = knob(("test*",), "patterns of more splits to score at the end", only_if=NO_FILE)


@dataclasses.dataclass(frozen=True)
class SubwordConfig:
    """How texts become subwords, and pairs batches."""

    tokenizer: str = knob("bpe", "unit of the vocabularies", choices=SUBWORD_KINDS, inherited=VOCABULARY)
    vocabulary_size: int = knob(
        8_000, "subwords in a vocabulary; 4,000 to 32,000 for a language", minimum=5, short=True, inherited=VOCABULARY
    )
    joint_vocabulary: bool = knob(True, "one vocabulary for source and target, fitted on both", inherited=VOCABULARY)
    lowercase: bool = knob(False, "fold the case of all texts", inherited=VOCABULARY)
    max_tokens: int = knob(
        100, "longer sources are cut to this; longer pairs are not trained on", minimum=1, short=True
    )
    batch_size: int = knob(512, "most pairs in a batch", minimum=1)
    tokens_per_batch: int = knob(
        2_000, "most tokens in a batch, padding included, counted on one side", minimum=1, short=True
    )
    num_buckets: int = knob(6, "lengths that batches are padded to; each is compiled once", minimum=1)
    bleu_tokenizer: str = knob("13a", "how sacreBLEU splits both sides", choices=BLEU_TOKENIZERS)

    def scoring(self) -> dict[str, Any]:
        """How texts are compared."""
        return {"tokenizer": self.bleu_tokenizer, "lowercase": self.lowercase}
