"""A table in, the forecast after its last row out."""

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from rnn_jax.data.series.codec import SeriesCodec
from rnn_jax.data.series.from_table import read_series_table
from rnn_jax.data.series.series import Series
from rnn_jax.data.series.spacing import counted, shown
from rnn_jax.data.series.timeline import Timeline
from rnn_jax.data.series.windows import in_order, windows_after
from rnn_jax.data.series_config import SeriesConfig
from rnn_jax.errors import UserError
from rnn_jax.models.apply import Apply
from rnn_jax.models.forecast_score import forecast

_BATCH_SIZE = 64


def forecast_table(
    apply: Apply, codec: SeriesCodec, config: SeriesConfig, path: str, levels: Sequence[float], seed: int
) -> Iterator[dict[str, Any]]:
    """A row for each step to come of each series, in the units of the data: id, time, the forecast of each column.

    Where the model forecasts quantiles, they follow the column that they are of, as "load 0.1". levels: of these.

    Raises:
      UserError: as `read_series_table`; fewer rows than the model looks back; a covariate is not known for a step to
        come; a series that a model with an embedding for each has not seen.
    """
    data = read_series_table(path, _as_trained(config, codec))
    _check(data.series, codec, config, path)
    for note in data.notes:
        print(note, file=sys.stderr, flush=True)
    timeline = Timeline(data.series, codec, config.context_length, config.horizon)
    windows = windows_after(timeline)
    for rows, batch in in_order(timeline, windows, min(_BATCH_SIZE, len(windows))):
        found = jax.device_get(apply(forecast, batch, jax.random.key(seed)))
        for i in np.flatnonzero(rows >= 0):
            yield from _rows(data.series[rows[i]], i, batch, found, codec, levels, data.has_ids)


def _as_trained(config: SeriesConfig, codec: SeriesCodec) -> SeriesConfig:
    return dataclasses.replace(
        config, target=codec.target, past_columns=codec.past, known_future=codec.future, frequency=codec.frequency
    )


def _check(series: Sequence[Series], codec: SeriesCodec, config: SeriesConfig, path: str) -> None:
    for one in series:
        of = f" of the series {one.id!r}" if one.id else ""
        if len(one) < config.context_length and not config.pad_context:
            raise UserError(
                f"{path}: {counted(len(one), 'row')}{of}, and a forecast looks back --context_length="
                f"{config.context_length} rows. Give more, or train with --pad_context."
            )
        codec.require_future(one, config.horizon)
        missing = int(np.isnan(one.values[-config.context_length :]).sum())
        if missing and not codec.has_missing:
            print(
                f"warning: {path}: {counted(missing, 'value')}{of} are missing from what the forecast looks back at,"
                " and the model was trained on data without gaps.",
                file=sys.stderr,
                flush=True,
            )


def _rows(
    series: Series, i: int, batch: dict, found: dict, codec: SeriesCodec, levels: Sequence[float], has_ids: bool
) -> Iterator[dict[str, Any]]:
    horizon = found["point"].shape[1]
    location, scale = batch["location"][i], batch["scale"][i]
    points = found["point"][i] * scale + location
    quantiles = found["quantiles"][i] * scale[:, None] + location[:, None] if "quantiles" in found else None
    times = codec.times(series, len(series) + horizon)[len(series) :] if series.times is not None else None
    for step in range(horizon):
        row: dict[str, Any] = {"id": series.id} if has_ids else {}
        row["step" if times is None else "time"] = step + 1 if times is None else shown(times[step])
        for c, name in enumerate(codec.target):
            row[name] = float(points[step, c])
            if quantiles is not None:
                row |= {f"{name} {level:g}": float(quantiles[step, c, q]) for q, level in enumerate(levels)}
        yield row
