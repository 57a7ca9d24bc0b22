"""Rows of JSON lines, and what text in them must be."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from rnn_jax.data.lines import read_lines
from rnn_jax.errors import UserError

JSON_SUFFIXES = (".jsonl", ".ndjson")


def read_json_lines(stream: Iterable[bytes], path: str) -> Iterator[tuple[int, Any]]:
    """The number and the value of each line that is not blank.

    Raises:
      UserError: a line is not UTF-8, or not JSON (file:line).
    """
    for number, line in enumerate(read_lines(stream, path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}:{number}: not JSON: {error}.") from error
        yield number, row


def is_unicode(text: str) -> bool:
    r"""False where JSON has smuggled in half a surrogate pair ("\ud83d"), which no tokenizer takes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
