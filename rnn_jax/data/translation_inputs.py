"""From text pairs to what an encoder–decoder reads and writes, and back to text: all that predict needs of the data."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, Int64
from tokenizers import Tokenizer

from rnn_jax.config import knob
from rnn_jax.data.batching import Batch, Ragged, batch_counts
from rnn_jax.data.inputs import hashed
from rnn_jax.data.subwords import END_ID, PAD_ID, START_ID, SUBWORD_KINDS, decode, fit_subwords, load_subwords
from rnn_jax.data.vocabulary import encode, save_tokenizer

_SOURCE, _TARGET = "source_tokenizer.json", "target_tokenizer.json"


@dataclasses.dataclass(frozen=True)
class SubwordConfig:
    """How texts become subwords, and pairs batches."""

    tokenizer: str = knob("bpe", "unit of the vocabularies", choices=SUBWORD_KINDS)
    vocabulary_size: int = knob(8_000, "subwords in a vocabulary; 4,000 to 32,000 for a language", minimum=5)
    joint_vocabulary: bool = knob(True, "one vocabulary for source and target, fitted on both")
    lowercase: bool = knob(False, "fold the case of all texts")
    max_tokens: int = knob(100, "longer sources are cut to this; longer pairs are not trained on", minimum=1)
    batch_size: int = knob(512, "most pairs in a batch", minimum=1)
    tokens_per_batch: int = knob(2_000, "most tokens in a batch, padding included, counted on one side", minimum=1)
    num_buckets: int = knob(6, "lengths that batches are padded to; each is compiled once", minimum=1)


def even(length: int) -> int:
    """The next even number."""
    return length + length % 2


class EncodedPairs(NamedTuple):
    """Token ids of n pairs; targets end with the end token. `pairs` has a row as long as the longer side of each.

    num_cut: how many sources were longer than they may be.
    longest: of the pairs of at most l tokens a side, the most tokens of a source and of a target, l = 0, 1, …
    """

    sources: Ragged
    targets: Ragged
    pairs: Ragged
    num_cut: int
    longest: Int64[np.ndarray, "2 L"]

    @classmethod
    def of(cls, sources: Ragged, targets: Ragged, num_cut: int = 0) -> "EncodedPairs":
        """Pairs of the rows of two sides."""
        lengths = np.maximum(sources.lengths, targets.lengths)
        longest = np.ones((2, int(lengths.max(initial=0)) + 1), np.int64)
        for most, side in zip(longest, (sources, targets), strict=True):
            np.maximum.at(most, lengths, side.lengths)
        return cls(sources, targets, _of_lengths(lengths), num_cut, np.maximum.accumulate(longest, axis=1))

    def side_lengths(self, length: int) -> tuple[int, int]:
        """The longest source and the longest target of the pairs of at most this length; 1 where there is none."""
        source, target = self.longest[:, min(length, self.longest.shape[1] - 1)]
        return int(source), int(target)

    def padding_waste(self, **shapes: Any) -> float:
        """The share of the positions of an epoch's batches, both sides', that hold no token; `shapes` are a plan's."""
        counts = batch_counts(self.pairs.lengths, **shapes)
        positions = sum(size * count * sum(map(even, self.side_lengths(length))) for length, size, count in counts)
        return 1 - (len(self.sources.values) + len(self.targets.values)) / max(positions, 1)


class TranslationInputs(NamedTuple):
    """Both tokenizers (the same one if the vocabulary is joint), fitted on training data only."""

    source: Tokenizer
    target: Tokenizer

    @property
    def is_joint(self) -> bool:
        """One vocabulary for both sides: by content, since what is loaded has two files."""
        return self.source.to_str() == self.target.to_str()

    def encode_sources(self, texts: Sequence[str], max_tokens: int | None = None) -> tuple[Ragged, int]:
        """Token ids of the sources, at most `max_tokens` of each; and how many sources had more."""
        whole = encode(self.source, texts)
        if max_tokens is None or not (num_cut := int((whole.lengths > max_tokens).sum())):
            return whole, 0
        return Ragged.from_rows([whole.row(i)[:max_tokens] for i in range(len(whole))]), num_cut

    def encode(self, sources: Sequence[str], targets: Sequence[str], max_tokens: int | None = None) -> EncodedPairs:
        """Token ids of pairs; of a source at most `max_tokens`."""
        source_ids, num_cut = self.encode_sources(sources, max_tokens)
        target_ids = encode(self.target, targets)
        ends = [np.append(target_ids.row(i), np.int32(END_ID)) for i in range(len(target_ids))]
        return EncodedPairs.of(source_ids, Ragged.from_rows(ends), num_cut)

    def text(self, ids: Sequence[int] | np.ndarray) -> str:
        """The target text of token ids."""
        return decode(self.target, np.asarray(ids, np.int32).tolist())

    def pieces(self, source_ids: np.ndarray, target_ids: np.ndarray) -> tuple[list[str], list[str]]:
        """How the tokens of both sides are spelt, for pictures of attention."""
        source = [decode(self.source, [int(i)]) or "␣" for i in source_ids]
        return source, [decode(self.target, [int(i)]) or ("⏎" if i == END_ID else "␣") for i in target_ids]

    def batch_arrays(
        self, batch: Batch, encoded: EncodedPairs, round_up: Callable[[int], int] = even
    ) -> dict[str, Any]:
        """What the train and evaluation steps take: source, lengths, inputs (the token before each label), labels.

        Each side is padded to the longest of all pairs that may come in such a batch, rounded up: a bucket has one
        shape. The more a rounding joins, the fewer shapes different data have.
        """
        source_length, target_length = map(round_up, encoded.side_lengths(batch.tokens.shape[1]))
        source, lengths = _filled(encoded.sources, batch.indices, source_length)
        labels, label_lengths = _filled(encoded.targets, batch.indices, target_length)
        inputs = np.full_like(labels, PAD_ID)
        inputs[:, 1:] = labels[:, :-1]
        inputs[:, 0] = START_ID
        weights: Float32[np.ndarray, "B T"] = (np.arange(target_length) < label_lengths[:, None]).astype(np.float32)
        return {"source": source, "lengths": lengths, "inputs": inputs, "labels": labels, "weights": weights}

    def digest(self) -> str:
        """Equal for two that encode every text alike."""
        return hashed(self.source.to_str(), self.target.to_str())

    def save(self, directory: Path) -> None:
        """Writes both tokenizers."""
        save_tokenizer(self.source, directory / _SOURCE)
        save_tokenizer(self.target, directory / _TARGET)

    @classmethod
    def load(cls, directory: Path) -> "TranslationInputs":
        """Reads what `save` wrote.

        Raises:
          UserError: a file is missing, broken or not of subwords.
        """
        return cls(load_subwords(directory / _SOURCE), load_subwords(directory / _TARGET))


def fit_translation_inputs(config: SubwordConfig, sources: Sequence[str], targets: Sequence[str]) -> TranslationInputs:
    """The tokenizers of the training pairs."""
    settings: dict[str, Any] = {
        "kind": config.tokenizer,
        "vocabulary_size": config.vocabulary_size,
        "lowercase": config.lowercase,
    }
    if config.joint_vocabulary:
        joint = fit_subwords([*sources, *targets], **settings)
        return TranslationInputs(joint, joint)
    return TranslationInputs(fit_subwords(sources, **settings), fit_subwords(targets, **settings))


def take_rows(encoded: EncodedPairs, rows: np.ndarray) -> EncodedPairs:
    """The pairs of these rows."""
    take = lambda side: Ragged.from_rows([side.row(int(i)) for i in rows])  # noqa: E731
    return EncodedPairs.of(take(encoded.sources), take(encoded.targets), encoded.num_cut)


def _of_lengths(lengths: np.ndarray) -> Ragged:
    """Rows of zeros: batches are planned by their lengths, and filled from the two sides."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Ragged(np.zeros(int(offsets[-1]), np.int32), offsets)


def _filled(
    ragged: Ragged, rows: Int32[np.ndarray, " B"], length: int
) -> tuple[Int32[np.ndarray, "B T"], Int32[np.ndarray, " B"]]:
    """The rows (none for −1), padded, and their lengths."""
    padded, lengths = np.full((len(rows), length), PAD_ID, np.int32), np.zeros(len(rows), np.int32)
    for i, row in enumerate(rows):
        if row >= 0:
            values = ragged.row(int(row))
            padded[i, : len(values)], lengths[i] = values, len(values)
    return padded, lengths
