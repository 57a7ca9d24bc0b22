"""Steps of time: fixed ones (seconds to weeks), weekdays, and months; places on their grid, and times at places."""

import re
from typing import NamedTuple

import numpy as np

from rnn_jax.errors import UserError

Times = np.ndarray
"""datetime64[us]"""
TIME = np.dtype("datetime64[us]")
_STEP = np.dtype("timedelta64[us]")
_MICROSECONDS = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "min": 60_000_000,
    "h": 3_600_000_000,
    "D": 86_400_000_000,
    "W": 7 * 86_400_000_000,
}
_MONTHS = {"M": 1, "Q": 3, "Y": 12}
_SEASONS = {"ms": 1000, "s": 60, "min": 1440, "h": 24, "D": 7, "B": 5, "W": 52, "M": 12, "Q": 4, "Y": 1}
_BUSINESS = "B"
_LONGEST_MONTH = 31


class Frequency(NamedTuple):
    """`number` units: us, ms, s, min, h, D, W (fixed), M, Q, Y (months), or B (Monday to Friday)."""

    unit: str
    number: int = 1

    @property
    def text(self) -> str:
        """As flags have it: "15min", "h"."""
        return f"{self.number if self.number > 1 else ''}{self.unit}"

    @property
    def months(self) -> int:
        """In a step; 0 where it is no matter of months."""
        return _MONTHS.get(self.unit, 0) * self.number

    @property
    def step(self) -> np.timedelta64:
        """Of a fixed frequency."""
        return np.timedelta64(_MICROSECONDS[self.unit] * self.number, "us")

    @property
    def is_daily_or_finer(self) -> bool:
        """Does a step take a day at most?"""
        return self.unit == _BUSINESS or bool(not self.months and self.step <= np.timedelta64(1, "D"))

    @property
    def season(self) -> int:
        """Steps in the season that is usual: a day of hours or minutes, a week of days, a year of weeks or months."""
        if self.unit == "min" or self.unit == "h":
            return max(1, _MICROSECONDS["D"] // (_MICROSECONDS[self.unit] * self.number))
        return max(1, _SEASONS.get(self.unit, 1) // self.number)


def parse_frequency(text: str) -> Frequency:
    """Of "15min", "h", "B", "M", …

    Raises:
      UserError: it is none.
    """
    found = re.fullmatch(r"([1-9][0-9]{0,6})?\s*(us|ms|s|min|h|H|D|d|B|W|w|M|Q|Y)", text.strip())
    if not found:
        raise UserError(f"--frequency={text}: a number and a unit is needed, of us, ms, s, min, h, D, B, W, M, Q, Y.")
    unit = {"H": "h", "d": "D", "w": "W"}.get(found[2], found[2])
    count = int(found[1] or 1)
    if unit == _BUSINESS and count > 1:
        raise UserError(f"--frequency={text}: weekdays come one by one, as B.")
    return Frequency(unit, count)


def guess_frequency(times: Times) -> Frequency | None:
    """That of most steps of times in order; None for fewer than three times, or without a step that is usual."""
    times = np.unique(times[~np.isnat(times)])
    if len(times) < 3:
        return None
    steps = np.diff(times).astype(np.int64)
    values, counts = np.unique(steps, return_counts=True)
    usual = int(values[np.argmax(counts)])
    day = _MICROSECONDS["D"]
    if 28 * day <= usual <= 366 * day and _are_on_one_day(times):
        months = np.diff(_month_numbers(times))
        count = int(np.bincount(months).argmax())
        unit = "Y" if count % 12 == 0 else "Q" if count == 3 else "M"
        return Frequency(unit, count // _MONTHS[unit])
    weekdays = np.is_busday(times.astype("datetime64[D]"))
    if usual == day and bool(weekdays.all()) and (steps > day).sum() * 7 >= len(steps):
        return Frequency(_BUSINESS)
    if counts.max() * 2 < len(steps) and np.any(values % values.min()):
        return None
    for unit in ("W", "D", "h", "min", "s", "ms", "us"):
        if usual % _MICROSECONDS[unit] == 0:
            return Frequency(unit, usual // _MICROSECONDS[unit])
    return None


def positions(times: Times, start: np.datetime64, frequency: Frequency) -> tuple[np.ndarray, np.ndarray]:
    """(steps from start, int64; is it on the grid, bool) of each time; of one off the grid, the last step before it."""
    if frequency.months:
        anchor = _month_numbers(np.asarray([start]))[0]
        at = (_month_numbers(times) - anchor) // frequency.months
    elif frequency.unit == _BUSINESS:
        at = np.busday_count(start.astype("datetime64[D]"), times.astype("datetime64[D]"))
    else:
        at = (times - start).astype(np.int64) // (frequency.step.astype(np.int64))
    return at.astype(np.int64), times_at(at, start, frequency) == times


def times_at(at: np.ndarray, start: np.datetime64, frequency: Frequency) -> Times:
    """The times so many steps from start; of months, on its day, or the last one where a month is shorter.

    Where start is the last day of its month, so are all.
    """
    start = start.astype(TIME)
    if not frequency.months and frequency.unit != _BUSINESS:
        return start + np.asarray(at) * frequency.step
    day = start.astype("datetime64[D]")
    clock = start - day.astype(TIME)
    if frequency.unit == _BUSINESS:
        return np.busday_offset(day, at, roll="backward").astype(TIME) + clock
    month = day.astype("datetime64[M]")
    of_month = (
        _LONGEST_MONTH if _is_last_day(np.asarray([day]))[0] else int((day - month.astype(day.dtype)).astype(int))
    )
    months = month + np.asarray(at) * frequency.months
    last = (months + 1).astype("datetime64[D]") - 1
    return np.minimum(months.astype("datetime64[D]") + of_month, last).astype(TIME) + clock


def _month_numbers(times: Times) -> np.ndarray:
    return times.astype("datetime64[M]").astype(np.int64)


def _is_last_day(days: np.ndarray) -> np.ndarray:
    days = days.astype("datetime64[D]")
    return (days + 1).astype("datetime64[M]") > days.astype("datetime64[M]")


def _are_on_one_day(times: Times) -> bool:
    """Is it the same day of every month, or the last?"""
    days = times.astype("datetime64[D]")
    of_month = (days - days.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64)
    late = (of_month == of_month.max()) | _is_last_day(days)
    return bool(np.all(of_month == of_month[0]) or np.all(_is_last_day(days)) or (of_month.max() >= 28 and late.all()))
