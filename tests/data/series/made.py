"""Small series of noise, and parts of them."""

import numpy as np

from rnn_jax.data.series.frequency import Frequency, times_at
from rnn_jax.data.series.parts import SeriesParts
from rnn_jax.data.series.series import Columns, Series, SeriesSet

START = np.datetime64("2020-01-01", "us")


def hourly(length, identity="", columns=2, seed=0, past=0, future=0):
    """A series of noise, a tenth of it missing."""
    random = np.random.default_rng(seed)
    values = random.normal(3, 2, (length, columns))
    values[random.random(values.shape) < 0.1] = np.nan
    times = times_at(np.arange(length), START, Frequency("h"))
    covariates = random.normal(size=(2, length, 3))
    return Series(identity, values, times, covariates[0, :, :past], covariates[1, :, :future])


def whole(*series, bounds):
    """Parts of series that are at hand."""
    columns = Columns(
        tuple(f"y{i}" for i in range(series[0].values.shape[1])),
        tuple(f"p{i}" for i in range(series[0].past.shape[1])),
        tuple(f"k{i}" for i in range(series[0].future.shape[1])),
    )
    return SeriesParts(SeriesSet("here", series, columns, Frequency("h")), np.array(bounds), ())
