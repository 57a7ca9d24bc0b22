"""--mode=predict: lines of text in, a JSON line out for each, in order and in constant memory."""

import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from rnn_jax.data.lines import open_lines
from rnn_jax.training.files import to_json_number

LINES_AT_ONCE, CHARACTERS_AT_ONCE = 1024, 4_000_000


def json_line(answer: Mapping[str, Any]) -> str:
    """One JSON object on a line of its own; a NaN value, which JSON doesn't know, becomes null.

    Raises:
      ValueError: NaN or infinity deeper inside.
    """
    values = {name: to_json_number(value) for name, value in answer.items()}
    return json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n"


def answer_lines(
    predict: Callable[[list[str]], Iterable[Any]], path: str = "", *, render: Callable[[Any], str] = json_line
) -> None:
    """Reads standard input (or the file) and prints an answer to each line; on a terminal, as soon as it is typed.

    Raises:
      UserError: no such file, nothing to read, or a line that is not UTF-8 (names the line).
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # JSON lines are UTF-8, whatever the terminal's locale
    with open_lines(path) as lines:
        interactive = not path and sys.stdin.isatty()
        for chunk in _chunks(lines, 1 if interactive else LINES_AT_ONCE):
            for answer in predict(chunk):
                sys.stdout.write(render(answer))
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
