"""--mode=predict: lines of text in, a JSON line out for each, in order and in constant memory."""

import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from rnn_jax.data.lines import open_lines

LINES_AT_ONCE, CHARACTERS_AT_ONCE = 1024, 4_000_000


def answer_lines(predict: Callable[[list[str]], Iterable[Mapping[str, Any]]], path: str = "") -> None:
    """Reads standard input (or the file) and prints one JSON object a line; on a terminal, as soon as it is typed.

    Raises:
      UserError: no such file, nothing to read, or a line that is not UTF-8 (names the line).
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # JSON lines are UTF-8, whatever the terminal's locale
    with open_lines(path) as lines:
        interactive = not path and sys.stdin.isatty()
        for chunk in _chunks(lines, 1 if interactive else LINES_AT_ONCE):
            for answer in predict(chunk):
                sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
            sys.stdout.flush()


def _chunks(lines: Iterator[str], size: int) -> Iterator[list[str]]:
    """Up to `size` lines at a time, fewer where they are long."""
    chunk: list[str] = []
    characters = 0
    for line in lines:
        chunk.append(line)
        characters += len(line)
        if len(chunk) == size or characters >= CHARACTERS_AT_ONCE:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk
