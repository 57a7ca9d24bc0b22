"""Features made of times, known for any time to come: each a sine and a cosine of its period.

| name | period | what turns |
|---|---|---|
| minute | an hour | minutes and seconds |
| hour | a day | hours and minutes |
| weekday | a week | days from Monday |
| day | 31 days | days of a month |
| week, yearday | 53 weeks, 366 days | weeks or days of a year |
| month | 12 months | months of a year |
"""

import numpy as np

from rnn_jax.data.series.frequency import TIME, Frequency, Times
from rnn_jax.errors import UserError

_PERIODS = {"minute": 60.0, "hour": 24.0, "weekday": 7.0, "day": 31.0, "week": 53.0, "month": 12.0, "yearday": 366.0}
_MONDAY = np.datetime64("1970-01-05", "D")
_AUTO = "auto"


def resolve_calendar(names: tuple[str, ...], frequency: Frequency | None, source: str) -> tuple[str, ...]:
    """The names, with "auto" replaced by those of features that vary from step to step, and within a few years.

    Raises:
      UserError: names are given, and there are no times.
    """
    if names and frequency is None:
        raise UserError(f"--calendar={','.join(names)}: {source} has no times; name their column with --time_column.")
    if _AUTO not in names or frequency is None:
        return names
    if frequency.months:
        return ("month",) if frequency.months < _PERIODS["month"] else ()
    if not frequency.is_daily_or_finer:
        return ("yearday",)
    of_day: tuple[str, ...] = ()
    if frequency.unit not in ("D", "B"):
        of_day = ("hour",) if frequency.step >= np.timedelta64(1, "h") else ("minute", "hour")
    return (*of_day, "weekday", "yearday")


def calendar_features(times: Times, names: tuple[str, ...]) -> np.ndarray:
    """(T,) → (T, 2 · names) float32: sin and cos of 2π · (what turns) / period, name after name."""
    days = times.astype("datetime64[D]")
    months = times.astype("datetime64[M]")
    years = times.astype("datetime64[Y]")
    hours = (times - days.astype(TIME)) / np.timedelta64(1, "h")
    of_year = (days - years.astype("datetime64[D]")).astype(np.float64)
    values = {
        "minute": 60.0 * (hours % 1),
        "hour": hours,
        "weekday": ((days - _MONDAY).astype(np.int64) % 7).astype(np.float64),
        "day": (days - months.astype("datetime64[D]")).astype(np.float64),
        "week": of_year // 7,
        "month": (months.astype(np.int64) % 12).astype(np.float64),
        "yearday": of_year,
    }
    columns = [f(2 * np.pi * values[name] / _PERIODS[name]) for name in names for f in (np.sin, np.cos)]
    return np.stack(columns, axis=1).astype(np.float32) if columns else np.zeros((len(times), 0), np.float32)
