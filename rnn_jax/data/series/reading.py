"""Series as windows: what training reads, and parts to score."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from rnn_jax.data.parts import Data
from rnn_jax.data.series.codec import SeriesCodec, fit_series_codec
from rnn_jax.data.series.linear import LinearForecast, fit_linear
from rnn_jax.data.series.parts import PARTS, SeriesParts, read_series, read_series_parts
from rnn_jax.data.series.series import Series, of_series
from rnn_jax.data.series.timeline import Timeline
from rnn_jax.data.series.windows import SeriesWindows, Windows, in_order, windows_of
from rnn_jax.data.series_config import SeriesConfig
from rnn_jax.data.sources import Batch
from rnn_jax.errors import UserError
from rnn_jax.metrics.forecasts import naive_scale

_SCORE_BATCH_SIZE = 256
_SEASONS = 2  # to look back for the seasonal forecast: where a value is missing, that of the season before it


class ForecastPart(NamedTuple):
    """Windows to score, and what the naive forecasts of them need.

    series: whole, in the units of the data. naive_scales: (n, C), the seasonal naive forecast's error before the part.
    whole: the same windows with a look-back of at least two seasons. linear: the linear forecast, solved on the first
    call for all parts; None where no training window is wholly observed.
    """

    name: str
    codec: SeriesCodec
    series: tuple[Series, ...]
    timeline: Timeline
    whole: Timeline
    windows: Windows
    naive_scales: np.ndarray
    linear: Callable[[], LinearForecast | None]

    def batches(self) -> Iterator[tuple[np.ndarray, Batch]]:
        """Every window once: (numbers of windows, −1 for one that only fills the batch; the batch)."""
        return in_order(self.timeline, self.windows, min(_SCORE_BATCH_SIZE, len(self.windows)))

    def gather(self, numbers: np.ndarray) -> Batch:
        """The batch of these windows."""
        return self.timeline.gather(self.windows.series[numbers], self.windows.at[numbers])

    def only(self, numbers: np.ndarray) -> "ForecastPart":
        """The part that has these windows alone."""
        return self._replace(windows=Windows(self.windows.series[numbers], self.windows.at[numbers]))


def read_forecasting(config: SeriesConfig, seed: int, known: SeriesCodec | None) -> Data:
    """Reads all parts; the codec is fitted on the training rows, or a known one."""
    parts = read_series_parts(config)
    codec, notes = fit_series_codec(parts, config)
    if known is not None:
        codec, notes = known, ()
    windows = {
        part: windows_of(
            parts,
            part,
            config.context_length,
            config.horizon,
            stride=config.stride if part == "train" else 1,
            pad_context=config.pad_context,
        )
        for part in PARTS
    }
    make_part = _parts_of(parts, codec, config, windows)
    scored = {part: make_part(part) for part in PARTS[1:] if parts.has(part)}
    for part, found in scored.items():
        if not len(found.windows):
            raise UserError(
                f"{part}: no window of --context_length={config.context_length} and --horizon={config.horizon} rows"
                f" ends there. {' '.join(found.windows.notes)} Lower them, or cut other parts."
            )
    sizes = ", ".join(f"{part} {len(found):,}" for part, found in windows.items() if len(found))
    intro = f"Windows of {config.context_length} + {config.horizon} steps: {sizes}."
    lacking = tuple(note for found in windows.values() for note in found.notes)

    def source() -> SeriesWindows:
        train = dataclasses.replace(windows["train"], notes=())  # said already
        return SeriesWindows(make_part("train").timeline, train, config.batch_size, seed=seed)

    return Data(
        functools.cache(source), scored, codec, (*parts.notes, *notes, intro, *lacking),
        train_part=functools.partial(make_part, "train"),
    )  # fmt: skip


def require_counts(part: ForecastPart) -> None:
    """UserError where a value of the series is no count: below 0, or a fraction."""
    for series in part.series:
        wrong = (series.values < 0) | (series.values != np.round(series.values)) & np.isfinite(series.values)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise UserError(
                f"--output=negative_binomial is of counts, and {part.codec.target[column]} is"
                f" {series.values[row, column]:g} in row {row + 1}{of_series(series.id)}. Give --output=student_t or"
                " another one."
            )


def read_forecast_part(config: SeriesConfig, codec: SeriesCodec, name: str) -> ForecastPart:
    """One file or split, all of whose windows are scored; the linear forecast is solved on the run's own training part.

    Raises:
      UserError: as the readers; it has no window.
    """
    data = read_series(name, config)
    lengths = np.array([len(one) for one in data.series])
    bounds = np.stack([np.zeros_like(lengths), np.zeros_like(lengths), np.zeros_like(lengths), lengths], axis=1)
    own = read_series_parts(config)
    parts = SeriesParts(data, bounds, ())
    shape = (config.context_length, config.horizon)
    found = windows_of(parts, "test", *shape, pad_context=config.pad_context)
    if not len(found):
        raise UserError(f"{name}: no series has a window of {shape[0]} + {shape[1]} rows (context and horizon).")
    trained = {part: windows_of(own, part, *shape, pad_context=config.pad_context) for part in PARTS}
    of_training = _parts_of(own, codec, config, trained)("validation")
    part = _parts_of(parts, codec, config, {"test": found})("test")
    scales = _naive_scales(data.series, lengths, codec.season)
    return part._replace(name=name, naive_scales=scales, linear=of_training.linear)


def _parts_of(
    parts: SeriesParts, codec: SeriesCodec, config: SeriesConfig, windows: dict[str, Windows]
) -> Callable[[str], ForecastPart]:
    series, size = parts.data.series, (config.context_length, config.horizon)
    timeline = functools.cache(lambda: Timeline(series, codec, *size))
    longer = max(config.context_length, _SEASONS * codec.season)
    whole = functools.cache(lambda: timeline() if longer == size[0] else Timeline(series, codec, longer, size[1]))

    def batches(part: str) -> Iterator[Batch]:
        found = windows[part]
        return (batch for _, batch in in_order(timeline(), found, _SCORE_BATCH_SIZE))

    linear = functools.cache(lambda: fit_linear(batches("train"), batches("validation")))

    def make(part: str) -> ForecastPart:
        before = parts.bounds[:, max(PARTS.index(part), 1)]
        scales = _naive_scales(series, before, codec.season)
        return ForecastPart(part, codec, series, timeline(), whole(), windows[part], scales, linear)

    return make


def _naive_scales(series: tuple[Series, ...], ends: np.ndarray, season: int) -> np.ndarray:
    """(n, C): of the rows of each series before its end."""
    return np.stack([naive_scale(one.values[:end], season) for one, end in zip(series, ends, strict=True)])
