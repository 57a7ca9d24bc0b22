"""One split or file of sentences with a label for each word, whatever the source calls its fields and types."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnn_jax.data.columns import read_column_file
from rnn_jax.data.datasets import open_split, read_examples
from rnn_jax.data.fields import class_names_of, field_values, find_sequence_fields, flat_features, pick_field
from rnn_jax.data.normal_form import nfc
from rnn_jax.data.once import once
from rnn_jax.errors import UserError
from rnn_jax.metrics.tagging import UNLABELLED

_MISSING = "None"
_TOKEN_FIELDS = ("tokens", "words", "token", "word")


class TaggedPart(NamedTuple):
    """Sentences as lists of words, the name of each word's label, and where they came from."""

    name: str
    tokens: list[list[str]]
    labels: list[list[str]]
    class_names: tuple[str, ...] | None = None  # where the source knows its classes by itself
    lines: list[list[int]] | None = None  # of every word, in a file
    numbers: list[int] | None = None  # of every sentence, in its split, from 1
    num_empty: int = 0  # sentences left out, as they have no words
    notes: tuple[str, ...] = ()  # of how it was read

    @property
    def num_examples(self) -> int:
        """How many sentences."""
        return len(self.tokens)

    def where(self, sentence: int, word: int) -> str:
        """The place of a word, for messages."""
        if self.lines:
            return f"{self.name}:{self.lines[sentence][word]}"
        number = self.numbers[sentence] if self.numbers else sentence + 1
        return f"{self.name}: sentence {number}, word {word + 1}"

    def take(self, rows: Sequence[int] | np.ndarray) -> "TaggedPart":
        """The part that has only these sentences."""
        return self._replace(
            tokens=[self.tokens[i] for i in rows],
            labels=[self.labels[i] for i in rows],
            lines=[self.lines[i] for i in rows] if self.lines else None,
            numbers=[self.numbers[i] for i in rows] if self.numbers else None,
        )


def read_tagged_file(path: str, columns: tuple[str, ...], token_field: str = "", label_field: str = "") -> TaggedPart:
    """Reads a CoNLL column file with labels; errors as `read_column_file`."""
    sentences = read_column_file(path, columns=columns, token_field=token_field, label_field=label_field)
    assert sentences.labels is not None, "asked for labels"
    notes = (f"{path}: {sentences.note}",) if sentences.note else ()
    return TaggedPart(path, sentences.tokens, sentences.labels, lines=sentences.lines, notes=notes)


@once
def read_tagged_split(
    dataset: str, split: str, data_dir: str | None = None, token_field: str = "", label_field: str = ""
) -> TaggedPart:
    """Reads a split of a TFDS dataset that has a sequence of words and a sequence of labels a row.

    Labels are ClassLabels, or texts or integers where they are named. A negative ClassLabel is a hidden one, and so is
    the text "None", which TFDS writes for what a CoNLL-U file leaves open; sentences whose labels are all hidden, or
    without words, are left out.

    Raises:
      UserError: as `open_split`; no field or several fit (names the candidates); a sentence whose words and labels
        differ in number (names the sentence); text that is not UTF-8.
    """
    source = open_split(dataset, split, data_dir)
    features = flat_features(source.dataset_info.features)
    sequences = find_sequence_fields(features)
    label_field = _label_field(dataset, features, sequences, label_field)
    token_field = _token_field(dataset, features, sequences, token_field, label_field)
    name, examples = f"{dataset} {split}", read_examples(source)
    class_names = class_names_of(sequences[label_field].feature)
    words, values = field_values(examples, token_field), field_values(examples, label_field)
    tokens, labels, numbers = [], [], []
    for number, (row, row_values) in enumerate(zip(words, values, strict=True), start=1):
        if len(row) != len(row_values):
            raise UserError(
                f"{name}: sentence {number} has {len(row)} {token_field} but {len(row_values)} {label_field};"
                " every word needs one label."
            )
        row_labels = _names(row_values, class_names, name, number)
        if any(label != UNLABELLED for label in row_labels):
            tokens.append(_decoded(row, name, number))
            labels.append(row_labels)
            numbers.append(number)
    num_empty = sum(len(row) == 0 for row in words)
    return TaggedPart(name, tokens, labels, class_names or None, numbers=numbers, num_empty=num_empty)


def _token_field(
    dataset: str, features: dict[str, Any], sequences: dict[str, Any], given: str, label_field: str
) -> str:
    candidates = [name for name, field in sequences.items() if field.kind == "S" and name != label_field]
    usual = [name for name in _TOKEN_FIELDS if name in candidates]
    return pick_field(given, candidates if given else usual[:1] or candidates, "token", dataset, features)


def _label_field(dataset: str, features: dict[str, Any], sequences: dict[str, Any], given: str) -> str:
    if given:
        named = [name for name, field in sequences.items() if field.kind in "Siub" and name not in _TOKEN_FIELDS]
        return pick_field(given, named, "label", dataset)
    classes = [name for name, field in sequences.items() if class_names_of(field.feature)]
    texts = [name for name, field in sequences.items() if field.kind in "Siub" and name not in _TOKEN_FIELDS]
    return pick_field("", classes or texts, "label", dataset, features)


def _names(values: Iterable[Any], class_names: tuple[str, ...], name: str, number: int) -> list[str]:
    if class_names:
        return [class_names[value] if value >= 0 else UNLABELLED for value in values]
    values = list(values)
    if not (values and isinstance(values[0], bytes)):
        return [str(value) for value in values]
    return [UNLABELLED if label == _MISSING else label for label in _decoded(values, name, number)]


def _decoded(values: Iterable[bytes], name: str, number: int) -> list[str]:
    try:
        return [nfc(value.decode("utf-8")) for value in values]
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: a word or label of sentence {number} is not UTF-8.") from error
