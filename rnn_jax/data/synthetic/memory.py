"""The TFDS dataset `synthetic_memory`: long texts whose class is the first colour in them."""

import itertools
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from rnn_jax.data.synthetic.memory_grammar import COLOURS, unique_texts

_SPLITS = {"train": 4_000, "validation": 1_000, "test": 1_000}
_SEED = 0


class SyntheticMemory(tfds.core.GeneratorBasedBuilder):
    """Texts of 62 to 122 words from 32 different ones, labelled with the first of the eight colours in them.

    It is the second word; the other seven colours follow somewhere, once each. So counts of words and of pairs are the
    same whatever the class: a logistic regression on them is right as often as chance, 12.5 %. Who remembers the last
    thirty words can exclude some colours, and is right in 19 %. What networks reach is in results/memory_clipping and
    results/memory_initialization.

    No text occurs twice, in the same split or in two.
    """

    VERSION = tfds.core.Version("1.0.0")  # Prepared folders are found by it: texts that change need a new one.

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Texts of about ninety words whose class is the first colour: a test of long memory.",
            features=tfds.features.FeaturesDict(
                {"text": tfds.features.Text(), "label": tfds.features.ClassLabel(names=list(COLOURS))}
            ),
            supervised_keys=("text", "label"),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager  # Nothing is downloaded.
        texts = unique_texts(sum(_SPLITS.values()), _SEED)
        splits = {name: list(itertools.islice(texts, size)) for name, size in _SPLITS.items()}
        return {name: self._generate_examples(rows) for name, rows in splits.items()}

    def _generate_examples(self, rows: list[tuple[str, int]]) -> Iterator[tuple[int, dict[str, Any]]]:
        for index, (text, first) in enumerate(rows):
            yield index, {"text": text, "label": first}
