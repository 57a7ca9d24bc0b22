"""Anomaly scores that need no network: what every report puts beside a model's."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnn_jax.errors import UserError

LONGEST_SERIES = 20_000  # rows that a period is looked for in
LAGS = 400
FIRST_LAG = 3
LAST_PEAK = 300  # after the first lag: a later peak is no period
DEFAULT_PERIOD = 125
CHUNK = 4096  # windows scored at once


def random_scores(rows: int, seed: int) -> np.ndarray:
    """Uniform numbers in [0, 1), float64[rows]: what a metric gives for knowing nothing."""
    return np.random.default_rng(seed).random(rows)


def constant_scores(rows: int) -> np.ndarray:
    """Zeros, float64[rows]: every row or none is flagged."""
    return np.zeros(rows)


def last_difference(values: npt.ArrayLike) -> np.ndarray:
    """‖x(t) − x(t − 1)‖ of values[T] or [T, D], float64[T]; 0 for the first row."""
    series = _series(values)
    return np.linalg.norm(np.diff(series, axis=0, prepend=series[:1]), axis=1)


def period_of(values: npt.ArrayLike, default: int = DEFAULT_PERIOD) -> int:
    """Lag of the highest peak of the autocorrelation of values[T], in rows; default where there is no clear one.

    Source: `find_length` of the VUS and TSB-AD benchmarks, which take it as buffer of VUS and as window of Sub-PCA:
    lags 3 to 400, peaks before lag 6 and after 303 don't count.
    """
    series = np.asarray(values, np.float64).ravel()[:LONGEST_SERIES]
    centred = series - series.mean()
    size = 2 * len(series)
    products = np.fft.irfft(np.abs(np.fft.rfft(centred, size)) ** 2, size)[: min(LAGS + 1, len(series))]
    if products[0] <= np.finfo(float).eps * len(series) * max(float(np.abs(series).max()) ** 2, np.finfo(float).tiny):
        return default  # constant but for rounding
    later = products[FIRST_LAG:]
    peaks = np.flatnonzero((later[1:-1] > later[:-2]) & (later[1:-1] > later[2:])) + 1
    if not peaks.size:
        return default
    peak = int(peaks[np.argmax(later[peaks])])
    return peak + FIRST_LAG if FIRST_LAG <= peak <= LAST_PEAK else default


class SubPCA(NamedTuple):
    """Principal components of sliding windows. A window's score is Σₖ ‖z − vₖ‖ / λₖ, z standardised, λₖ in shares.

    window: rows. mean, deviation: [window · D], of each place in a window. components: [K, window · D], unit vectors.
    weights: [K], 1/λₖ.

    Source: Sub-PCA of the TSB-AD benchmark (after pyod), the best classical detector of its univariate table. There
    distances are to the components' ends, as here (with scikit-learn's signs: the largest entry is positive);
    projections on them would be Shyu et al. 2003.
    """

    window: int
    mean: np.ndarray
    deviation: np.ndarray
    components: np.ndarray
    weights: np.ndarray

    def scores(self, values: npt.ArrayLike) -> np.ndarray:
        """Score of each row of values[T] or [T, D], float64[T], of the window around it; ends repeat the nearest.

        Raises:
          UserError: the series is shorter than a window, has other columns than the fitted one, or isn't finite.
        """
        windows = _windows(_series(values), self.window)
        if windows.shape[1] != len(self.mean):
            raise UserError(f"Sub-PCA was fitted on windows of {len(self.mean)} numbers, these have {windows.shape[1]}")
        parts = [self._score(windows[row : row + CHUNK]) for row in range(0, len(windows), CHUNK)]
        before = self.window // 2
        return np.pad(np.concatenate(parts), (before, self.window - 1 - before), mode="edge")

    def _score(self, windows: np.ndarray) -> np.ndarray:
        z = (windows - self.mean) / self.deviation
        squares = (z**2).sum(axis=1, keepdims=True) - 2.0 * z @ self.components.T + 1.0
        return np.sqrt(np.maximum(squares, 0.0)) @ self.weights


def fit_sub_pca(values: npt.ArrayLike, window: int, least_share: float = 1e-9) -> SubPCA:
    """Sub-PCA of the windows of values[T] or [T, D]: of normal data, or, without any, of the series to be scored.

    Components with less than least_share of the variance are left out: they are rounding, and would outweigh all.

    Raises:
      UserError: the series is shorter than a window plus one row, or not finite.
    """
    windows = _windows(_series(values), window)
    if len(windows) < 2:
        raise UserError(f"one window of {window} rows fits into the series: give more rows or a shorter window")
    mean, deviation = windows.mean(axis=0), windows.std(axis=0)
    deviation = np.where(deviation > 0.0, deviation, 1.0)
    z = (windows - mean) / deviation
    variances, axes = np.linalg.eigh(z.T @ z / len(z))
    share = variances / max(float(variances.sum()), np.finfo(float).tiny)
    kept = share > least_share
    components = axes[:, kept].T
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    return SubPCA(window, mean, deviation, components * np.sign(largest), 1.0 / share[kept])


def _series(values: npt.ArrayLike) -> np.ndarray:
    """values[T] or [T, D] as float64[T, D]."""
    array = np.asarray(values, np.float64)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or not array.size:
        raise UserError(f"the series has the shape {array.shape}: give rows of one or more columns")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if bad.size:
        raise UserError(f"{bad.size} of {len(array)} rows are not finite, the first is row {bad[0]}: fill or leave out")
    return array


def _windows(series: np.ndarray, window: int) -> np.ndarray:
    """[T − window + 1, window · D]."""
    if not 1 <= window <= len(series):
        raise UserError(f"window={window}: give 1 to {len(series)}, the rows of the series")
    return np.lib.stride_tricks.sliding_window_view(series, window, axis=0).reshape(len(series) - window + 1, -1)
