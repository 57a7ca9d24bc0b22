"""All series end to end, scaled, with what is known of each step: windows of any of them are gathered at once."""

from collections.abc import Sequence

import numpy as np

from rnn_jax.data.series.codec import SeriesCodec
from rnn_jax.data.series.series import Series
from rnn_jax.data.series.spacing import counted
from rnn_jax.data.sources import Batch


class Timeline:
    """Each series is followed by `horizon` steps to come, of which nothing is observed.

    values: (N, C) float32, scaled, 0 where missing. mask: (N, C), is it observed? features: (N, P) float32, 0 where
    unknown; num_unknown counts those. starts: (n,) where each series begins. lengths: (n,) without the steps to come.
    location, scale: (n, C) float32. numbers: (n,) of the series, among those of training.
    """

    def __init__(self, series: Sequence[Series], codec: SeriesCodec, context_length: int, horizon: int):
        self.codec, self.context_length, self.horizon = codec, context_length, horizon
        self.lengths = np.array([len(one) for one in series], np.int64)
        ends = context_length + np.cumsum(self.lengths + horizon)  # before the first series, room to look back into
        self.starts = ends - self.lengths - horizon
        size, num_target = int(ends[-1]), len(codec.target)
        self.values, self.mask = np.zeros((size, num_target), np.float32), np.zeros((size, num_target), np.bool_)
        self.features = np.zeros((size, codec.num_features), np.float32)
        scales = [codec.scale_of(one) for one in series]
        self.location = np.stack([location for location, _ in scales]).astype(np.float32)
        self.scale = np.stack([scale for _, scale in scales]).astype(np.float32)
        self.static = np.stack([codec.static.encode(one.static) for one in series]).reshape(len(series), -1)
        self.numbers = np.array([codec.number_of(one) for one in series], np.int32)
        self.num_unknown = 0
        for one, start, (location, scale) in zip(series, self.starts, scales, strict=True):
            rows = slice(start, start + len(one))
            scaled = codec.target_scaler.scaled(one.values, location, scale)
            self.mask[rows] = np.isfinite(scaled)
            self.values[rows] = np.where(self.mask[rows], scaled, 0.0)
            features = codec.features(one, horizon)
            self.num_unknown += int(np.isnan(features[: len(one)]).sum())
            self.features[start : start + len(one) + horizon] = np.nan_to_num(features)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know."""
        if not self.num_unknown:
            return ()
        missing = counted(self.num_unknown, "value")
        return (f"Covariates: {missing} missing; models read the mean of the column in their place.",)

    def gather(self, series: np.ndarray, at: np.ndarray) -> Batch:
        """Windows whose first steps to forecast are rows `at` (B,) of the series (B,); −1 only fills the batch.

        What is before the first row of a series is missing. The arrays are those that models get: past (B, L, C) and
        past_mask, past_features (B, L, P), future_features (B, H, F), static (B, S), series (B,), target (B, H, C) and
        target_mask, location and scale (B, C), weights (B,).
        """
        length, is_real = self.context_length, series >= 0
        series = np.where(is_real, series, 0)
        first = np.where(is_real, self.starts[series] + at, length)
        begin = first - length
        past, past_mask = _windows(self.values, begin, length), _windows(self.mask, begin, length)
        past_features = _windows(self.features, begin, length)
        num_before = np.where(is_real, np.minimum(at, length), 0)  # rows of the series that are there to look back into
        for row in np.flatnonzero(num_before < length):
            for array in (past, past_mask, past_features):
                array[row, : length - num_before[row]] = 0
        target, target_mask = _windows(self.values, first, self.horizon), _windows(self.mask, first, self.horizon)
        future_features = _windows(self.features, first, self.horizon)[:, :, : self.codec.num_future].copy()
        for array in (target, target_mask, future_features):
            array[~is_real] = 0
        return {
            "past": past,
            "past_mask": past_mask,
            "past_features": past_features,
            "future_features": future_features,
            "static": self.static[series],
            "series": self.numbers[series],
            "target": target,
            "target_mask": target_mask,
            "location": self.location[series],
            "scale": self.scale[series],
            "weights": is_real.astype(np.float32),
        }


def _windows(values: np.ndarray, begin: np.ndarray, length: int) -> np.ndarray:
    """(N, C) → (B, length, C): copies of the rows that follow each begin (B,)."""
    size = values.shape[1]
    if not size:
        return np.zeros((len(begin), length, 0), values.dtype)
    # A view whose row i is the window that begins there: each is one block of memory, unlike an index for every step.
    return np.lib.stride_tricks.sliding_window_view(values, (length, size))[:, 0][begin]
