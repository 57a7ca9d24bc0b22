"""One series that lies in several parts of the data becomes one again."""

import dataclasses
from typing import NamedTuple

import numpy as np

from rnn_jax.data.series.frequency import Frequency, positions, times_at
from rnn_jax.data.series.series import Series, SeriesSet
from rnn_jax.data.series.spacing import MOST_MISSING, shown
from rnn_jax.errors import UserError

_NEXT = 1  # step after the last one


class Whole(NamedTuple):
    """Series that are whole up to some part, and the bounds (n, 4) of their parts."""

    series: tuple[Series, ...]
    bounds: np.ndarray


def join(whole: Whole, other: SeriesSet, part: int, train: SeriesSet, gaps: str) -> tuple[Whole, list[str]]:
    """Adds the series of part number `part`: each to the one of its id, or, without ids, to the only one.

    A series of which nothing came before is one of its own. Steps left out between two parts count as missing where
    gaps is "mask"; where it is "refuse", both are series of their own.

    Returns:
      All series, and notes.

    Raises:
      UserError: columns differ; the part begins before what comes before it ends.
    """
    if other.columns != train.columns:
        raise UserError(
            f"{other.name} has the columns {', '.join(other.columns.target)}, and {train.name}"
            f" {', '.join(train.columns.target)}: they must be the same."
        )
    series, bounds = list(whole.series), [*whole.bounds]
    at = {one.id: i for i, one in enumerate(whole.series)}
    is_single = not train.has_ids and not other.has_ids and len(other.series) == len(whole.series) == 1
    notes: list[str] = []
    apart = []
    for one in other.series:
        i = 0 if is_single else at.get(one.id) if train.has_ids and other.has_ids else None
        joined = _joined(series[i], one, other, train.frequency, gaps, is_single) if i is not None else None
        if i is None or joined is None:
            apart.append(one)
            continue
        series[i] = joined
        bounds[i] = bounds[i].copy()
        bounds[i][part + 1 :] = len(joined)
    for one in apart:
        identity = one.id if one.id not in at and one.id else f"{other.name} {one.id}".strip()
        series.append(dataclasses.replace(one, id=identity))
        bounds.append(np.array([0] * (part + 1) + [len(one)] * (3 - part)))
    if apart:
        notes.append(
            f"{other.name}: {len(apart):,} of {len(other.series):,} series do not go on from an earlier part, so that"
            " their windows look back into them alone."
        )
    return Whole(tuple(series), np.stack(bounds)), notes


def _joined(
    before: Series, after: Series, other: SeriesSet, frequency: Frequency | None, gaps: str, is_single: bool
) -> Series | None:
    """Both as one; None where nothing says that they adjoin."""
    if before.times is None or after.times is None or frequency is None:
        return None if is_single else before.followed_by(after)
    first, last = after.times[0], before.times[-1]
    steps, is_on_grid = positions(np.asarray([first]), last, frequency)
    if first <= last:
        raise UserError(
            f"{other.name} begins at {shown(first)}, before an earlier part ends, at {shown(last)}: they overlap, and"
            " its scores would be too good. Name other parts, or have one file or split cut: --split_rows."
        )
    missing = int(steps[0]) - _NEXT
    if not is_on_grid[0] or (missing and gaps == "refuse") or missing > MOST_MISSING * len(before):
        return None
    return before.followed_by(after) if not missing else _filled(before, missing, frequency).followed_by(after)


def _filled(series: Series, missing: int, frequency: Frequency) -> Series:
    """The series with so many steps after it that are missing."""

    def longer(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, np.full((missing, values.shape[1]), np.nan)])

    assert series.times is not None
    future = series.future if len(series.future) >= len(series) + missing else longer(series.future[: len(series)])
    return dataclasses.replace(
        series,
        values=longer(series.values),
        times=np.concatenate([series.times, times_at(np.arange(missing) + 1, series.times[-1], frequency)]),
        past=longer(series.past),
        future=future,
    )
