"""What forecasting needs of the data besides weights: columns, scales, calendar; fitted on training rows."""

import dataclasses
import functools

import numpy as np

from rnn_jax.data.codec import Codec
from rnn_jax.data.series.calendar import calendar_features, resolve_calendar
from rnn_jax.data.series.frequency import Frequency, parse_frequency, times_at
from rnn_jax.data.series.parts import SeriesParts, read_series
from rnn_jax.data.series.scaling import Scaler, StaticCodec, fit_scaler, fit_static, require_positive
from rnn_jax.data.series.series import Columns, Series, SeriesSet, of_series
from rnn_jax.data.series.spacing import shown
from rnn_jax.data.series_config import NO_TIMES, SeriesConfig
from rnn_jax.errors import UserError

_SHOWN = 5  # ids in a message


@dataclasses.dataclass(frozen=True, eq=False)
class SeriesCodec(Codec):
    """target, past, future: names of columns; those of the future come first among the features, after the calendar.

    frequency: "" where there are no times. season: steps, 1 for none. ids: of the series, in their order.
    has_missing: may values of a look-back be missing?
    """

    target: tuple[str, ...]
    past: tuple[str, ...]
    future: tuple[str, ...]
    calendar: tuple[str, ...]
    frequency: str
    season: int
    target_scaler: Scaler
    past_scaler: Scaler
    future_scaler: Scaler
    static: StaticCodec
    ids: tuple[str, ...]
    has_missing: bool

    @property
    def columns(self) -> Columns:
        """What a table must have for prediction."""
        return Columns(self.target, self.past, self.future, self.static.names)

    @property
    def step(self) -> Frequency | None:
        """The frequency."""
        return parse_frequency(self.frequency) if self.frequency else None

    @property
    def num_future(self) -> int:
        """F: of features known in advance."""
        return 2 * len(self.calendar) + len(self.future)

    @property
    def num_features(self) -> int:
        """P: of features of past steps."""
        return self.num_future + len(self.past)

    def number_of(self, series: Series) -> int:
        """The number of a series among those of training, by its id; 0 for any other."""
        return self._numbers.get(series.id, 0)

    @functools.cached_property
    def _numbers(self) -> dict[str, int]:
        return {identity: number for number, identity in enumerate(self.ids)}

    def require_known(self, series: Series) -> None:
        """UserError where the series is none of those of training."""
        if series.id not in self._numbers:
            raise UserError(
                f"The series {series.id!r} is none of the {len(self.ids):,} that the model tells apart"
                f" ({', '.join(self.ids[:_SHOWN])}, …). Leave it out, or train with --series_embedding_size=0."
            )

    def scale_of(self, series: Series) -> tuple[np.ndarray, np.ndarray]:
        """(location, scale), each (C,), of the targets of a series.

        Raises:
          UserError: a value has no logarithm, and is forecast by it.
        """
        require_positive([series], self.target, self.target_scaler.transform)
        return self.target_scaler.of(series.id, series.values)

    def features(self, series: Series, horizon: int) -> np.ndarray:
        """(T + horizon, P) float32: calendar, what is known in advance, what is known up to now; NaN where unknown."""
        length = len(series) + horizon
        times = self.times(series, length) if self.calendar else np.zeros(length, "datetime64[us]")
        future, past = np.full((length, len(self.future)), np.nan), np.full((length, len(self.past)), np.nan)
        known = min(len(series.future), length)
        future[:known] = (series.future[:known] - self.future_scaler.location) / self.future_scaler.scale
        past[: len(series)] = (series.past - self.past_scaler.location) / self.past_scaler.scale
        return np.concatenate([calendar_features(times, self.calendar), future, past], axis=1).astype(np.float32)

    def times(self, series: Series, length: int) -> np.ndarray:
        """The times of the first `length` steps of a series, those after its last row included.

        Raises:
          UserError: it has no times.
        """
        if series.times is None or self.step is None:
            raise UserError("The series have no times, which features of the calendar need; see --time_column.")
        return times_at(np.arange(length), series.times[0], self.step)

    def require_future(self, series: Series, horizon: int) -> None:
        """UserError where what is known in advance is missing in the steps after the last row."""
        known = series.future[len(series) : len(series) + horizon]
        if not self.future or (len(known) == horizon and not np.isnan(known).any()):
            return
        step = int(np.argmax(np.isnan(known).any(axis=1))) if np.isnan(known).any() else len(known)
        at = len(series) + step
        when = f" ({shown(self.times(series, at + 1)[at])})" if self.step else ""
        raise UserError(
            f"A forecast of {horizon} steps needs {', '.join(self.future)} for all of them: step {step + 1} after the"
            f" last value{of_series(series.id)}{when} has none. Add rows with these columns filled in and"
            f" {', '.join(self.target)} empty."
        )


def read_like(name: str, codec: SeriesCodec, config: SeriesConfig) -> SeriesSet:
    """Reads a file, or a split of the dataset, with the columns and the frequency that a codec was fitted to.

    Raises:
      UserError: as the readers; a column or the times are not there.
    """
    columns = codec.columns
    return read_series(
        name,
        dataclasses.replace(
            config,
            target=columns.target,
            past_columns=columns.past,
            known_future=columns.future,
            static_columns=columns.static,
            frequency=codec.frequency,
            time_column=config.time_column if codec.frequency else NO_TIMES,
        ),
    )


def fit_series_codec(parts: SeriesParts, config: SeriesConfig) -> tuple[SeriesCodec, tuple[str, ...]]:
    """Fits on the training rows; and says what is odd about them.

    Raises:
      UserError: a calendar is asked for, and there are no times.
    """
    data = parts.data
    series, ends = data.series, parts.bounds[:, 1]
    ids = [one.id for one in series]
    require_positive(series, data.columns.target, config.transform)
    target, notes = fit_scaler(
        [one.values[:end] for one, end in zip(series, ends, strict=True)],
        ids,
        config.scaling,
        config.scale_by,
        data.columns.target,
        config.transform,
    )
    past, more = fit_scaler(
        [one.past[:end] for one, end in zip(series, ends, strict=True)], (), "standard", "column", data.columns.past
    )
    future, most = fit_scaler(
        [one.future[:end] for one, end in zip(series, ends, strict=True)], (), "standard", "column", data.columns.future
    )
    season = config.season or data.season or (data.frequency.season if data.frequency else 1)
    codec = SeriesCodec(
        target=data.columns.target,
        past=data.columns.past,
        future=data.columns.future,
        calendar=resolve_calendar(config.calendar, data.frequency, data.name),
        frequency=data.frequency.text if data.frequency else "",
        season=season,
        target_scaler=target,
        past_scaler=past,
        future_scaler=future,
        static=fit_static([one for one, end in zip(series, ends, strict=True) if end], data.columns),
        ids=tuple(ids),
        has_missing=config.pad_context or any(np.isnan(one.values).any() for one in series),
    )
    said = () if config.season or season == 1 else (f"A season is {season} steps (--season says another).",)
    return codec, (*notes, *more, *most, *said)
