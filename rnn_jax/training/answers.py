"""--mode=predict: lines of text in, a JSON line out for each, in order and in constant memory."""

import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rnn_jax.data.lines import read_lines
from rnn_jax.errors import UserError

LINES_AT_ONCE = 1024


def answer_lines(predict: Callable[[list[str]], Iterable[Mapping[str, Any]]], path: str = "") -> None:
    """Reads standard input (or the file) and prints one JSON object a line; on a terminal, as soon as it is typed.

    Raises:
      UserError: no such file, nothing to read, or a line that is not UTF-8 (names the line).
    """
    for chunk in _chunks(_lines(path), 1 if not path and sys.stdin.isatty() else LINES_AT_ONCE):
        for answer in predict(chunk):
            sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
        sys.stdout.flush()


def _lines(path: str) -> Iterator[str]:
    if not path:
        if sys.stdin.isatty():
            print("One text a line, please; Ctrl-D ends.", file=sys.stderr)
        yield from _not_empty(read_lines(sys.stdin.buffer), "standard input")
        return
    try:
        with Path(path).expanduser().open("rb") as file:
            yield from _not_empty(read_lines(file, path), path)
    except OSError as error:
        raise UserError(
            f"--input={path}: {error.strerror}. Give a readable text file, or use standard input."
        ) from error


def _not_empty(lines: Iterator[str], name: str) -> Iterator[str]:
    try:
        first = next(lines)
    except StopIteration:
        raise UserError(f"Nothing on {name}: --mode=predict reads one text a line, as in `echo text | …`.") from None
    return itertools.chain([first], lines)


def _chunks(lines: Iterator[str], size: int) -> Iterator[list[str]]:
    while chunk := list(itertools.islice(lines, size)):
        yield chunk
