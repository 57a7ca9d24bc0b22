"""Rows of one series → a regular grid of time: order, duplicates and gaps are refused by place, or mended as asked."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rnn_jax.data.series.frequency import Frequency, Times, guess_frequency, parse_frequency, positions, times_at
from rnn_jax.data.series_config import SeriesConfig
from rnn_jax.errors import UserError

MOST_MISSING = 20
"""Rows on the grid for one in the data: beyond it, the frequency is wrong."""

Where = Callable[[int], str]
"""Row of the data → its place, for messages."""


class Rules(NamedTuple):
    """The knobs of the same names: sort; duplicates: refuse, mean or last; gaps: refuse or mask."""

    sort: bool = False
    duplicates: str = "refuse"
    gaps: str = "refuse"


def rules_of(config: SeriesConfig) -> Rules:
    """The rules that the knobs say."""
    return Rules(config.sort, config.duplicates, config.gaps)


class Placed(NamedTuple):
    """A grid of times, and the values on it; of both kinds of trouble, how often it was met and mended."""

    times: Times
    values: np.ndarray
    num_duplicates: int
    num_missing: int


def in_order(times: Times, rules: Rules, where: Where) -> np.ndarray:
    """The rows of one series, sorted by time.

    Raises:
      UserError: a time is missing; rows are out of order, and rules.sort is false.
    """
    if np.isnat(times).any():
        raise UserError(
            f"{where(int(np.argmax(np.isnat(times))))}: the time is missing. Fill it in, or remove the row."
        )
    back = np.flatnonzero(np.diff(times) < np.timedelta64(0))
    if not len(back):
        return np.arange(len(times))
    if not rules.sort:
        row = int(back[0]) + 1
        raise UserError(
            f"{where(row)}: {shown(times[row])} comes after {shown(times[row - 1])}. --sort sorts rows by time; if this"
            " is where another series begins, name the column that tells them apart with --id_column."
        )
    return np.argsort(times, kind="stable")


def frequency_of(all_times: list[Times], given: str, name: str) -> tuple[Frequency, str]:
    """The frequency of series (times of each in order), and how to say it; guessed from the longest, unless given.

    Raises:
      UserError: it cannot be guessed.
    """
    if given:
        return parse_frequency(given), ""
    longest = max(all_times, key=len)
    guessed = guess_frequency(longest)
    if guessed is None:
        raise UserError(
            f"{name}: the times have no step that is usual, from {shown(longest[0])} to {shown(longest[-1])}."
            " Say --frequency, as 15min, h, D, B, W, M, Q or Y."
        )
    return guessed, f"{name}: a step of time is {guessed.text} (--frequency says another)."


def place(
    times: Times,
    values: np.ndarray,
    frequency: Frequency,
    rules: Rules,
    where: Where,
    first: np.datetime64 | None = None,
) -> Placed:
    """Puts rows (times in order; values (n, …)) on the grid of their frequency; what is left out is NaN.

    first: where the grid begins (default: the first time).

    Raises:
      UserError: a time is off the grid, there twice, or left out, and the rules do not say what to do.
    """
    start = times[0] if first is None else first
    at, is_on_grid = positions(times, start, frequency)
    if not is_on_grid.all():
        row = int(np.argmin(is_on_grid))
        raise UserError(
            f"{where(row)}: {shown(times[row])} is no whole number of steps ({frequency.text}) after"
            f" {shown(start)}. Say another --frequency, correct the time, or take rows as steps with"
            " --time_column=none."
        )
    doubled = np.flatnonzero(np.diff(at) == 0)
    if len(doubled):
        at, values = _merged(times, at, values, doubled, rules, where)
    steps = np.diff(at)
    num_missing = int(at[-1] - at[0] + 1 - len(at))
    if num_missing and rules.gaps == "refuse":
        row = int(np.argmax(steps > 1))
        after = times_at(at[row : row + 1], start, frequency)[0]
        original = int(np.searchsorted(times, times_at(at[row + 1 : row + 2], start, frequency)[0]))
        raise UserError(
            f"{where(original)}: {shown(times[original])} comes after {shown(after)}, where a step is {frequency.text};"
            f" of {counted(len(at) + num_missing, 'row')}, {num_missing:,} left out. --gaps=mask takes them as missing."
        )
    if num_missing > MOST_MISSING * len(at):
        raise UserError(
            f"{where(0)}: with a step of {frequency.text}, {num_missing} of {len(at) + num_missing} rows are left out."
            " Say another --frequency."
        )
    grid = np.arange(at[0], at[-1] + 1)
    spread = np.full((len(grid), *values.shape[1:]), np.nan)
    spread[at - at[0]] = values
    return Placed(times_at(grid, start, frequency), spread, len(doubled), num_missing)


def _merged(
    times: Times, at: np.ndarray, values: np.ndarray, doubled: np.ndarray, rules: Rules, where: Where
) -> tuple[np.ndarray, np.ndarray]:
    if rules.duplicates == "refuse":
        row = int(doubled[0]) + 1
        raise UserError(
            f"{where(row)}: {shown(times[row])} is there a second time ({counted(len(doubled), 'such row')})."
            " --duplicates=mean or last makes one of them; if several series share the times, name the column that"
            " tells them apart with --id_column."
        )
    if rules.duplicates == "last":
        keep = np.append(np.diff(at) > 0, True)
        return at[keep], values[keep]
    kept, group = np.unique(at, return_inverse=True)
    sums, counts = np.zeros((2, len(kept), *values.shape[1:]))
    np.add.at(sums, group, np.nan_to_num(values))
    np.add.at(counts, group, ~np.isnan(values))
    return kept, np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)


def counted(number: int, noun: str) -> str:
    """1 row, 2 rows."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def shown(time: np.datetime64) -> str:
    """A time without the parts that are zero: 2020-01-31, 2020-01-31 13:05."""
    text = str(time.astype("datetime64[us]")).replace("T", " ")
    return text.removesuffix(".000000").removesuffix(":00").removesuffix(" 00:00")
