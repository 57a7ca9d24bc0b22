"""How large the windows of a data set of series are; known before there is a network."""

from typing import NamedTuple


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
