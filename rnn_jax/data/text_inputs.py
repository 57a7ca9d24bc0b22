"""From texts to what a text model reads, and back to class names: all that predict needs besides the weights."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer

from rnn_jax.data.batching import Batch, Ragged
from rnn_jax.data.inputs import hashed
from rnn_jax.data.ngrams import NGrams, load_ngrams, save_ngrams
from rnn_jax.data.vocabulary import encode, load_tokenizer, save_tokenizer
from rnn_jax.errors import UserError


class TextInputs(NamedTuple):
    """The tokenizer and n-grams, fitted on training data only, and the class names. Saved in the run directory."""

    tokenizer: Tokenizer
    label_names: tuple[str, ...]
    ngrams: NGrams | None = None

    def encode(self, texts: Sequence[str], *, max_tokens: int, truncation: str) -> Ragged:
        """Token ids of each text."""
        return encode(self.tokenizer, texts, max_tokens=max_tokens, truncation=truncation)

    def batch_arrays(self, batch: Batch, labels: np.ndarray | None = None) -> dict[str, Any]:
        """What the train and evaluation steps take; filler rows get label 0 and weight 0."""
        arrays = {"tokens": batch.tokens, "lengths": batch.lengths, "weights": batch.weights}
        if self.ngrams is not None:
            arrays["ngrams"] = self.ngrams.lookup(batch.tokens)
        if labels is not None:
            arrays["labels"] = np.where(batch.indices >= 0, labels[batch.indices], 0).astype(np.int32)
        return arrays

    def digest(self) -> str:
        """Equal for two that encode every text alike and have the same classes."""
        arrays = () if self.ngrams is None else (*self.ngrams.codes, *self.ngrams.ids)
        return hashed(self.tokenizer.to_str(), json.dumps(self.label_names), *(array.tobytes() for array in arrays))

    def save(self, directory: Path) -> None:
        """Writes tokenizer.json, labels.json and, with n-grams, ngrams.npz."""
        save_tokenizer(self.tokenizer, directory / "tokenizer.json")
        text = json.dumps(self.label_names, ensure_ascii=False, indent=2) + "\n"
        (directory / "labels.json").write_text(text, encoding="utf-8")
        if self.ngrams is not None:
            save_ngrams(self.ngrams, directory / "ngrams.npz")

    @classmethod
    def load(cls, directory: Path) -> "TextInputs":
        """Reads what `save` wrote.

        Raises:
          UserError: a file is missing or broken.
        """
        try:
            label_names = tuple(json.loads((directory / "labels.json").read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise UserError(f"{directory} has no readable labels.json: {error}. Is it a run directory?") from error
        ngrams = load_ngrams(directory / "ngrams.npz") if (directory / "ngrams.npz").exists() else None
        return cls(load_tokenizer(directory / "tokenizer.json"), label_names, ngrams)
