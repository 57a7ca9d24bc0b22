"""Units of windows by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from rnn_jax.models.window_normalization import WindowNormalization, last_observed

NAN = float("nan")
PAST = jnp.array([[[1.0], [2.0], [4.0], [NAN]], [[NAN]] * 4])
OBSERVED = jnp.array([[[True], [True], [True], [False]], [[False]] * 4])
DEVIATION = np.sqrt(14 / 9 + 1e-5)  # of 1, 2, 4 about 7/3


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("none", [1, 2, 4, 0]),
        ("last", [-3, -2, 0, 0]),
        ("mean_abs", [3 / 7, 6 / 7, 12 / 7, 0]),
        ("revin", [2 * (x - 7 / 3) / DEVIATION - 0.5 for x in (1, 2, 4)] + [0]),
    ],
)
def test_by_hand_and_back(kind, expected):
    """Slope 2 and intercept −½ of RevIN; a window in which nothing is observed keeps its units (but for that map)."""
    normalization = WindowNormalization(kind, 1)
    if kind == "revin":
        normalization.slope.set_value(jnp.array([2.0]))
        normalization.intercept.set_value(jnp.array([-0.5]))
    units = normalization(PAST, OBSERVED)
    found = units.normalize(PAST, OBSERVED)
    np.testing.assert_allclose(found[0, :, 0], expected, rtol=1e-5, atol=1e-6)
    back = units.factor * found + units.offset
    np.testing.assert_allclose(back[0, :3, 0], [1, 2, 4], rtol=1e-5)
    np.testing.assert_array_equal(found[1], 0)
    np.testing.assert_allclose(units.factor[1], 0.5 if kind == "revin" else 1)
    np.testing.assert_allclose(units.offset[1], 0.25 if kind == "revin" else 0)


def test_mean_size_of_counts_and_of_nothing():
    """1 + mean of counts, as DeepAR's; zeros leave ν at 1."""
    (factor, _) = WindowNormalization("mean_abs", 1, of_counts=True)(PAST, OBSERVED)
    np.testing.assert_allclose(factor[:, 0, 0], [10 / 3, 1])
    zeros, everything = jnp.zeros((1, 3, 1)), jnp.ones((1, 3, 1), bool)
    assert WindowNormalization("mean_abs", 1)(zeros, everything).factor[0, 0, 0] == 1


def test_the_last_value_of_each_column():
    observed = jnp.array([[[True, False], [False, True], [False, False]]])
    past = jnp.array([[[5.0, NAN], [NAN, -2.0], [NAN, NAN]]])
    np.testing.assert_array_equal(last_observed(past, observed), [[[5.0, -2.0]]])


def test_kinds():
    with pytest.raises(ValueError, match="No normalization 'z_score'; there are: none, last, revin, mean_abs"):
        WindowNormalization("z_score", 1)
