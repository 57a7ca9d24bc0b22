"""Values that are missing, taken for those before them."""

import numpy as np


def held(values: np.ndarray, known: np.ndarray, axis: int) -> np.ndarray:
    """Values in which one that is not known is the last before it along the axis that is; before the first one, that.

    Where nothing is known along the axis, all are what the first place holds.
    """
    steps = np.arange(values.shape[axis])
    steps = np.expand_dims(steps, [other for other in range(values.ndim) if other != axis])
    before = np.maximum.accumulate(np.where(known, steps, -1), axis=axis)
    first = known.argmax(axis=axis, keepdims=True)
    return np.take_along_axis(values, np.where(before < 0, first, before), axis=axis)
