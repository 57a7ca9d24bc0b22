"""One split, one TSV file or two parallel files of text pairs, whatever the source calls its fields."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rnn_jax.data.compressed import ending
from rnn_jax.data.datasets import open_split, read_examples
from rnn_jax.data.fields import decode_texts, field_values, find_text_fields, flat_features, pick_field
from rnn_jax.data.lines import data_lines
from rnn_jax.data.normal_form import nfc
from rnn_jax.data.once import once
from rnn_jax.errors import UserError

TABLE_SUFFIXES = (".tsv", ".txt")


class TextPairs(NamedTuple):
    """Sources, their targets, and where they came from. Texts are in Unicode's form NFC, as models write them."""

    name: str
    sources: list[str]
    targets: list[str]

    @property
    def num_examples(self) -> int:
        """How many pairs; none where the targets are hidden, that is, all empty."""
        return len(self.sources) if any(self.targets) else 0

    def take(self, rows: Sequence[int] | np.ndarray) -> "TextPairs":
        """The part that has only these rows."""
        return TextPairs(self.name, [self.sources[i] for i in rows], [self.targets[i] for i in rows])


def read_pairs_file(name: str, source_field: str = "", target_field: str = "") -> TextPairs:
    """Reads "a.en,a.de" (line i of one translates line i of the other), or a table with tabs between its columns.

    In a table the fields are column numbers from 0 (default: the two that there are, no header line), or names in a
    header line.

    Raises:
      UserError: a file that cannot be read, unequal numbers of lines (says them), more than two columns without fields,
        a row without the columns (file:line), a header without the names, text that is not UTF-8, or no pairs.
    """
    if "," in name:
        pairs = _read_parallel(name)
    elif ending(name) in TABLE_SUFFIXES:
        pairs = _read_table(name, source_field, target_field)
    else:
        raise UserError(
            f"{name}: a file of pairs ends in {' or '.join(TABLE_SUFFIXES)} (columns between tabs); two parallel files"
            " are given with a comma, as in train.en,train.de."
        )
    if not pairs.sources:
        raise UserError(f"{name}: no pairs. A data file has at least one source with a target.")
    return pairs


def _read_parallel(name: str) -> TextPairs:
    paths = name.split(",")
    if len(paths) != 2 or not all(paths):
        raise UserError(f"{name}: parallel files are two, source and target, as in train.en,train.de.")
    sources, targets = (data_lines(path) for path in paths)
    if len(sources) != len(targets):
        raise UserError(
            f"{paths[0]} has {len(sources):,} lines and {paths[1]} {len(targets):,}: line i of one must translate line"
            " i of the other."
        )
    return TextPairs(name, list(map(str.strip, sources)), list(map(str.strip, targets)))


def _read_table(path: str, source_field: str, target_field: str) -> TextPairs:
    lines = data_lines(path)
    fields = (nfc(source_field) or "0", nfc(target_field) or "1")
    if fields[0] == fields[1]:
        raise UserError(
            f"{path}: source and target are both column {fields[0]}; --source_field and --target_field name two."
        )
    width = lines[0].count("\t") + 1 if lines else 0
    if width > 2 and not source_field and not target_field:
        raise UserError(
            f"{path} has {width} columns: say which hold source and target by --source_field and --target_field,"
            " numbers from 0 or names in a header line."
        )
    columns, first = [int(field) for field in fields if field.isdecimal()], 1
    if len(columns) == 1:
        raise UserError(f"--source_field={fields[0]} and --target_field={fields[1]}: two numbers, or two names.")
    if not columns:
        header = [column.strip() for column in lines[0].split("\t")] if lines else []
        for field in fields:
            if field not in header:
                raise UserError(f"{path}: no column {field!r} in the header, which has {', '.join(header) or 'none'}.")
        columns, lines, first = [header.index(field) for field in fields], lines[1:], 2
    sources, targets = [], []
    for number, line in enumerate(lines, start=first):
        cells = line.split("\t")
        if not line.strip():
            continue
        if len(cells) <= max(columns):
            raise UserError(
                f"{path}:{number}: {len(cells)} columns; source and target are columns {columns[0]} and {columns[1]}"
                " (counted from 0, tabs between them)."
            )
        sources.append(cells[columns[0]].strip())
        targets.append(cells[columns[1]].strip())
    return TextPairs(path, sources, targets)


@once
def read_pairs_split(
    dataset: str, split: str, data_dir: str | None = None, source_field: str = "", target_field: str = ""
) -> TextPairs:
    """Reads a split of a TFDS dataset that has two texts a row.

    Unnamed fields are the dataset's supervised keys; of two text fields, naming one names the other as well.

    Raises:
      UserError: as `open_split`; fields that cannot be told (names the candidates); text that is not UTF-8.
    """
    source = open_split(dataset, split, data_dir)
    info = source.dataset_info
    features = flat_features(info.features)
    fields = _pair_of_fields(dataset, features, info.supervised_keys, source_field, target_field)
    examples, name = read_examples(source), f"{dataset} {split}"
    sources, targets = (decode_texts(field_values(examples, field), name, field) for field in fields)
    return TextPairs(name, list(map(str.strip, sources)), list(map(str.strip, targets)))


def _pair_of_fields(
    dataset: str, features: dict[str, Any], keys: Any, source_field: str, target_field: str
) -> tuple[str, str]:
    texts = find_text_fields(features)
    if not source_field and not target_field and isinstance(keys, tuple) and len({*keys[:2]} & {*texts}) == 2:
        return keys[0], keys[1]
    source = pick_field(source_field or _the_other(texts, target_field), texts, "source", dataset, features)
    target = pick_field(target_field or _the_other(texts, source_field), texts, "target", dataset, features)
    if source == target:
        raise UserError(
            f"{dataset}: source and target are both {source!r}; --source_field and --target_field name two of its text"
            f" fields: {', '.join(texts)}."
        )
    return source, target


def _the_other(texts: list[str], field: str) -> str:
    """Of two fields, the one that is not `field`."""
    others = [text for text in texts if text != field]
    return others[0] if field and len(texts) == 2 and len(others) == 1 else ""
