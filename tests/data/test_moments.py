"""Means and deviations of columns, by hand."""

import numpy as np

from rnn_jax.data.moments import moments


def test_what_is_missing_counts_nowhere():
    nan = np.nan
    values = np.array([[1.0, nan, 5.0], [3.0, nan, 5.0], [nan, nan, 5.0], [5.0, np.inf, 5.0]])
    mean, deviation = moments(values)
    assert mean.tolist() == [3, 0, 5]
    np.testing.assert_allclose(deviation, [np.sqrt(8 / 3), 0, 0])
