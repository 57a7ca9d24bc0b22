"""NAB's windowed Gaussian: how far out a value lies among those before it; the baseline for single series."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnn_jax.errors import UserError

WINDOW = 6400
STEP = 100
LEAST_SPREAD = 1e-6  # instead of a standard deviation of 0


class WindowedGaussian(NamedTuple):
    """The state after some values: what is in the window, what waits to enter it, and the Gaussian of the window.

    window, step: rows. Until the window is full each value enters at once; then it slides on by step values when so
    many have come. The default ones are those tuned on NAB.

    Source: NAB's code, detector `windowedGaussian`.
    """

    window: int = WINDOW
    step: int = STEP
    values: np.ndarray = np.empty(0)
    waiting: np.ndarray = np.empty(0)
    mean: float = 0.0
    variance: float = 0.0

    def score(self, value: float) -> tuple[float, "WindowedGaussian"]:
        """1 − P(X > |value| on its side), from 0.5 at the mean to 1 far out, and the state after the value.

        The first value gets 0: there is nothing to compare with.

        Raises:
          UserError: the value is not finite.
        """
        deviations, after = self.deviations(value)
        return 1.0 - 0.5 * math.erfc(deviations / math.sqrt(2.0)) if len(self.values) else 0.0, after

    def deviations(self, value: float) -> tuple[float, "WindowedGaussian"]:
        """|value − mean| in standard deviations, which ranks as the score does, and nowhere comes to 1; 0 at first.

        Raises:
          UserError: as `score`.
        """
        if not math.isfinite(value):
            raise UserError(f"the value {value} is no number: fill missing values or leave their rows out")
        spread = math.sqrt(self.variance) or LEAST_SPREAD
        return abs(value - self.mean) / spread if len(self.values) else 0.0, self._after(value)

    def _after(self, value: float) -> "WindowedGaussian":
        count = len(self.values) + 1
        if count <= self.window:  # Welford's update
            mean = self.mean + (value - self.mean) / count
            squares = self.variance * (count - 1) + (value - self.mean) * (value - mean)
            return self._replace(values=np.append(self.values, value), mean=mean, variance=squares / count)
        waiting = np.append(self.waiting, value)
        if len(waiting) < self.step:
            return self._replace(waiting=waiting)
        values = np.concatenate([self.values, waiting])[-self.window :]
        return self._replace(
            values=values, waiting=np.empty(0), mean=float(values.mean()), variance=float(values.var())
        )


def windowed_gaussian(values: npt.ArrayLike, window: int = WINDOW, step: int = STEP) -> np.ndarray:
    """Scores of a whole series of values[T], float64[T]: `WindowedGaussian` value by value.

    Raises:
      UserError: values are no series, or one is not finite.
    """
    series = np.asarray(values, np.float64)
    if series.ndim != 1:
        raise UserError(f"values have the shape {series.shape}: the windowed Gaussian scores one series of numbers")
    state = WindowedGaussian(window, step)
    scores = np.empty(len(series))
    for row, value in enumerate(series):
        scores[row], state = state.score(float(value))
    return scores
