"""What all readers return: series, and what is known of all of them."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rnn_jax.data.digest import digest_of
from rnn_jax.data.series.frequency import Frequency, Times


class Columns(NamedTuple):
    """Names of the C targets, the columns that are known up to now (O) and in advance (K), and of whole series (S)."""

    target: tuple[str, ...]
    past: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    static: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """One series on a grid of time.

    values: (T, C), NaN where missing. times: (T,), or None where there are none. past: (T, O). future: (T + more, K),
    of which the rows after the last value are what is known of times to come. static: S numbers or words.
    """

    id: str
    values: np.ndarray
    times: Times | None
    past: np.ndarray
    future: np.ndarray
    static: tuple[float | str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def head(self, length: int) -> "Series":
        """The first rows; what is known in advance stays."""
        times = None if self.times is None else self.times[:length]
        return dataclasses.replace(self, values=self.values[:length], times=times, past=self.past[:length])

    def followed_by(self, other: "Series") -> "Series":
        """Both in time; the other one begins one step after this one ends."""
        has_times = self.times is not None and other.times is not None
        return dataclasses.replace(
            self,
            values=np.concatenate([self.values, other.values]),
            times=np.concatenate([self.times, other.times]) if has_times else None,
            past=np.concatenate([self.past, other.past]),
            future=np.concatenate([self.future[: len(self)], other.future]),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class SeriesSet:
    """The series of one file or split.

    frequency: of all of them, None where there are no times. season: that the data names by itself. has_ids: are ids
    those of the data, so that equal ones belong together? notes: what the user should know.
    """

    name: str
    series: tuple[Series, ...]
    columns: Columns
    frequency: Frequency | None = None
    season: int | None = None
    has_ids: bool = True
    notes: tuple[str, ...] = ()

    def digest(self) -> str:
        """Of all values, times, covariates and ids."""
        return digest_of(*(array for one in self.series for array in _arrays(one)))


def of_series(identity: str) -> str:
    """Which one a message is about; nothing where there is no id."""
    return f" of the series {identity!r}" if identity else ""


def _arrays(series: Series) -> Sequence[np.ndarray]:
    times = np.zeros(0, np.int64) if series.times is None else series.times.astype(np.int64)
    names = np.frombuffer(repr((series.id, series.static)).encode(), np.uint8)
    return series.values, times, series.past, series.future, names
