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
    thirty words can exclude some colours, and is right in 19 %. Accuracy on the test split in %, 64 units, ten epochs:

    - a tanh Elman network at most 34; with relu and the identity as recurrent matrix (IRNN), at a learning rate of
      3e-3: 13 to 20 without clipping of gradients, 56 to 97 with it;
    - an LSTM at 1e-2, its forget biases at 0, 1 and 3: 22 to 29, 37 to 54 and 31 to 38; at 2e-2, at 1: 100;
    - an LSTM with chrono initialisation at 1e-2, after four epochs of ten, and a GRU: 100.

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
