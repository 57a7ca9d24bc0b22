"""Scales of columns, fitted on training rows only: scaled = (f(x) − location) / scale, and back to the units of x."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from rnn_jax.data.codec import Codec
from rnn_jax.data.moments import moments
from rnn_jax.data.series.series import Columns, Series, of_series
from rnn_jax.errors import UserError

_CONSTANT = 1e-7  # spread beside the size of the numbers, below which float32 sees none
_MOST_NAMES = 5


@dataclasses.dataclass(frozen=True, eq=False)
class Scaler(Codec):
    """One scale for each column over all series, or for each column of each series.

    kind: standard: location is the mean, scale the standard deviation (÷ n). mean_abs: location 0, scale the mean of
      |x|. none: 0 and 1. A column that is constant, or has no values, has the scale 1.
    ids: () or those of the series with a scale of their own. location, scale: (C,) or (series, C), of f(x).
    transform: f; none: x, log: its natural logarithm.
    """

    kind: str
    ids: tuple[str, ...]
    location: np.ndarray
    scale: np.ndarray
    transform: str = "none"

    def of(self, identity: str, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(location, scale) of a series, (C,) each; of one not in training, from all of its values (T, C)."""
        if self.location.ndim == 1:
            return self.location, self.scale
        if identity in self.ids:
            row = self.ids.index(identity)
            return self.location[row], self.scale[row]
        return _statistics(transformed(values, self.transform), self.kind)

    def scaled(self, values: np.ndarray, location: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """From the units of the data."""
        return (transformed(values, self.transform) - location) / scale

    def in_units(self, scaled: np.ndarray, location: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Back to the units of the data."""
        values = scaled * scale + location
        return np.exp(values) if self.transform == "log" else values


def transformed(values: np.ndarray, transform: str) -> np.ndarray:
    """f of `Scaler`."""
    return np.log(values) if transform == "log" else values


def require_positive(series: Sequence[Series], names: Sequence[str], transform: str) -> None:
    """UserError where a value has no logarithm, and one is asked for."""
    for one in series if transform == "log" else ():
        if (one.values <= 0).any():
            row, column = np.argwhere(one.values <= 0)[0]
            raise UserError(
                f"--transform=log is of positive values, and {names[column]} is {one.values[row, column]:g} in row"
                f" {row + 1}{of_series(one.id)}. Give --transform=none, or leave such rows out."
            )


def fit_scaler(
    values: Sequence[np.ndarray],
    ids: Sequence[str],
    kind: str,
    by: str,
    names: Sequence[str],
    transform: str = "none",
) -> tuple[Scaler, list[str]]:
    """Fits on the training rows of each series, (T, C) with NaN where missing; and says what is odd about them.

    by: "column" or "series"; a series without training rows has the scale of all the others.
    """
    values = [transformed(one, transform) for one in values]
    everything = np.concatenate(values)
    pooled = _statistics(everything, kind)
    if by == "column" or kind == "none":
        return Scaler(kind, (), *pooled, transform), _odd_notes(everything, names)
    own = [_statistics(one, kind) if np.isfinite(one).any() else pooled for one in values]
    empty = sum(not np.isfinite(one).any() for one in values)
    flat = sum(_is_flat(one).any() for one in values) - empty
    notes = [f"Scaling: {empty:,} series have no training values, and the scale of the others."] if empty else []
    if flat > 0:
        notes.append(f"Scaling: {flat:,} series have a column that is constant in training; its scale is 1.")
    return Scaler(kind, tuple(ids), np.stack([a for a, _ in own]), np.stack([b for _, b in own]), transform), notes


def _statistics(values: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    if kind == "standard":
        location, scale = moments(values)
        return location, np.where(_is_flat(values), 1.0, scale)
    location, scale = np.zeros(values.shape[1]), np.ones(values.shape[1])
    if kind == "mean_abs":
        scale, _ = moments(np.abs(values))
        scale = np.where(scale > 0, scale, 1.0)
    return location, scale


def _is_flat(values: np.ndarray) -> np.ndarray:
    """Which columns are constant, or have no values."""
    known = np.isfinite(values)
    low = np.where(known, values, np.inf).min(axis=0, initial=np.inf)
    high = np.where(known, values, -np.inf).max(axis=0, initial=-np.inf)
    sizes = np.maximum(np.abs(low), np.abs(high))
    with np.errstate(invalid="ignore"):
        return ~known.any(axis=0) | (high - low <= _CONSTANT * sizes)


def _odd_notes(values: np.ndarray, names: Sequence[str]) -> list[str]:
    empty = ~np.isfinite(values).any(axis=0)
    flat = _is_flat(values) & ~empty
    notes = []
    for which, what in ((empty, "no training values"), (flat, "the same value in all training rows")):
        if which.any():
            chosen = [name for name, is_odd in zip(names, which, strict=True) if is_odd]
            listed = ", ".join(chosen[:_MOST_NAMES]) + ", …" * (len(chosen) > _MOST_NAMES)
            notes.append(f"Scaling: {what}: {listed}; the scale is 1.")
    return notes


@dataclasses.dataclass(frozen=True, eq=False)
class StaticCodec(Codec):
    """What is said of whole series as numbers: numbers standardised, words one-hot; an unknown word is all zeros.

    names: of the columns. words: of each, () for one of numbers. location, scale: of each, 0 and 1 for words.
    """

    names: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]
    location: np.ndarray
    scale: np.ndarray

    @property
    def size(self) -> int:
        """S, of the encoded features."""
        return sum(len(words) or 1 for words in self.words)

    def encode(self, static: Sequence[float | str]) -> np.ndarray:
        """The values of one series → (S,) float32; a number that is missing is 0, the mean."""
        features: list[float] = []
        for value, words, location, scale in zip(static, self.words, self.location, self.scale, strict=True):
            if words:
                features += [float(str(value) == word) for word in words]
            else:
                number = float(value) if isinstance(value, float | int) else np.nan
                features.append(0.0 if np.isnan(number) else (number - location) / scale)
        return np.array(features, np.float32)


def fit_static(series: Sequence[Series], columns: Columns) -> StaticCodec:
    """Fits on the series that have training rows."""
    words: list[tuple[str, ...]] = []
    location, scale = np.zeros(len(columns.static)), np.ones(len(columns.static))
    for i in range(len(columns.static)):
        values = [one.static[i] for one in series]
        if any(isinstance(value, str) for value in values):
            words.append(tuple(sorted({str(value) for value in values})))
        else:
            words.append(())
            numbers = np.array(values, np.float64)[:, None]
            (location[i],), (scale[i],) = _statistics(numbers, "standard")
    return StaticCodec(columns.static, tuple(words), location, scale)
