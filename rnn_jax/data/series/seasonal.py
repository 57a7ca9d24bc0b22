"""Forecasts that need no training: what every model has to beat.

Histories are (B, T, C) with NaN where missing, forecasts (B, H, C); NaN where a history has no value at all.
"""

import numpy as np

_CRITICAL = 1.645  # of the standard normal distribution, 90 % two-sided, as in the M4 competition
_LAGS_PER_DECADE = 10  # R's acf() looks at 10 · log10(n) lags
_CYCLES = 3  # fewer than three seasons say nothing of a season


def repeat_last(history: np.ndarray, horizon: int) -> np.ndarray:
    """ŷ_{T+h} = y_T, the last value that is not missing."""
    return np.repeat(_last_known(history)[:, None], horizon, axis=1)


def seasonal_naive(history: np.ndarray, season: int, horizon: int) -> np.ndarray:
    """ŷ_{T+h} = y_{T+h−m·k}, k the smallest with a value; the last value where the history is shorter than m."""
    num_seasons = history.shape[1] // season
    if not num_seasons:
        return repeat_last(history, horizon)
    seasons = history[:, history.shape[1] - num_seasons * season :]
    seasons = seasons.reshape(len(history), num_seasons, -1)
    last = _last_known(seasons).reshape(len(history), season, -1)
    forecast = last[:, np.arange(horizon) % season]
    return np.where(np.isnan(forecast), repeat_last(history, horizon), forecast)


def drift(history: np.ndarray, horizon: int) -> np.ndarray:
    """ŷ_{T+h} = y_T + h (y_T − y_1) / (T − 1): the line through the first and the last value that are not missing."""
    known = ~np.isnan(history)
    length = history.shape[1]
    first_at, last_at = known.argmax(axis=1), length - 1 - known[:, ::-1].argmax(axis=1)
    first = np.take_along_axis(history, first_at[:, None], axis=1)
    last = np.take_along_axis(history, last_at[:, None], axis=1)
    slope = (last - first) / np.maximum(last_at - first_at, 1)[:, None]
    steps = np.arange(1, horizon + 1)[:, None] + (length - 1 - last_at)[:, None]
    return last + slope * steps


def _last_known(history: np.ndarray) -> np.ndarray:
    """(B, T, C) → (B, C)."""
    at = history.shape[1] - 1 - (~np.isnan(history))[:, ::-1].argmax(axis=1)
    return np.take_along_axis(history, at[:, None], axis=1)[:, 0]


def naive2(history: np.ndarray, season: int, horizon: int) -> np.ndarray:
    """The last value of the series without its season, times the season, where the series (T,) has one; (H,).

    The benchmark of the M4 competition (Makridakis et al., 2020), as its R code has it: whether there is a season is
    tested with `has_season`, and the season found by classical multiplicative decomposition. Values that are not
    positive, and missing ones, have no such season.
    """
    known = history[~np.isnan(history)]
    if not len(known):
        return np.full(horizon, np.nan)
    index = np.ones(season)
    if len(known) == len(history) and (known > 0).all() and has_season(history, season):
        index = seasonal_index(history, season)
    length = len(history)
    return known[-1] / index[(length - 1) % season] * index[(length + np.arange(horizon)) % season]


def has_season(history: np.ndarray, season: int) -> bool:
    """Is the autocorrelation at lag m beyond 1.645 √((1 + 2 Σ_{k<m} r_k²) / T)? Never with fewer than three seasons.

    Nor where m is more than 10 · log10(T) lags, which R's acf() does not look at.
    """
    length = len(history)
    if season < 2 or length < _CYCLES * season or season > int(_LAGS_PER_DECADE * np.log10(length)):
        return False
    centred = history - history.mean()
    variance = centred @ centred
    if variance == 0:
        return False
    r = np.array([centred[:-lag] @ centred[lag:] for lag in range(1, season + 1)]) / variance
    limit = _CRITICAL * np.sqrt((1 + 2 * np.square(r[:-1]).sum()) / length)
    return bool(abs(r[-1]) > limit)


def seasonal_index(history: np.ndarray, season: int) -> np.ndarray:
    """(m,) of mean 1: what each step of a season is of the trend, as R's decompose(…, "multiplicative") finds it.

    The trend is a centred moving average over a season, with half weights at its ends where m is even.
    """
    weights = np.ones(season) if season % 2 else np.concatenate([[0.5], np.ones(season - 1), [0.5]])
    trend = np.convolve(history, weights / season, mode="valid")
    offset = len(weights) // 2
    ratio = np.full(len(history), np.nan)
    ratio[offset : offset + len(trend)] = history[offset : offset + len(trend)] / trend
    index = np.array([np.nanmean(ratio[step::season]) for step in range(season)])
    return index / index.mean()
