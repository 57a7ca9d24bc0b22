"""Pieces of the reports in Markdown."""

from collections.abc import Iterator, Sequence

import numpy as np


def table(header: Sequence[str], rows: Iterator[tuple] | Sequence[tuple]) -> Iterator[str]:
    """The lines of a table; of each row the first cell is a text, the others are numbers."""
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for first, *numbers in rows:
        yield f"| {first} | {' | '.join(map(number, numbers))} |"


def number(value: float) -> str:
    """Four digits; a dash for what is not known."""
    return f"{value:.4g}" if np.isfinite(value) else "–"


def named(name: str) -> str:
    """A name as it is read, with blanks."""
    return name.replace("_", " ")
