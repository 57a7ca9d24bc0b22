"""From text pairs to what an encoder–decoder reads and writes, and back to text: all that predict needs of the data."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Int64
from tokenizers import Tokenizer

from rnn_jax.data.batching import Ragged, Shapes, batch_counts, lengths_of, pad
from rnn_jax.data.codec import Codec
from rnn_jax.data.sources import Batch
from rnn_jax.data.translation_config import SubwordConfig
from rnn_jax.text.subwords import END_ID, PAD_ID, START_ID, decode, fit_subwords, load_subwords
from rnn_jax.text.vocabulary import encode, keep_tokenizer


def even(length: int) -> int:
    """The next even number."""
    return length + length % 2


class EncodedPairs(NamedTuple):
    """Token ids of n pairs; targets end with the end token. lengths: of the longer side of each.

    num_cut: how many sources were longer than they may be.
    longest: of the pairs of at most l tokens a side, the most tokens of a source and of a target, l = 0, 1, …
    """

    sources: Ragged
    targets: Ragged
    lengths: Int64[np.ndarray, " n"]
    num_cut: int
    longest: Int64[np.ndarray, "2 L"]

    @classmethod
    def of(cls, sources: Ragged, targets: Ragged, num_cut: int = 0) -> "EncodedPairs":
        """Pairs of the rows of two sides."""
        lengths = np.maximum(sources.lengths, targets.lengths)
        longest = np.ones((2, int(lengths.max(initial=0)) + 1), np.int64)
        for most, side in zip(longest, (sources, targets), strict=True):
            np.maximum.at(most, lengths, side.lengths)
        return cls(sources, targets, lengths, num_cut, np.maximum.accumulate(longest, axis=1))

    def side_lengths(self, length: int) -> tuple[int, int]:
        """The longest source and the longest target of the pairs of at most this length; 1 where there is none."""
        source, target = self.longest[:, min(length, self.longest.shape[1] - 1)]
        return int(source), int(target)

    def padding_waste(self, shapes: Shapes) -> float:
        """The share of the positions of an epoch's batches, both sides', that hold no token."""
        counts = batch_counts(self.lengths, shapes)
        positions = sum(size * count * sum(map(even, self.side_lengths(length))) for length, size, count in counts)
        return 1 - (len(self.sources.values) + len(self.targets.values)) / max(positions, 1)


@dataclasses.dataclass(frozen=True, eq=False)
class TranslationCodec(Codec):
    """Both tokenizers (the same one if the vocabulary is joint), fitted on training data only."""

    source: Tokenizer
    target: Tokenizer
    earlier_files: ClassVar = ("source_tokenizer.json", "target_tokenizer.json")

    @property
    def is_joint(self) -> bool:
        """One vocabulary for both sides: by content, since what is loaded has two files."""
        return self.source.to_str() == self.target.to_str()

    def encode_sources(self, texts: Sequence[str], max_tokens: int | None = None) -> tuple[Ragged, int]:
        """Token ids of the sources, at most `max_tokens` of each; and how many sources had more."""
        whole = encode(self.source, texts)
        if max_tokens is None or not (num_cut := int((whole.lengths > max_tokens).sum())):
            return whole, 0
        return whole.take(np.arange(len(whole)), max_tokens), num_cut

    def encode(self, sources: Sequence[str], targets: Sequence[str], max_tokens: int | None = None) -> EncodedPairs:
        """Token ids of pairs; of a source at most `max_tokens`."""
        source_ids, num_cut = self.encode_sources(sources, max_tokens)
        return EncodedPairs.of(source_ids, encode(self.target, targets, end=END_ID), num_cut)

    def text(self, ids: Sequence[int] | np.ndarray) -> str:
        """The target text of token ids."""
        return decode(self.target, np.asarray(ids, np.int32).tolist())

    def pieces(self, source_ids: np.ndarray, target_ids: np.ndarray) -> tuple[list[str], list[str]]:
        """How the tokens of both sides are spelt, for pictures of attention."""
        source = [decode(self.source, [int(i)]) or "␣" for i in source_ids]
        return source, [decode(self.target, [int(i)]) or ("⏎" if i == END_ID else "␣") for i in target_ids]

    def batch(
        self, encoded: EncodedPairs, rows: np.ndarray, length: int, *, round_up: Callable[[int], int] = even
    ) -> Batch:
        """What the network reads of these rows: source, lengths, inputs (the token before each label), labels.

        Each side is padded to the longest of all pairs that may come in such a batch, rounded up: a bucket has one
        shape. The more a rounding joins, the fewer shapes different data have.
        """
        source_length, target_length = map(round_up, encoded.side_lengths(length))
        labels = pad(encoded.targets, rows, target_length)
        inputs = np.full_like(labels, PAD_ID)
        inputs[:, 1:] = labels[:, :-1]
        inputs[:, 0] = START_ID
        weights = np.arange(target_length) < lengths_of(encoded.targets, rows)[:, None]
        return {
            "source": pad(encoded.sources, rows, source_length),
            "lengths": lengths_of(encoded.sources, rows),
            "inputs": inputs,
            "labels": labels,
            "weights": weights.astype(np.float32),
        }

    @classmethod
    def load_earlier(cls, directory: Path) -> "TranslationCodec":
        """Reads both tokenizers."""
        return cls(*(load_subwords(directory / f"{side}_tokenizer.json") for side in ("source", "target")))


def fit_translation_codec(config: SubwordConfig, sources: Sequence[str], targets: Sequence[str]) -> TranslationCodec:
    """The tokenizers of the training pairs."""
    settings: dict[str, Any] = {
        "kind": config.tokenizer,
        "vocabulary_size": config.vocabulary_size,
        "lowercase": config.lowercase,
    }

    def fit(texts: Sequence[str]) -> Tokenizer:
        return keep_tokenizer(texts, ("subwords", str(settings)), functools.partial(fit_subwords, texts, **settings))

    if config.joint_vocabulary:
        joint = fit([*sources, *targets])
        return TranslationCodec(joint, joint)
    return TranslationCodec(fit(sources), fit(targets))


def take_rows(encoded: EncodedPairs, rows: np.ndarray) -> EncodedPairs:
    """The pairs of these rows."""
    return EncodedPairs.of(encoded.sources.take(rows), encoded.targets.take(rows), encoded.num_cut)
