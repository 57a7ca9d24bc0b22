"""Rows of JSON lines, and what text in them must be."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from rnn_jax.data.lines import read_rows
from rnn_jax.data.normal_form import nfc
from rnn_jax.errors import UserError

JSON_SUFFIXES = (".jsonl", ".ndjson")


def read_json_lines(stream: Iterable[bytes], path: str) -> Iterator[tuple[int, Any]]:
    """The number and the value of each line that is not blank; all texts in it are in NFC.

    Raises:
      UserError: as `read_rows`; a line is not JSON (file:line).
    """
    for number, line in enumerate(read_rows(stream, path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if "\\u" in line:  # "e\\u0301" was in NFC before
                row = json.loads(nfc(json.dumps(row, ensure_ascii=False)))
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
