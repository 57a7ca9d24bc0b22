"""The linear baseline of every forecast: one matrix from the look-back to the horizon, solved, not trained.

With x (L,) the look-back of a column less its last value, and y (H,) what follows, less the same value,

    y = x W + b,   W, b = argmin Σ ‖x W + b − y‖² + λ ‖W‖²

over all training windows and columns alike; λ is the one of `RIDGES` with which validation windows are foreseen best.
This is NLinear (Zeng et al. 2023, "Are transformers effective for time series forecasting?"), one matrix for all
columns, in closed form (Toner & Darlow 2024, "An analysis of linear time series forecasting models", who find it better
than the same model trained by SGD).
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from rnn_jax.data.holding import held
from rnn_jax.data.sources import Batch
from rnn_jax.types import Float

RIDGES = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""λ, as multiples of the mean square that a place of the look-back has over all training windows."""


class LinearForecast(NamedTuple):
    """weights: W. bias: b. ridge: the chosen one of `RIDGES`."""

    weights: Float[np.ndarray, "L H"]
    bias: Float[np.ndarray, " H"]
    ridge: float

    def __call__(self, batch: Batch) -> Float[np.ndarray, "B H C"]:
        """The forecasts of a batch; a value that is missing from the look-back is taken for the one before it."""
        past = held(batch["past"], batch["past_mask"], axis=1)
        last = past[:, -1:]
        return np.einsum("blc,lh->bhc", past - last, self.weights) + self.bias[None, :, None] + last


def fit_linear(train: Iterable[Batch], validation: Iterable[Batch]) -> LinearForecast | None:
    """Solves for W and b on the training windows whose targets are wholly observed; None where there are none."""
    products, crossed, count = _moments(train)
    if not count:
        return None
    means = products[-1, :-1] / count, crossed[-1] / count  # of x and of y
    covariance = products[:-1, :-1] / count - np.outer(means[0], means[0])
    crossed = crossed[:-1] / count - np.outer(*means)
    values, vectors = np.linalg.eigh(covariance)
    found = []
    for ridge in RIDGES:
        added = ridge * max(np.trace(covariance) / len(covariance), np.finfo(np.float64).tiny)
        weights = vectors @ ((vectors.T @ crossed) / (np.maximum(values, 0) + added)[:, None])
        found.append(LinearForecast(weights, means[1] - means[0] @ weights, ridge))
    errors = np.zeros(len(found))
    for past, target in _rows(validation):
        for i, forecast in enumerate(found):
            errors[i] += np.square(past @ forecast.weights + forecast.bias - target).sum()
    return found[int(errors.argmin())]


def _rows(batches: Iterable[Batch]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(n, L) and (n, H) of each batch, float64, less the last value of the look-back."""
    for batch in batches:
        past = held(batch["past"], batch["past_mask"], axis=1)
        whole = batch["target_mask"].all(axis=1) & (batch["weights"] > 0)[:, None]  # (B, C)
        last = past[:, -1]
        x, y = ((values - last[:, None]).swapaxes(1, 2)[whole] for values in (past, batch["target"]))
        yield x.astype(np.float64), y.astype(np.float64)


def _moments(batches: Iterable[Batch]) -> tuple[np.ndarray, np.ndarray, int]:
    """Sums over rows (x, 1): of its products with itself (L + 1, L + 1), and with y (L + 1, H); and their number."""
    inputs, targets, count = np.zeros(()), np.zeros(()), 0
    for x, y in _rows(batches):
        with_one = np.concatenate([x, np.ones((len(x), 1))], axis=1)
        inputs, targets, count = inputs + with_one.T @ with_one, targets + with_one.T @ y, count + len(x)
    return inputs, targets, count
