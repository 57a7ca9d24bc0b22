"""From texts to what a text model reads, and back to class names."""

import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from tokenizers import Regex, Tokenizer, normalizers, processors

from rnn_jax.data.batching import Ragged, lengths_of, pad, take
from rnn_jax.data.codec import Codec
from rnn_jax.data.kept import kept
from rnn_jax.data.sources import Batch
from rnn_jax.errors import UserError
from rnn_jax.text.language_codec import END_ID, LanguageCodec
from rnn_jax.text.ngrams import NGrams, fit_ngrams, load_earlier_ngrams
from rnn_jax.text.text_config import TokenConfig
from rnn_jax.text.vocabulary import UNKNOWN_ID, encode, fit_tokenizer, keep_tokenizer, load_tokenizer


@dataclasses.dataclass(frozen=True, eq=False)
class TextCodec(Codec):
    """The tokenizer and n-grams, fitted on training data only, and the class names."""

    tokenizer: Tokenizer
    label_names: tuple[str, ...]
    ngrams: NGrams | None = None
    earlier_files: ClassVar = ("tokenizer.json", "labels.json")

    def batch(self, texts: Ragged, labels: np.ndarray, rows: np.ndarray, length: int) -> Batch:
        """What the network reads of these rows; −1 is a row that fills the batch, of label 0 and weight 0."""
        tokens = pad(texts, rows, length)
        batch = {"tokens": tokens, "lengths": lengths_of(texts, rows), "labels": take(labels, rows)}
        batch["weights"] = (rows >= 0).astype(np.float32)
        return batch if self.ngrams is None else batch | {"ngrams": self.ngrams.lookup(tokens)}

    @classmethod
    def load_earlier(cls, directory: Path) -> "TextCodec":
        """Reads tokenizer.json, labels.json and ngrams.npz."""
        try:
            label_names = tuple(json.loads((directory / "labels.json").read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise UserError(f"{directory} has no readable codec.json or labels.json: {error}") from error
        file = directory / "ngrams.npz"
        return cls(
            load_tokenizer(directory / "tokenizer.json"),
            label_names,
            load_earlier_ngrams(file) if file.exists() else None,
        )


def codec_of_language_model(codec: LanguageCodec) -> TextCodec:
    """Texts as a language model reads them: its units, and the end, which stood before each text in its training.

    The tokenizer does it all, so that whoever has it reads texts in the same way. There are no class names yet.
    """
    tokenizer = Tokenizer.from_str(codec.tokenizer.to_str())
    tokenizer.post_processor = processors.TemplateProcessing(single="[END] $A", special_tokens=[("[END]", END_ID)])
    if codec.space_mark:  # as `language_codec.prepare` has it
        spaces = [normalizers.Replace(Regex(r"^[ \t]+|[ \t]+$"), ""), normalizers.Replace(" ", codec.space_mark)]
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), *spaces, tokenizer.normalizer])
    return TextCodec(tokenizer, ())


def fit_text_codec(config: TokenConfig, texts: Sequence[str], label_names: tuple[str, ...]) -> TextCodec:
    """The tokenizer and, if the config wants them, the n-grams of the training texts."""
    options: Any = {"kind": config.tokenizer, "vocabulary_size": config.vocabulary_size, "lowercase": config.lowercase}
    tokenizer = keep_tokenizer(texts, ("text", str(options)), functools.partial(fit_tokenizer, texts, **options))
    if not config.ngram_vocabulary_size:
        return TextCodec(tokenizer, label_names)
    return TextCodec(tokenizer, label_names, _ngrams(config, texts, tokenizer))


def _ngrams(config: TokenConfig, texts: Sequence[str], tokenizer: Tokenizer) -> NGrams:
    tokens: Any = {"max_tokens": config.max_tokens, "truncation": config.truncation}
    size: Any = {"orders": config.ngram_orders, "vocabulary_size": config.ngram_vocabulary_size}
    size |= {"num_tokens": tokenizer.get_vocab_size(), "unknown_id": UNKNOWN_ID}

    def make() -> dict[str, np.ndarray]:
        fitted = fit_ngrams(encode(tokenizer, texts, **tokens), **size)
        arrays = {f"codes_{i}": codes for i, codes in enumerate(fitted.codes)}
        return arrays | {f"ids_{i}": ids for i, ids in enumerate(fitted.ids)}

    found = kept(texts, ("ngrams", tokenizer.to_str(), str(tokens), str(size)), make)
    codes, ids = (tuple(found[f"{kind}_{i}"] for i in range(len(config.ngram_orders))) for kind in ("codes", "ids"))
    return NGrams(config.ngram_orders, size["num_tokens"], codes, ids)
