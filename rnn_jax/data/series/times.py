"""Times as people write them: which format a column has is guessed from all of it, and said.

| example | what it is |
|---|---|
| 1949-01-31, 1949/01/31 13:05:00.25, 1949-01-31T13:05Z | ISO; with an offset, times become UTC |
| 1949-01, 1949/01 | months |
| 31.01.1949, 31/01/1949 13:05, 01/31/49 1:05 PM | day or month first: decided by the whole column |
| 31 Jan 1949, Jan-49, January 1949 | English names of months |
| 1949Q1, 1949-Q1, Q1 1949 | quarters |
| 1949 | years |
| 19490131 | days |
| 1467331200, 1467331200000, … | seconds, milli-, micro- or nanoseconds since 1970 |
"""

import itertools
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rnn_jax.data.series.frequency import TIME, Times, guess_frequency, positions

_CLOCK = (
    r"(?:[T\s,]+(?P<h>\d{1,2})(?::(?P<mi>\d{2})(?::(?P<s>\d{2})(?:[.,](?P<f>\d{1,9}))?)?)?\s*(?P<ap>[AaPp]\.?[Mm]\.?)?"
    r"\s*(?P<z>Z|UTC|[+-]\d{2}:?\d{2})?)?"
)
_PATTERNS = {
    "ISO": re.compile(r"(?P<y>\d{4})[-/.](?P<m>\d{1,2})(?:[-/.](?P<d>\d{1,2}))?" + _CLOCK),
    "day and month": re.compile(r"(?P<a>\d{1,2})[-/.](?P<b>\d{1,2})[-/.](?P<y>\d{4}|\d{2})" + _CLOCK),
    "named months": re.compile(r"(?:(?P<d>\d{1,2})[-\s.]+)?(?P<n>[A-Za-z]{3,9})[-\s.,]+(?P<y>\d{4}|\d{2})" + _CLOCK),
    "quarters": re.compile(r"(?P<y>\d{4})[-\s]?[Qq](?P<q>[1-4])|[Qq](?P<q2>[1-4])[-\s/]?(?P<y2>\d{4})"),
    "numbers": re.compile(r"\d{4}|\d{8,10}|\d{12,13}|\d{15,16}|\d{18,19}"),
}
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FIRST_YEAR, _LAST_YEAR = 1500, 2500
_PIVOT = 69  # of years with two digits, as in POSIX: 69 is 1969, 68 is 2068
_SINCE_1970 = {10: "s", 9: "s", 13: "ms", 12: "ms", 16: "us", 15: "us", 19: "ns", 18: "ns"}
_WORDS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


class ReadTimes(NamedTuple):
    """times (n,), NaT where there is none; the format, in words; or what is wrong, with the row (from 0)."""

    times: Times
    format: str
    problem: str = ""
    row: int = -1


def looks_like_times(texts: Sequence[str]) -> bool:
    """Is each of these texts, the first of a column, a time? Whole numbers only where they can be nothing else."""
    given = [text.strip() for text in texts if text.strip()]
    if not given:
        return False
    if all(text.isdigit() for text in given):
        lengths = {len(text) for text in given}
        increasing = all(int(a) < int(b) for a, b in itertools.pairwise(given))
        if lengths <= {4}:
            return increasing and all(1900 <= int(text) <= 2100 for text in given) and len(given) > 2
        return increasing and lengths <= {8, 9, 10, 13, 16, 19} and not read_times(given).problem
    return not read_times(given).problem


def read_times(texts: Sequence[str], date_order: str = "auto") -> ReadTimes:
    """The times of a column. date_order: "day" or "month" of 03/04/2020 first; "auto": as the column has it.

    The first text that is not empty chooses the format, which holds for all.
    """
    texts = [text.strip() for text in texts]
    first = next((text for text in texts if text), "")
    name = next((name for name, pattern in _PATTERNS.items() if pattern.fullmatch(first)), "")
    if not name:
        row = texts.index(first) if first else 0
        return _nothing(len(texts), f"{first!r} is no time that is understood, as 2020-01-31 13:00 is", row)
    found = [_PATTERNS[name].fullmatch(text) if text else None for text in texts]
    for row, (text, match) in enumerate(zip(texts, found, strict=True)):
        if text and not match:
            return _nothing(len(texts), f"{text!r} is no time like {first!r}, the first", row)
    if name == "numbers":
        return _read_numbers(texts)
    if name == "day and month":
        return _read_day_and_month(found, date_order)
    described = {"ISO": "ISO times", "named months": "dates with names of months", "quarters": "quarters"}[name]
    if name == "ISO" and all(match is None or match["d"] is None for match in found):
        described = "months"
    return _assembled(found, described)


def _nothing(size: int, problem: str, row: int) -> ReadTimes:
    return ReadTimes(np.full(size, "NaT", TIME), "", problem, row)


def _read_numbers(texts: Sequence[str]) -> ReadTimes:
    longest = max(map(len, texts))
    if longest in (4, 8):
        shape = "{0}-01-01" if longest == 4 else "{0[0]}{0[1]}{0[2]}{0[3]}-{0[4]}{0[5]}-{0[6]}{0[7]}"
        described = "years" if longest == 4 else "days as YYYYMMDD"
        return _converted([shape.format(text) if len(text) == longest else text for text in texts], described)
    unit = _SINCE_1970[longest]
    for row, text in enumerate(texts):
        if text and _SINCE_1970.get(len(text)) != unit:
            return _nothing(len(texts), f"{text!r} is no number of {_WORDS[unit]} since 1970, as others are", row)
    numbers = (
        np.array([int(text) if text else 0 for text in texts], np.int64).astype(f"datetime64[{unit}]").astype(TIME)
    )
    numbers[[not text for text in texts]] = "NaT"
    return ReadTimes(numbers, f"{_WORDS[unit]} since 1970")


def _read_day_and_month(found: Sequence[re.Match | None], date_order: str) -> ReadTimes:
    pairs = [(row, int(match["a"]), int(match["b"])) for row, match in enumerate(found) if match]
    day_first = next((row for row, a, _ in pairs if a > 12), -1)
    month_first = next((row for row, _, b in pairs if b > 12), -1)
    if date_order == "auto" and day_first >= 0 and month_first >= 0:
        return _nothing(
            len(found), f"days come first in some dates and months in others, as in row {month_first + 1}", day_first
        )
    order = date_order
    if order == "auto":
        order = "day" if day_first >= 0 else "month" if month_first >= 0 else ""
    if not order:
        order = _more_even(found)
        if not order:
            return _nothing(len(found), "dates may begin with days or with months: say which with --date_order", 0)
    return _assembled(found, f"dates with the {order} first", order)


def _more_even(found: Sequence[re.Match | None]) -> str:
    """The order under which every time is one step after the one before; "" where that is true of both, or of none."""
    orders = []
    for order in ("day", "month"):
        times = _assembled(found, "", order).times
        times = times[~np.isnat(times)]
        frequency = guess_frequency(times)
        if frequency is not None and np.all(np.diff(positions(times, times[0], frequency)[0]) == 1):
            orders.append(order)
    return orders[0] if len(orders) == 1 else ""


def _assembled(found: Sequence[re.Match | None], described: str, order: str = "") -> ReadTimes:
    texts = [_iso(match, order) if match else "" for match in found]
    moved = [_minutes(match.groupdict().get("z")) if match else 0 for match in found]
    read = _converted(texts, described)
    if read.problem or not any(match and match.groupdict().get("z") for match in found):
        return read
    return read._replace(times=read.times - np.array(moved, "timedelta64[m]"), format=f"{described}, taken to UTC")


def _iso(match: re.Match, order: str) -> str:
    parts = match.groupdict()
    if quarter := parts.get("q") or parts.get("q2"):
        return f"{parts['y'] or parts['y2']}-{3 * int(quarter) - 2:02}-01"
    year = int(parts["y"])
    if len(parts["y"]) == 2:
        year += 1900 if year >= _PIVOT else 2000
    day, month = parts.get("d") or "1", parts.get("m")
    if order:
        day, month = (parts["a"], parts["b"]) if order == "day" else (parts["b"], parts["a"])
    if name := parts.get("n"):
        month = str(_MONTH_NAMES.index(name[:3].lower()) + 1) if name[:3].lower() in _MONTH_NAMES else "0"
    hour = int(parts["h"] or 0)
    if parts["ap"]:
        hour = hour % 12 + 12 * (parts["ap"][0] in "pP")
    clock = f"{hour:02}:{parts['mi'] or '00'}:{parts['s'] or '00'}.{(parts['f'] or '0')[:6]}"
    return f"{year:04}-{int(month or 0):02}-{int(day):02}T{clock}"


def _minutes(zone: str | None) -> int:
    if not zone or zone in ("Z", "UTC"):
        return 0
    digits = zone[1:].replace(":", "")
    return (1 if zone[0] == "+" else -1) * (60 * int(digits[:2]) + int(digits[2:]))


def _converted(texts: Sequence[str], described: str) -> ReadTimes:
    texts = [text or "NaT" for text in texts]
    try:
        return ReadTimes(np.array(texts, TIME), described)
    except ValueError:
        for row, text in enumerate(texts):
            try:
                np.datetime64(text)
            except ValueError:
                return _nothing(len(texts), f"there is no such time as {text.replace('T', ' ')}", row)
        raise


def since_1970(numbers: np.ndarray) -> Times | None:
    """Integers as times: seconds, milli-, micro- or nanoseconds since 1970, by the size of all; None if neither."""
    if not np.issubdtype(numbers.dtype, np.integer) or not len(numbers) or numbers.min() < 0:
        return None
    digits = {len(str(int(numbers.min()))), len(str(int(numbers.max())))}
    units = {_SINCE_1970.get(count, "") for count in digits}
    unit = units.pop()
    return None if units or not unit else numbers.astype(np.int64).astype(f"datetime64[{unit}]").astype(TIME)
