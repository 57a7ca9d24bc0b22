"""What scales are fitted with."""

import numpy as np


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean, standard deviation ÷ n) of the columns of values (N, C), without those that are not finite; 0 of none."""
    known = np.isfinite(values)
    counts = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0) / counts
    return mean, np.sqrt(np.square(np.where(known, values - mean, 0.0)).sum(axis=0) / counts)
