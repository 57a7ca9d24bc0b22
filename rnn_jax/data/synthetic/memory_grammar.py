"""Long texts whose class is the first colour in them, and in which counting words or pairs of words tells nothing.

A text is a filler, one of the `COLOURS`, then 60 to 120 words. All the other colours stand among these, once each, at
places drawn at random; the rest are `FILLERS`. So every text has the same colours equally often, each behind a filler
or another colour, and only the order says which was first: a reader has to keep a word through about ninety others,
some of which look just like it.
"""

from collections.abc import Iterator
from random import Random

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "brown", "white")
FILLERS = (
    *("river", "hill", "road", "bridge", "garden", "window", "table", "lamp", "stone", "cloud", "letter", "boat"),
    *("walks", "sings", "waits", "turns", "opens", "falls", "slowly", "often", "again", "over", "under", "with"),
)
SHORTEST, LONGEST = 60, 120  # words after the first colour


def write_text(first: int, rng: Random) -> str:
    """A text in which the colour of this number comes first."""
    # random() is the one method whose values Python promises to keep, so the texts are the same everywhere.
    length = SHORTEST + int(rng.random() * (LONGEST - SHORTEST + 1))
    opening, *words = (FILLERS[int(rng.random() * len(FILLERS))] for _ in range(1 + length))
    places = list(range(length))
    for number, colour in enumerate(COLOURS):
        if number != first:
            words[places.pop(int(rng.random() * len(places)))] = colour
    return " ".join([opening, COLOURS[first], *words])


def unique_texts(count: int, seed: int) -> Iterator[tuple[str, int]]:
    """`count` different texts with the number of their first colour, a pure function of the seed."""
    rng = Random(seed)
    seen: set[str] = set()
    while len(seen) < count:
        first = int(rng.random() * len(COLOURS))
        text = write_text(first, rng)
        if text not in seen:
            seen.add(text)
            yield text, first
