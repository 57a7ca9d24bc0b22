"""Which units of a recurrent net are worth a look: Karpathy et al. 2015 found them by eye, here they are ranked."""

import numpy as np

from rnn_jax.numerics import check_integer
from rnn_jax.types import Array, Float


def choose_units(activations: Float[np.ndarray, "T U"] | Float[Array, "T U"], number: int, lag: int = 5) -> list[int]:
    """Numbers of the units that hold most over time, the best first.

    By the autocovariance 1/T Σ_t (a_t − ā) (a_{t+lag} − ā), t = 1 … T − lag, which is variance times autocorrelation:
    large for a unit that swings widely and has not changed its mind `lag` tokens later. For activations in [−1, 1], it
    is near its most, 1, where the unit is saturated in both directions, for long stretches, half of the time each: what
    such a unit says can be read off its picture. Noise, however loud, has about 0.

    It compares units of one range: of cell states, which have none, give the tanh, as Karpathy et al. show it.

    Args:
      activations: one row a token.
      number: most units to choose. Fewer, if there are fewer that change and are finite at every token: the others are
        left out. Of equal ones, the lower number comes first.
      lag: tokens; 5 characters are about a word. In a shorter passage, T − 1.

    Raises:
      ValueError: activations that are no (T, U); a number or lag that is no integer of at least 1.
    """
    check_integer("number", number, 1)
    check_integer("lag", lag, 1)
    values = np.asarray(activations, np.float64)
    if values.ndim != 2:
        raise ValueError(f"activations are (T, U), a row for each token; got shape {values.shape}.")
    length = len(values)
    if length < 2:
        return []  # nothing changes
    steady = np.isfinite(values).all(axis=0)
    candidates = np.flatnonzero(steady & (values != values[:1]).any(axis=0))
    centred = values[:, candidates] - values[:, candidates].mean(axis=0, keepdims=True)
    apart = min(lag, length - 1)
    scores = (centred[:-apart] * centred[apart:]).sum(axis=0) / length
    return candidates[np.argsort(-scores, kind="stable")][:number].tolist()
