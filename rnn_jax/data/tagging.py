"""Sentences with a label for each word, from any TFDS dataset whose features fit or from the user's column files."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from rnn_jax.data.parts import is_file, read_parts
from rnn_jax.data.tagged import TaggedPart, read_tagged_file, read_tagged_split
from rnn_jax.data.tagging_config import TaggedTextConfig
from rnn_jax.data.tagging_labels import (
    ignored_labels,
    in_one_spelling,
    spelling_notes,
    spelling_of,
    training_labels,
)
from rnn_jax.errors import UserError
from rnn_jax.metrics.tagging import UNLABELLED
from rnn_jax.tagging.spelling import Spelling

_LONG = 500  # words of a sentence that is probably none


class Sentences(NamedTuple):
    """n sentences of words; each word has the name of its label, `UNLABELLED` where it counts nowhere."""

    tokens: list[list[str]]
    labels: list[list[str]]


@dataclasses.dataclass(frozen=True)
class TaggingData:
    """The parts of a dataset; `test` is None where it has none with labels. `notes` are worth telling the user.

    `scheme` says how the labels spell spans, "" for labels that don't.
    """

    label_names: tuple[str, ...]
    scheme: str
    train: Sentences
    validation: Sentences
    test: Sentences | None
    notes: tuple[str, ...] = ()


def load_tagging(config: TaggedTextConfig, *, seed: int = 0) -> TaggingData:
    """Reads the training, validation and test parts; `seed` draws a validation part that is cut from train.

    Each part may spell spans in a scheme of its own.

    Raises:
      UserError: as `read_parts`, `pick_field`, `read_column_file` and `training_labels`; a label that training doesn't
        have (names the place).
    """
    parts = read_parts(config, lambda path: _read_file(config, path), lambda split: _read_split(config, split))
    label_names, scheme, spelling = training_labels(config, parts.train)
    as_read = [part for part in (parts.train, parts.validation, parts.test) if part is not None]
    notes = [*_left_out_notes(config, as_read), *(note for part in as_read for note in _whole_notes(part))]

    def prepared(part: TaggedPart, is_train: bool = False) -> TaggedPart:
        own = spelling if is_train else spelling_of(config, part) if scheme else Spelling("")
        notes.extend(spelling_notes(config, part, own, scheme, is_train=is_train))
        return in_one_spelling(config, part, own, label_names, scheme)

    parts = dataclasses.replace(
        parts,
        train=prepared(parts.train, is_train=True),
        validation=prepared(parts.validation) if parts.validation else None,
        test=prepared(parts.test) if parts.test else None,
    )
    if parts.validation is None:
        _require_several(parts.train)
    train, validation = parts.train_and_validation(config.validation_fraction, seed)
    return TaggingData(
        label_names,
        scheme,
        _counting(config, train),
        _counting(config, validation),
        _counting(config, parts.test) if parts.test else None,
        notes=(*notes, *parts.notes),
    )


def load_tagged_part(config: TaggedTextConfig, name: str, label_names: tuple[str, ...], scheme: str) -> Sentences:
    """Reads one split of the config's dataset, or one file, with the labels of a trained model, in its scheme.

    Raises:
      UserError: as `load_tagging`; nothing has a label.
    """
    if config.eval_columns:
        config = dataclasses.replace(config, columns=config.eval_columns)
    part = _read_file(config, name) if is_file(name) else _read_split(config, name)
    if not part.num_examples:
        raise UserError(f"The labels of {part.name} are hidden, so there is nothing to score; choose another split.")
    spelling = spelling_of(config, part) if scheme else Spelling("")
    return _counting(config, in_one_spelling(config, part, spelling, label_names, scheme))


def _read_file(config: TaggedTextConfig, path: str) -> TaggedPart:
    # A file without named columns has no fields: beside a dataset, the flags for them are about the dataset.
    are_named = any(not column.removeprefix("-").isdecimal() for column in config.columns)
    fields = (config.token_field, config.label_field) if are_named or config.train_file else ()
    return read_tagged_file(path, config.columns, *fields)


def _read_split(config: TaggedTextConfig, split: str) -> TaggedPart:
    return read_tagged_split(config.dataset, split, config.data_dir, config.token_field, config.label_field)


def _whole_notes(part: TaggedPart) -> Iterator[str]:
    yield from part.notes
    if part.lines and part.num_examples == 1 and len(part.tokens[0]) >= _LONG:
        yield f"{part.name} has no blank line: its {len(part.tokens[0]):,} words are one sentence."


def _require_several(train: TaggedPart) -> None:
    if train.num_examples == 1 and train.lines:
        raise UserError(
            f"{train.name}: all {len(train.tokens[0]):,} words are one sentence, as there is no blank line between"
            " them; so there is none to validate with. Put a blank line after each sentence, or give a"
            " --validation_file."
        )


def _counting(config: TaggedTextConfig, part: TaggedPart) -> Sentences:
    """The part without ignored words, or without their labels.

    Raises:
      UserError: no word is left that has a label.
    """
    ignored = ignored_labels(config)
    tokens, labels = [], []
    for words, row in zip(part.tokens, part.labels, strict=True):
        skipped = [label in ignored for label in row]
        if config.ignored_tokens == "drop":
            tokens.append(_without(words, skipped))
            labels.append(_without(row, skipped))
        else:
            tokens.append(words)
            labels.append([UNLABELLED if skip else label for label, skip in zip(row, skipped, strict=True)])
    if not any(label != UNLABELLED for row in labels for label in row):
        raise UserError(
            f"{part.name}: no word has a label that counts (--ignore_label={','.join(config.ignore_label)})."
        )
    filled = [i for i, row in enumerate(tokens) if row]
    return Sentences([tokens[i] for i in filled], [labels[i] for i in filled])


def _without(values: Sequence[str], left_out: Sequence[bool]) -> list[str]:
    return [value for value, skip in zip(values, left_out, strict=True) if not skip]


def _left_out_notes(config: TaggedTextConfig, parts: Sequence[TaggedPart]) -> list[str]:
    def listed(count_of: Callable[[TaggedPart], int]) -> str:
        counts = [(count_of(part), part.name) for part in parts]
        return ", ".join(f"{count:,} in {name}" for count, name in counts if count)

    def num_words(is_meant: Callable[[str], bool]) -> str:
        return listed(lambda part: sum(is_meant(label) for row in part.labels for label in row))

    ignored = ignored_labels(config) - {UNLABELLED}
    fate = "dropped" if config.ignored_tokens == "drop" else "kept as context"
    notes = {
        "Sentences without words are left out": listed(lambda part: part.num_empty),
        f"Words labelled {' or '.join(config.ignore_label)} are in no loss and no metric, and {fate}": num_words(
            lambda label: label in ignored
        ),
        f"Words without a label are in no loss and no metric, and {fate}": num_words(lambda label: label == UNLABELLED),
    }
    return [f"{what}: {where}." for what, where in notes.items() if where]
