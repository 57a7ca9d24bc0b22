"""The TFDS dataset `synthetic_language`: a text to be predicted, whose entropy is known."""

import functools
import math
from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

import tensorflow_datasets as tfds

from rnn_jax.data.synthetic.language_grammar import write_line

_LINES = {"train": 11_300, "validation": 1_130, "test": 1_130}
_SEED = 0


class Text(NamedTuple):
    """Whole lines, and the nats that they take under the grammar."""

    text: str
    nats: float


class SyntheticLanguage(tfds.core.GeneratorBasedBuilder):
    """Lines of 53 characters on average, from a grammar that makes 0.342 nats (0.493 bits) of a character necessary.

    One text a split: 604 thousand characters of 47 kinds in train, 60 and 61 thousand in validation and test; as words
    and marks, 233 different ones. What is drawn for a split takes a bit more or less than the mean: `info.metadata` has
    it as {"nats": {split: −log of the text's probability}}, and this over the number of characters is the floor.
    On the test split, nats (bits) a character:

    - interpolated counts (Witten-Bell) of 1 character: 3.02 (4.36), 2: 2.07 (2.99), 3: 1.24 (1.79), 6: 0.57 (0.82),
      8: 0.50 (0.72);
    - an LSTM of 128 units (PyTorch, Adam) after one epoch of 16 × 64 characters a batch: 0.50 (0.72), after five,
      in less than a minute: 0.40 (0.58);
    - the floor: 0.346 (0.499).

    As perplexity, the floor of the test split is 1.41 a character; 4.97 a word where words end at spaces and a line end
    is one; 3.90 a word, mark or line end. Lines are drawn independently, so that short ones are in several splits.
    """

    VERSION = tfds.core.Version("1.0.0")  # Prepared folders are found by it: texts that change need a new one.

    def _info(self) -> tfds.core.DatasetInfo:
        nats = {split: text.nats for split, text in texts().items()}
        return tfds.core.DatasetInfo(
            builder=self,
            description="Lines from a probabilistic grammar, one text a split; its entropy is known.",
            features=tfds.features.FeaturesDict({"text": tfds.features.Text()}),
            metadata=tfds.core.MetadataDict({"nats": nats}),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager  # Nothing is downloaded.
        return {split: self._generate_examples(text.text) for split, text in texts().items()}

    def _generate_examples(self, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
        yield 0, {"text": text}


@functools.cache
def texts() -> dict[str, Text]:
    """Split → its text; all are independent draws, from one stream of random numbers."""
    rng = Random(_SEED)
    written = {split: [write_line(rng) for _ in range(count)] for split, count in _LINES.items()}
    return {
        split: Text("".join(line for line, _ in lines), math.fsum(nats for _, nats in lines))
        for split, lines in written.items()
    }
