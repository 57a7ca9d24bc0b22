"""A table in, the forecast after its last row out."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from rnn_jax.data.series.codec import SeriesCodec, read_like
from rnn_jax.data.series.series import Series, of_series
from rnn_jax.data.series.spacing import counted, written
from rnn_jax.data.series.timeline import Timeline
from rnn_jax.data.series.windows import in_order, windows_after
from rnn_jax.data.series_config import SeriesConfig
from rnn_jax.models.apply import Apply
from rnn_jax.models.forecast_score import forecast

_BATCH_SIZE = 64


def forecast_table(
    apply: Apply,
    codec: SeriesCodec,
    config: SeriesConfig,
    path: str,
    levels: Sequence[float],
    seed: int,
    *,
    told_apart: bool,
) -> Iterator[dict[str, Any]]:
    """A row for each step to come of each series, in the units of the data: id, time, the forecast of each column.

    Where the model forecasts quantiles, they follow the column that they are of, as "load 0.1". levels: of these.
    told_apart: whether the model has numbers for each series, and knows no others.

    Raises:
      UserError: as `read_like` and `windows_after`; a covariate is not known for a step to come; an unknown series.
    """
    data = read_like(path, codec, config)
    for one in data.series if told_apart else ():
        codec.require_known(one)
    for note in (*data.notes, *_notes(data.series, codec, config)):
        print(note, file=sys.stderr, flush=True)
    timeline = Timeline(data.series, codec, config.context_length, config.horizon)
    windows = windows_after(timeline, [one.id for one in data.series], pad_context=config.pad_context)
    for rows, batch in in_order(timeline, windows, min(_BATCH_SIZE, len(windows))):
        found = jax.device_get(apply(forecast, batch, jax.random.key(seed)))
        for i in np.flatnonzero(rows >= 0):
            yield from _rows(data.series[rows[i]], int(i), batch, found, codec, levels, data.has_ids)


def _notes(series: Sequence[Series], codec: SeriesCodec, config: SeriesConfig) -> Iterator[str]:
    """What the model cannot make much of. UserError: it lacks what is known in advance."""
    for one in series:
        codec.require_future(one, config.horizon)
        missing = int(np.isnan(one.values[-config.context_length :]).sum())
        if missing and not codec.has_missing:
            yield (
                f"warning: {counted(missing, 'value')}{of_series(one.id)} missing where the forecast looks back,"
                " and the model was trained on data without gaps."
            )


def _rows(
    series: Series, i: int, batch: dict, found: dict, codec: SeriesCodec, levels: Sequence[float], has_ids: bool
) -> Iterator[dict[str, Any]]:
    horizon = found["point"].shape[1]
    location, scale = batch["location"][i], batch["scale"][i]
    in_units = codec.target_scaler.in_units
    points = in_units(found["point"][i], location, scale)
    quantiles = in_units(found["quantiles"][i], location[:, None], scale[:, None]) if "quantiles" in found else None
    times = None
    if series.times is not None and codec.step is not None:
        times = written(codec.times(series, len(series) + horizon)[len(series) :], codec.step)
    for step in range(horizon):
        row: dict[str, Any] = {"id": series.id} if has_ids else {}
        row["step" if times is None else "time"] = step + 1 if times is None else times[step]
        for c, name in enumerate(codec.target):
            row[name] = _short(points[step, c])
            if quantiles is not None:
                row |= {f"{name} {level:g}": _short(quantiles[step, c, q]) for q, level in enumerate(levels)}
        yield row


def _short(value: np.floating) -> float:
    """The number with as many digits as float32 knows."""
    return float(str(np.float32(value)))
