"""Text pairs as numbers: batches to train on, and parts to score."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from rnn_jax.data.paired import TextPairs
from rnn_jax.data.parts import Data
from rnn_jax.data.sources import Batch, Buckets, MakeBatch
from rnn_jax.data.translation import load_translation, read_part
from rnn_jax.data.translation_config import PairsConfig, SubwordConfig
from rnn_jax.errors import UserError
from rnn_jax.text.teacher_forcing import TeacherForcingConfig, teacher_forcing_probability
from rnn_jax.text.translation_codec import EncodedPairs, TranslationCodec, fit_translation_codec, take_rows

_LENGTHS_MULTIPLE_OF = 2


class PairBuckets(Buckets):
    """Pairs in buckets of their longer side; there, each side is padded to its own longest.

    A batch says with which probability its decoder is given the right last token, where that is not always so.
    """

    def __init__(self, encoded: EncodedPairs, make_batch: MakeBatch, forcing: TeacherForcingConfig, **shapes: Any):
        sides = (encoded.sources, encoded.targets)
        content = [array for side in sides for array in (side.values, side.offsets)]
        super().__init__(encoded.lengths, make_batch, content=content, **shapes)
        self._encoded, self._forcing = encoded, forcing

    def batch(self, step: int) -> Batch:
        """The batch of update `step`."""
        batch = super().batch(step)
        if self._forcing.teacher_forcing == "always":
            return batch
        probability = teacher_forcing_probability(self._forcing, step)
        return batch | {"teacher_forcing": np.full(len(batch["lengths"]), probability, np.float32)}

    @functools.cached_property
    def padding_waste(self) -> float:
        """The share of the positions of an epoch's batches, both sides', that hold no token."""
        return self._encoded.padding_waste(self.shapes)


def read_pairs(
    data_config: PairsConfig,
    config: SubwordConfig,
    forcing: TeacherForcingConfig,
    seed: int,
    known: TranslationCodec | None,
    room: Callable[[np.ndarray], np.ndarray],
) -> Data:
    """Reads all parts; the codec is fitted on the training texts, or a known one.

    room: of source lengths, the most tokens that targets are written with.

    Raises:
      UserError: as `load_translation`; --max_tokens leaves no pair to train on.
    """
    data = load_translation(data_config, seed=seed)
    codec = known or fit_translation_codec(config, data.train.sources, data.train.targets)

    def source() -> PairBuckets:
        encoded = codec.encode(data.train.sources, data.train.targets)
        lengths, target_lengths = encoded.sources.lengths, encoded.targets.lengths - 1  # without the end token
        short = np.flatnonzero(np.maximum(lengths, target_lengths) <= config.max_tokens)
        if not len(short):
            raise UserError(f"--max_tokens={config.max_tokens} leaves no pair to train on: raise it.")
        notes = []
        if left_out := len(lengths) - len(short):
            notes.append(f"{left_out:,} training pairs of more than {config.max_tokens} tokens are left out.")
        if share := np.mean(target_lengths > room(lengths)):
            notes.append(
                f"{share:.1%} of the training targets are longer than --max_length_ratio lets the model write."
            )
        kept = take_rows(encoded, short) if left_out else encoded
        return PairBuckets(
            kept,
            functools.partial(codec.batch, kept),
            forcing,
            batch_size=config.batch_size,
            num_buckets=config.num_buckets,
            multiple_of=_LENGTHS_MULTIPLE_OF,
            tokens_per_batch=config.tokens_per_batch,
            seed=seed,
            notes=tuple(notes),
        )

    parts = {"validation": data.validation, **data.tests}
    sizes = (
        [codec.source.get_vocab_size()]
        if codec.is_joint
        else [t.get_vocab_size() for t in (codec.source, codec.target)]
    )
    intro = (
        f"{data_config.source}: {data.train.num_examples:,} pairs to train on, {data.validation.num_examples:,} to"
        f" validate, tests: {', '.join(data.tests) or 'none'};"
        f" {' and '.join(f'{size:,}' for size in sizes)} {config.tokenizer} tokens."
    )
    return Data(source, parts, codec, (*data.notes, intro), train_part=lambda: data.train)


def read_pair_part(data_config: PairsConfig, name: str) -> TextPairs:
    """One file (or two, with a comma between) or split; UserError where its targets are hidden."""
    part = read_part(data_config, name)
    if not part.num_examples:
        raise UserError(f"{part.name}: the targets are hidden (all empty), so there is nothing to score.")
    return part
