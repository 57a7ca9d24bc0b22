"""The TFDS dataset `synthetic_tags`: names of people, places and organisations that need both sides of their context."""

from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from rnn_jax.data.synthetic.tag_grammar import TAGS, TaggedSentence, unique_sentences

_SPLITS = {"train": 12_000, "validation": 1_000, "test": 1_000}
_SEED = 0


class SyntheticTags(tfds.core.GeneratorBasedBuilder):
    """Sentences."""

    VERSION = tfds.core.Version("1.0.0")  # Prepared folders are found by it: sentences that change need a new one.

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="News-like sentences from a grammar; what a name is depends on words on both sides of it.",
            features=tfds.features.FeaturesDict(
                {
                    "tokens": tfds.features.Sequence(tfds.features.Text()),
                    "tags": tfds.features.Sequence(tfds.features.ClassLabel(names=list(TAGS))),
                }
            ),
            supervised_keys=("tokens", "tags"),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager  # Nothing is downloaded.
        splits = unique_sentences(_SPLITS, _SEED)
        return {name: self._generate_examples(rows) for name, rows in splits.items()}

    def _generate_examples(self, rows: list[TaggedSentence]) -> Iterator[tuple[int, dict[str, Any]]]:
        for index, (tokens, tags) in enumerate(rows):
            yield index, {"tokens": list(tokens), "tags": [TAGS.index(tag) for tag in tags]}
