"""Dates and times as people write them, one to three in a note, and the same in ISO 8601.

A note is a template with points in time A to C; "{A}" is one written out in any format, and the target lists them in
the order of the template's right side ("ends on {B} , having begun on {A}" → A/B), so that the order of the source
need not be that of the target. Numbers that are no dates (of rooms, invoices, pages) stand in between.
"""

import datetime
import functools
from collections.abc import Iterator
from random import Random

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_UNITS = (
    *("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ORDINALS = (
    *("", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh"),
    *("twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth"),
    *("twentieth", "twenty-first", "twenty-second", "twenty-third", "twenty-fourth", "twenty-fifth", "twenty-sixth"),
    *("twenty-seventh", "twenty-eighth", "twenty-ninth", "thirtieth", "thirty-first"),
)

# Left: the note; right: what ISO 8601 says. A slash joins the ends of a period, as the standard has it.
NOTES: tuple[tuple[str, str], ...] = (
    ("{A}", "A"),
    ("{opening} {A}", "A"),
    ("{opening} {A} {closing}", "A"),
    ("{opening} {A} and {B}", "A B"),
    ("{opening} {A} or, failing that, {B}", "A B"),
    ("{opening} {B}, not {A}, as we wrote", "B"),
    ("{opening} {B} instead of {A}", "B"),
    ("from {A} to {B}", "A/B"),
    ("{opening} {A}, {aside}, until {B}", "A/B"),
    ("the exhibition closes on {B} and opens on {A}", "A/B"),
    ("it ended on {B}, {aside}, having begun on {A}", "A/B"),
    ("between {A} and {B} {closing}", "A/B"),
    ("{opening} {A}, {aside}, then {B}, and last {C}", "A B C"),
)
FILLERS: dict[str, tuple[str, ...]] = {
    "opening": (
        *("the meeting is on", "please come on", "born on", "invoice {n} is due on", "room {n} is free on"),
        *("signed on", "the letter of page {n} is dated", "delivery no. {n} comes on", "we shall meet on", "on"),
        *("flight {n} leaves on", "the office is closed on", "she arrives on", "he wrote {n} lines on"),
    ),
    "closing": (
        *("in room {n}", "at platform {n}", "as agreed", "with {n} guests", "at the latest", "in the town hall"),
        *("for {n} euros", "(see page {n})", "as always", "unless it rains"),
    ),
    "aside": (
        *("as agreed", "with {n} guests", "as far as we know", "says page {n}", "if all goes well"),
        *("according to invoice {n}", "as the papers wrote", "after a long delay"),
    ),
}


def _choice(choices: tuple, rng: Random):
    # random() is the one method whose values Python promises to keep, so the notes are the same everywhere.
    return choices[int(rng.random() * len(choices))]


@functools.cache
def in_words(number: int) -> str:
    """0 < number < 100 in words."""
    if number < len(_UNITS):
        return _UNITS[number]
    return _TENS[number // 10] + (f"-{_UNITS[number % 10]}" if number % 10 else "")


@functools.cache
def year_in_words(year: int) -> str:
    """1987 → nineteen eighty-seven, 1905 → nineteen oh five, 2000 → two thousand, 2012 → twenty twelve."""
    century, rest = divmod(year, 100)
    if year == 2000:
        return "two thousand"
    if not rest:
        return f"{in_words(century)} hundred"
    return f"{in_words(century)} {in_words(rest) if rest > 9 else f'oh {in_words(rest)}'}"


def write_date(date: datetime.date, rng: Random) -> str:
    """A date in one of the formats in use; numbers alone are day.month.year, month/day/year or year-month-day."""
    day, month, year = date.day, MONTHS[date.month - 1], date.year
    short = f"{year % 100:02d}" if 1930 <= year <= 2029 else str(year)  # two figures mean the years 1930 to 2029
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(day % 10 if day not in (11, 12, 13) else 0, "th")
    name = month if month == "May" else _choice((month, month, month[:3], f"{month[:3]}."), rng)
    written = _choice(
        (
            f"{day} {name} {year}",
            f"{name} {day}, {year}",
            f"{day}{suffix} of {month} {year}",
            f"{month} {day}{suffix}, {year}",
            f"the {_ORDINALS[day]} of {month}, {year_in_words(year)}",
            f"{month} the {_ORDINALS[day]}, {year}",
            f"{day}.{date.month}.{year}",
            f"{day:02d}.{date.month:02d}.{short}",
            f"{date.month}/{day}/{year}",
            f"{date.month:02d}/{day:02d}/{short}",
            f"{year}-{date.month:02d}-{day:02d}",
            f"{year}, {name} {day}",
        ),
        rng,
    )
    return f"{WEEKDAYS[date.weekday()]}, {written}" if rng.random() < 0.2 else written


def write_time(hour: int, minute: int, rng: Random) -> str:
    """A time of day, its minute a multiple of five."""
    half = "in the morning" if hour < 12 else "in the afternoon" if hour < 18 else "in the evening"
    spoken = in_words((hour - 1) % 12 + 1)
    after = in_words(hour % 12 + 1)
    figures = (f"{hour:02d}:{minute:02d}", f"{(hour - 1) % 12 + 1}:{minute:02d} {'am' if hour < 12 else 'pm'}")
    words = {
        0: f"{spoken} o'clock {half}",
        15: f"a quarter past {spoken} {half}",
        30: f"half past {spoken} {half}",
        45: f"a quarter to {after} {half}",
    }
    others = f"{in_words(minute)} past {spoken} {half}" if minute < 30 else figures[0]
    return _choice((*figures, words.get(minute, others)), rng)


def write_note(rng: Random) -> tuple[str, str]:
    """(a note of 1 to about 50 words, its dates in ISO 8601)."""
    note, pattern = _choice(NOTES, rng)
    points = sorted((1899 + 200 * rng.random()) * 365.2425 + 1 for _ in "ABC")  # 1900 to 2099
    iso, timed = {}, rng.random() < 0.3
    for name, point in zip("ABC", points, strict=True):
        date = datetime.date.fromordinal(int(point))
        written, iso[name] = write_date(date, rng), date.isoformat()
        if timed:
            hour, minute = 6 + int(rng.random() * 16), 5 * int(rng.random() * 12)
            written += f", {write_time(hour, minute, rng)}"
            iso[name] += f"T{hour:02d}:{minute:02d}"
        note = note.replace(f"{{{name}}}", written)
    for slot, choices in FILLERS.items():
        while f"{{{slot}}}" in note:
            note = note.replace(f"{{{slot}}}", _choice(choices, rng), 1)
    while "{n}" in note:
        note = note.replace("{n}", str(1 + int(rng.random() * 400)), 1)
    return note, "".join(iso.get(character, character) for character in pattern)


def unique_notes(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """`count` different notes with their dates, a pure function of the seed."""
    rng = Random(seed)
    seen: set[str] = set()
    while len(seen) < count:
        note, iso = write_note(rng)
        if note not in seen:
            seen.add(note)
            yield note, iso
