"""Missing values, by hand."""

import numpy as np

from rnn_jax.data.holding import held


def test_a_missing_value_is_the_one_before_it():
    values = np.array([[1, -1, 3, -1], [-1, -1, 5, 7], [-2, -3, -4, -5]])
    known = values > 0
    expected = [[1, 1, 3, 3], [5, 5, 5, 7], [-2, -2, -2, -2]]
    assert held(values, known, axis=1).tolist() == expected
    assert held(values.T, known.T, axis=0).T.tolist() == expected
    stacked = [np.stack([array, array[::-1]], axis=-1) for array in (values, known)]  # (3, 4, 2)
    assert held(*stacked, axis=1).tolist() == np.stack([expected, expected[::-1]], axis=-1).tolist()
