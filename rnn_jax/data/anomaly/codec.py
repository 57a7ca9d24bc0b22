"""What watching series needs of the data besides weights: columns and scales, fitted on training rows."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rnn_jax.data.anomaly.reading import is_split, read_marked
from rnn_jax.data.anomaly_config import AnomalyConfig
from rnn_jax.data.codec import Codec
from rnn_jax.data.series.scaling import Scaler, fit_scaler
from rnn_jax.data.series.series import Columns, Series, SeriesSet
from rnn_jax.errors import UserError

_SHOWN = 5  # ids in a message


class Encoded(NamedTuple):
    """values: (T, C) float32, scaled, 0 where missing. known: (T, C) bool. inputs: (T, K) float32, 0 where missing."""

    values: np.ndarray
    known: np.ndarray
    inputs: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class AnomalyCodec(Codec):
    """target, inputs: names of columns. mark: of the column of marks, "" without. ids: of the series of training.

    scaler: of each column of each series; input_scaler: of each column. varies: (K,), which inputs are read: of those
    that are constant in training nothing was learned. has_missing: may values be missing?
    """

    target: tuple[str, ...]
    inputs: tuple[str, ...]
    mark: str
    ids: tuple[str, ...]
    scaler: Scaler
    input_scaler: Scaler
    varies: np.ndarray
    has_missing: bool

    @property
    def columns(self) -> Columns:
        """What series to be scored have; marks aside."""
        return Columns(self.target, (), self.inputs)

    def number_of(self, identity: str) -> int:
        """The number of the series of training with this id; where there was one series without an id, that.

        Raises:
          UserError: there is none, and so nothing is known of what is normal in it.
        """
        if self.ids == ("",):
            return 0
        if identity in self.ids:
            return self.ids.index(identity)
        raise UserError(
            f"The series {identity!r} is none of the {len(self.ids):,} that were trained on"
            f" ({', '.join(self.ids[:_SHOWN])}{', …' * (len(self.ids) > _SHOWN)}), so that nothing is known of what is"
            " normal in it. Leave it out, or train on normal rows of it."
        )

    def encode(self, identity: str, values: np.ndarray, inputs: np.ndarray) -> Encoded:
        """Rows (T, C) and (T, K) of a series, NaN where missing."""
        row = self.number_of(identity)
        if self.scaler.kind == "none":
            location, scale = self.scaler.location, self.scaler.scale
        else:
            location, scale = self.scaler.location[row], self.scaler.scale[row]
        scaled = self.scaler.scaled(values, location, scale)
        known = np.isfinite(scaled)
        others = np.where(self.varies, (inputs - self.input_scaler.location) / self.input_scaler.scale, 0.0)
        return Encoded(np.where(known, scaled, 0.0).astype(np.float32), known, np.nan_to_num(others).astype(np.float32))

    def encode_series(self, series: Series) -> Encoded:
        """All rows of a series."""
        return self.encode(series.id, series.values, series.future[: len(series)])


def fit_anomaly_codec(
    data: SeriesSet, ends: Sequence[int], kind: str, *, has_missing: bool
) -> tuple[AnomalyCodec, tuple[str, ...]]:
    """Fits on the rows of each series before its end; marked ones are left out. And says what is odd about them."""
    normal = [np.where(_marks(one)[:end], np.nan, one.values[:end]) for one, end in zip(data.series, ends, strict=True)]
    inputs = [one.future[:end] for one, end in zip(data.series, ends, strict=True)]
    ids = tuple(one.id for one in data.series)
    scaler, notes = fit_scaler(normal, ids, kind, "series", data.columns.target)
    input_scaler, more = fit_scaler(inputs, (), "standard", "column", data.columns.future)
    mark = data.columns.past[0] if data.columns.past else ""
    lowest, highest = (reduce(np.concatenate(inputs), axis=0) for reduce in (np.nanmin, np.nanmax))
    codec = AnomalyCodec(
        data.columns.target, data.columns.future, mark, ids, scaler, input_scaler, lowest < highest, has_missing
    )
    return codec, (*notes, *more)


def _marks(series: Series) -> np.ndarray:
    return (series.past == 1) if series.past.shape[1] else np.zeros((len(series), 1), bool)


def read_like(name: str, codec: AnomalyCodec, config: AnomalyConfig) -> SeriesSet:
    """Reads a file, or a split, with the columns that a codec was fitted to; the marks where there are any.

    Raises:
      UserError: as the readers; a column is not there.
    """
    wanted = like(codec, config)
    if is_split(name, config):  # of which a field may have many columns
        wanted = dataclasses.replace(wanted, input_columns=config.input_columns)
    return read_marked(name, wanted)


def like(codec: AnomalyCodec, config: AnomalyConfig) -> AnomalyConfig:
    """How to read a table with the columns that a codec was fitted to."""
    mark = config.mark_column or codec.mark
    return dataclasses.replace(config, target=codec.target, input_columns=codec.inputs, mark_column=mark)


def id_column_of(codec: AnomalyCodec, config: AnomalyConfig, first_row: Mapping[str, str]) -> str:
    """The column of a table that says which series a row is of, "" for none: --id_column, or the one that begins so.

    A network that was trained on a dataset knows its series by their ids, and a table of them by no column's name.
    """
    if config.id_column or codec.ids == ("",):
        return config.id_column
    others = (name for name in first_row if name not in (*codec.target, *codec.inputs))
    return next((name for name in others if first_row[name] in codec.ids), "")
