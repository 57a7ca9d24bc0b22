"""How large the windows of a data set of series are; known before there is a network."""

from typing import NamedTuple

from rnn_jax.data.series.codec import SeriesCodec
from rnn_jax.data.series_config import SeriesConfig


class SeriesSizes(NamedTuple):
    """Steps of context and horizon; numbers a step of targets, past and future features; static numbers; series.

    has_missing: whether values of the past may be missing; then the mask is an input.
    """

    context_length: int
    horizon: int
    num_targets: int
    num_past_features: int = 0
    num_future_features: int = 0
    num_static: int = 0
    num_series: int = 1
    has_missing: bool = False


def sizes_of(config: SeriesConfig, codec: SeriesCodec) -> SeriesSizes:
    """Those of the windows that a source of such series has."""
    return SeriesSizes(
        config.context_length, config.horizon, len(codec.target), codec.num_features, codec.num_future,
        codec.static.size, len(codec.ids), codec.has_missing,
    )  # fmt: skip
