"""--mode=predict: lines in, an answer out for each, in order and in constant memory; or a file in, a table out."""

import csv
import io
import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rnn_jax.data.lines import open_lines
from rnn_jax.files import to_json_number
from rnn_jax.training.task import Trained


def json_line(answer: Mapping[str, Any]) -> str:
    """One JSON object on a line of its own; a NaN value, which JSON doesn't know, becomes null.

    Raises:
      ValueError: NaN or infinity deeper inside.
    """
    values = {name: to_json_number(value) for name, value in answer.items()}
    return json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n"


def predict(trained: Trained, path: str = "") -> None:
    """Answers the file, or standard input, as the task does."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # JSON and CSV are in UTF-8 here, whatever the terminal's locale
    if trained.task.answer_file is None:
        answer_lines(trained, path)
    else:
        print_table(trained.task.answer_file(trained, path or "-"))
    sys.stdout.flush()


def print_table(rows: Iterable[Mapping[str, Any]]) -> None:
    """Prints rows as CSV, below the names of their columns; a number that is not known is an empty field."""
    writer: csv.DictWriter | None = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(sys.stdout, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow({name: "" if value != value else value for name, value in row.items()})
        sys.stdout.flush()  # rows may come as they are read, from what is measured now


def answer_lines(trained: Trained, path: str = "") -> None:
    """Reads standard input (or the file) and prints an answer to each line; on a terminal, as soon as it is typed.

    Raises:
      UserError: no such file, nothing to read, or a line that is not UTF-8 (names the line).
    """
    task = trained.task
    assert task.answer is not None
    with open_lines(path) as lines:
        for answer in task.answer(trained, lines):
            sys.stdout.write(json_line(answer) if task.render is None else task.render(trained.config, answer))
            if lines.one_by_one:
                sys.stdout.flush()
