"""Anomaly scores from the errors of a model: how unlikely an error is under the errors on normal data."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnn_jax.errors import UserError

FLOOR = 1e-6  # of the mean variance: below it a direction counts as one in which normal errors don't vary
LEAST_ERRORS = 2


class ErrorGaussian(NamedTuple):
    """N(mean, Σ) over error vectors of D entries. Each row is scored by itself: alike in a stream and in a batch.

    mean: [D]. axes: [D, D], the eigenvectors of Σ in columns. variances: [D], along them, none below the floor.

    Source: Malhotra et al. 2015, Long Short Term Memory Networks for Anomaly Detection in Time Series: p of the error
    vector, of all forecasts made for the same point.
    """

    mean: np.ndarray
    axes: np.ndarray
    variances: np.ndarray

    def distance(self, errors: npt.ArrayLike) -> np.ndarray:
        """Mahalanobis distance √((e − μ)ᵀ Σ⁻¹ (e − μ)) of errors[..., D], a score in standard deviations."""
        along = (np.asarray(errors, np.float64) - self.mean) @ self.axes
        return np.asarray(np.sqrt((along**2 / self.variances).sum(axis=-1)))

    def surprise(self, errors: npt.ArrayLike) -> np.ndarray:
        """−log p(e) in nats of errors[..., D]: (distance² + log det 2πΣ) / 2. Ranks rows as the distance does."""
        normaliser = np.log(2.0 * math.pi * self.variances).sum()
        return np.asarray((self.distance(errors) ** 2 + normaliser) / 2.0)


def fit_gaussian(errors: npt.ArrayLike, floor: float = FLOOR) -> ErrorGaussian:
    """Mean and covariance (divided by N) of the errors[N, D] on normal data that the model was not trained on.

    Variances along the eigenvectors are raised to floor × their mean, so that Σ can be inverted: an error in a
    direction in which normal errors never vary is far off, and not left out. Are all errors alike, Σ is 1.

    Raises:
      UserError: errors are no matrix, fewer than two, or not finite.
    """
    array = np.asarray(errors, np.float64)
    if array.ndim != 2 or len(array) < LEAST_ERRORS or not array.shape[1]:
        raise UserError(f"errors have the shape {array.shape}: give at least {LEAST_ERRORS} rows of error vectors")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if bad.size:
        raise UserError(
            f"{bad.size} of {len(array)} error vectors are not finite, the first in row {bad[0]}: leave out"
        )
    mean = array.mean(axis=0)
    variances, axes = np.linalg.eigh((array - mean).T @ (array - mean) / len(array))
    level = float(np.maximum(variances, 0.0).mean())
    return ErrorGaussian(mean, axes, np.maximum(variances, floor * level) if level else np.ones_like(variances))
