"""Sentences with a label for each word, from any TFDS dataset whose features fit or from the user's column files."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rnn_jax.data.labelled import listed_classes
from rnn_jax.data.parts import is_file, read_parts
from rnn_jax.data.tagged import TaggedPart, read_tagged_file, read_tagged_split
from rnn_jax.data.tagging_config import TaggedTextConfig
from rnn_jax.errors import UserError
from rnn_jax.metrics.tagging import UNLABELLED
from rnn_jax.tagging.spans import detect_scheme, legal_transitions, scheme_labels, spans_of


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

    Raises:
      UserError: as `read_parts`, `pick_field` and `read_column_file`; a label that training doesn't have (names the
        place); one label only; labels that are no spans of the scheme asked for.
    """
    parts = read_parts(config, lambda path: _read_file(config, path), lambda split: _read_split(config, split))
    label_names, scheme = _labels(config, parts.train)
    train, validation = parts.train_and_validation(config.validation_fraction, seed)
    as_read = [part for part in (parts.train, parts.validation, parts.test) if part is not None]
    return TaggingData(
        label_names,
        scheme,
        _checked(config, train, label_names),
        _checked(config, validation, label_names),
        _checked(config, parts.test, label_names) if parts.test else None,
        notes=(*_left_out_notes(config, as_read), *_damage_notes(config, parts.train, scheme), *parts.notes),
    )


def load_tagged_part(config: TaggedTextConfig, name: str, label_names: tuple[str, ...]) -> Sentences:
    """Reads one split of the config's dataset, or one file, with the labels of a trained model.

    Raises:
      UserError: as `load_tagging`; nothing has a label.
    """
    if config.eval_columns:
        config = dataclasses.replace(config, columns=config.eval_columns)
    part = _read_file(config, name) if is_file(name) else _read_split(config, name)
    if not part.num_examples:
        raise UserError(f"The labels of {part.name} are hidden, so there is nothing to score; choose another split.")
    return _checked(config, part, label_names)


def _read_file(config: TaggedTextConfig, path: str) -> TaggedPart:
    # A file without named columns has no fields: beside a dataset, the flags for them are about the dataset.
    are_named = any(not column.removeprefix("-").isdecimal() for column in config.columns)
    fields = (config.token_field, config.label_field) if are_named or config.train_file else ()
    return read_tagged_file(path, config.columns, *fields)


def _read_split(config: TaggedTextConfig, split: str) -> TaggedPart:
    return read_tagged_split(config.dataset, split, config.data_dir, config.token_field, config.label_field)


def _labels(config: TaggedTextConfig, train: TaggedPart) -> tuple[tuple[str, ...], str]:
    """The labels, without the ignored ones, and the scheme in which they spell spans.

    They are those that the source names, else those that occur, in alphabetic order. In a scheme, what is missing of
    it (an I-PER where there is a B-PER) comes after them, and classes that are no span tags and never occur go.
    """
    names = train.class_names or tuple(sorted({label for row in train.labels for label in row}))
    names = tuple(name for name in names if not _is_ignored(config, name))
    if len(names) < 2:
        listed = names[0] if names else "none that counts"
        raise UserError(f"{train.name}: the only label is {listed}; a tagger needs at least two.")
    num_words = sum(map(len, train.tokens))
    if not train.class_names and num_words >= 50 and len(names) > num_words / 2:
        raise UserError(
            f"{train.name}: {len(names)} different labels for {num_words} words are no classes; name another column"
            " or field with --columns or --label_field."
        )
    rows = [_counted(config, row) for row in train.labels]
    scheme = detect_scheme(rows) if config.span_scheme == "auto" else config.span_scheme.replace("none", "")
    if not scheme:
        return names, ""
    occurring = {label for row in rows for label in row}
    names = tuple(name for name in names if name in occurring or name == "O" or name[:2] in ("B-", "I-", "E-", "S-"))
    if config.span_scheme == "auto" and any(name[:2] in ("E-", "S-") for name in names):
        scheme = "bioes"
    try:
        legal_transitions(names, scheme)
    except UserError as error:
        raise UserError(f"{train.name}: the labels are no spans in --span_scheme={scheme}: {error}") from error
    return tuple(dict.fromkeys([*names, *scheme_labels(names, scheme)])), scheme


def _counted(config: TaggedTextConfig, row: Sequence[str]) -> list[str]:
    """The labels of a sentence that are not ignored: a span goes on behind an ignored word."""
    return [label for label in row if not _is_ignored(config, label)]


def _is_ignored(config: TaggedTextConfig, label: str) -> bool:
    return label == UNLABELLED or label in config.ignore_label


def _checked(config: TaggedTextConfig, part: TaggedPart, label_names: tuple[str, ...]) -> Sentences:
    known, tokens, labels = {*label_names, *config.ignore_label, UNLABELLED}, [], []
    for i, row in enumerate(part.labels):
        for j, label in enumerate(row):
            if label not in known:
                raise UserError(
                    f"{part.where(i, j)}: the label {label!r} of {part.tokens[i][j]!r} does not occur in the training"
                    f" data, which has {listed_classes(label_names)}."
                    f" --ignore_label={','.join([*config.ignore_label, label])} leaves such words out."
                )
        skipped = [_is_ignored(config, label) for label in row]
        if config.ignored_tokens == "drop":
            tokens.append(_without(part.tokens[i], skipped))
            labels.append(_without(row, skipped))
        else:
            tokens.append(part.tokens[i])
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

    fate = "dropped" if config.ignored_tokens == "drop" else "kept as context"
    notes = {
        "Sentences without words are left out": listed(lambda part: part.num_empty),
        f"Words labelled {' or '.join(config.ignore_label)} are in no loss and no metric, and {fate}": num_words(
            lambda label: label in config.ignore_label
        ),
        f"Words without a label are in no loss and no metric, and {fate}": num_words(lambda label: label == UNLABELLED),
    }
    return [f"{what}: {where}." for what, where in notes.items() if where]


def _damage_notes(config: TaggedTextConfig, train: TaggedPart, scheme: str) -> list[str]:
    if not scheme:
        return []
    rows = [_counted(config, row) for row in train.labels]
    strict, lenient = (sum(len(spans_of(row, scheme, strict=strict)) for row in rows) for strict in (True, False))
    if strict == lenient:
        return []
    return [
        f"{train.name}: {strict:,} spans are spelt by the letter of {scheme}, {lenient:,} as conlleval reads them; the"
        " model learns the latter, f1 counts the former. --span_scheme can name another scheme."
    ]
