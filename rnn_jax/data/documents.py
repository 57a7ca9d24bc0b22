"""Plain texts, with nothing to say about them: splits of TFDS datasets, text files and JSON lines."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from rnn_jax.data.compressed import ending, open_bytes
from rnn_jax.data.datasets import open_split, read_examples
from rnn_jax.data.fields import decode_texts, field_values, find_text_fields, flat_features, pick_field
from rnn_jax.data.json_lines import JSON_SUFFIXES, is_unicode, read_json_lines
from rnn_jax.data.language_config import LanguageConfig
from rnn_jax.data.lines import read_lines
from rnn_jax.data.normal_form import nfc
from rnn_jax.data.once import once
from rnn_jax.data.parts import is_file, read_parts
from rnn_jax.errors import UserError

_TEXT = "text"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class Documents(NamedTuple):
    """Texts, and where they came from. nats: −log of their probability under the source, where that is known."""

    name: str
    texts: list[str]
    nats: float | None = None

    @property
    def num_examples(self) -> int:
        """How many texts."""
        return len(self.texts)

    def take(self, rows: Sequence[int] | np.ndarray) -> "Documents":
        """The part that has only these texts."""
        return Documents(self.name, [self.texts[row] for row in rows])


class LanguageData(NamedTuple):
    """The parts of a dataset. `notes` are worth telling the user."""

    train: Documents
    validation: Documents
    test: Documents | None
    notes: tuple[str, ...]


def load_documents(config: LanguageConfig, *, seed: int = 0) -> LanguageData:
    """Reads all parts. What a dataset lacks to validate with is cut from its training texts: some of them, drawn by
    `seed`, or the end of the only one.

    Raises:
      UserError: as `read_parts` and `read_part`; no text to train on, or nothing that can be cut off.
    """
    parts = read_parts(config, lambda path: _file_part(config, path), lambda split: _split_part(config, split))
    if parts.validation is None and parts.train.num_examples == 1:
        train, validation = _cut_end(parts.train, config.validation_fraction)
    else:
        train, validation = parts.train_and_validation(config.validation_fraction, seed)
    return LanguageData(train, validation, parts.test, parts.notes)


def read_part(config: LanguageConfig, name: str) -> Documents:
    """A file, or a split of the config's dataset, as documents.

    Raises:
      UserError: as `open_split`; no such field; a file that cannot be read, is no text (file:line), or empty.
    """
    return _file_part(config, name) if is_file(name) else _split_part(config, name)


@once
def _file_part(config: LanguageConfig, path: str) -> Documents:
    return _divided(_read_file(config, path), config.documents)


@once
def _split_part(config: LanguageConfig, split: str) -> Documents:
    return _divided(_read_split(config, split), config.documents)


def _divided(part: Documents, documents: str) -> Documents:
    """Whole texts, lines or paragraphs; the latter two without those that are white space."""
    if documents != "texts":
        apart = r"\n" if documents == "lines" else r"\n\s*\n"
        pieces = (piece.strip("\n") for text in part.texts for piece in re.split(apart, text))
        part = Documents(part.name, [piece for piece in pieces if piece.strip()])
    if not any(map(str.strip, part.texts)):
        raise UserError(f"{part.name}: there is no text in it.")
    return part


def _read_split(config: LanguageConfig, split: str) -> Documents:
    source = open_split(config.dataset, split, config.data_dir)
    features = flat_features(source.dataset_info.features)
    fields = find_text_fields(features)
    given = config.text_field or (_TEXT if _TEXT in fields else "")
    field = pick_field(given, fields, "text", config.dataset, features)
    name = f"{config.dataset} {split}"
    texts = decode_texts(field_values(read_examples(source), field), name, field)
    nats = dict((source.dataset_info.metadata or {}).get("nats", {}))
    return Documents(name, [_unix(text) for text in texts], nats.get(split))


def _read_file(config: LanguageConfig, path: str) -> Documents:
    is_json = _is_json(path)
    files = filter(None, (config.train_file, config.validation_file, config.test_file))
    if config.text_field and config.train_file and not any(map(_is_json, (path, *files))):
        raise UserError(f"--text_field={config.text_field}: {path} is a text file, which has no fields.")
    with open_bytes(path) as stream:
        if is_json:
            return Documents(path, list(_json_texts(stream, path, nfc(config.text_field) or _TEXT)))
        return Documents(path, ["\n".join(read_lines(_whole(stream, path), path))])


def _is_json(path: str) -> bool:
    return ending(path) in JSON_SUFFIXES


def _whole(stream: Iterable[bytes], path: str) -> Iterator[bytes]:
    """The lines, and after a line end an empty one: joined again by line ends, they are the file."""
    line = b"\n"
    for number, line in enumerate(stream, start=1):
        if b"\0" in line and not line.startswith(_UTF_16):  # which `read_lines` knows by name
            raise UserError(f"{path}:{number}: no text, but binary: give a text or JSONL file, also .gz.")
        yield line
    if line.endswith(b"\n"):
        yield b""


def _json_texts(stream: Iterable[bytes], path: str, field: str) -> Iterator[str]:
    for number, row in read_json_lines(stream, path):
        if not isinstance(row, dict) or field not in row:
            have = ", ".join(map(repr, row)) or "none" if isinstance(row, dict) else "none"
            raise UserError(f"{path}:{number}: no field {field!r}; it has {have}. See --text_field.")
        if not isinstance(row[field], str) or not is_unicode(row[field]):
            raise UserError(f"{path}:{number}: the field {field!r} must be a Unicode string. See --text_field.")
        yield _unix(row[field])


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n")


def _cut_end(train: Documents, fraction: float) -> tuple[Documents, Documents]:
    """(the text without its end, the end): cut at a line end if there is one near, else at a space, else anywhere."""
    (text,) = train.texts
    at = round((1 - fraction) * len(text))
    near = len(text) - at  # no further back than makes what is cut off twice as long
    for mark in ("\n", " "):
        place = text.rfind(mark, max(at - near, at // 2), at) + 1
        if place:
            at = place
            break
    if not (fraction and text[:at].strip() and text[at:].strip()):
        raise UserError(
            f"{train.name}: a text of {len(text)} characters cannot be divided into training and validation data by"
            f" --validation_fraction={fraction}: give a --validation_file, or a longer text."
        )
    return Documents(train.name, [text[:at]]), Documents(f"the end of {train.name}", [text[at:]])
