"""The linear baseline: what it solves, and what it does where values are missing."""

import numpy as np
from sklearn.linear_model import Ridge

from rnn_jax.data.series.linear import RIDGES, fit_linear

LENGTH, HORIZON = 6, 3


def batch_of(values, observed=None):
    """All windows of series (T, C), as one batch."""
    observed = np.ones(values.shape, bool) if observed is None else observed
    starts = range(len(values) - LENGTH - HORIZON + 1)
    cut = lambda a, first, size: np.stack([a[i + first : i + first + size] for i in starts])  # noqa: E731
    return {
        "past": np.where(cut(observed, 0, LENGTH), cut(values, 0, LENGTH), 0),
        "past_mask": cut(observed, 0, LENGTH),
        "target": np.where(cut(observed, LENGTH, HORIZON), cut(values, LENGTH, HORIZON), 0),
        "target_mask": cut(observed, LENGTH, HORIZON),
        "weights": np.ones(len(starts), np.float32),
    }


def waves(length=80):
    steps = np.arange(length)
    return np.stack([np.sin(steps * 0.7), 3 + 2 * np.cos(steps * 0.7 + 1)], axis=1)


def test_a_wave_is_foreseen_whatever_its_phase_height_and_level():
    """y_{t+1} = 2 cos(ω) y_t − y_{t−1} holds for both columns, about a level that differences do not see."""
    batch = batch_of(waves())
    forecast = fit_linear([batch], [batch])
    np.testing.assert_allclose(forecast(batch), batch["target"], atol=1e-4)
    assert forecast.ridge == RIDGES[0]


def test_the_solution_is_that_of_ridge_regression():
    """Of scikit-learn, on the same rows; one column, so that these are plain to write down."""
    rng = np.random.default_rng(0)
    values = np.cumsum(rng.normal(size=(60, 1)), axis=0)
    train, validation = batch_of(values[:40]), batch_of(values[40:])
    found = fit_linear([train], [validation])
    x = (train["past"] - train["past"][:, -1:])[..., 0]
    y = (train["target"] - train["past"][:, -1:])[..., 0]
    penalty = found.ridge * np.trace(np.cov(x.T, bias=True)) / LENGTH * len(x)
    reference = Ridge(alpha=penalty, solver="svd").fit(x, y)
    np.testing.assert_allclose(found.weights, reference.coef_.T, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.bias, reference.intercept_, rtol=1e-6, atol=1e-8)


def test_noise_is_held_down_by_the_ridge_that_validation_likes():
    """Few rows of pure noise: the less the matrix says, the better; and rows that only fill a batch say nothing."""
    rng = np.random.default_rng(1)
    train, validation = batch_of(rng.normal(size=(20, 1))), batch_of(rng.normal(size=(500, 1)))
    found = fit_linear([train], [validation])
    assert found.ridge == RIDGES[-1]
    more = {name: np.concatenate([array, 9 * np.ones_like(array)]) for name, array in train.items()}
    more["weights"] = np.concatenate([train["weights"], 0 * train["weights"]])
    np.testing.assert_array_equal(fit_linear([more], [validation]).weights, found.weights)


def test_targets_with_holes_are_left_out():
    """A wave with holes that would spoil the solution if they were read as zeros."""
    values = waves()
    observed = np.ones(values.shape, bool)
    observed[[20, 50], 0] = observed[35, 1] = False
    batch = batch_of(values, observed)
    whole = batch_of(values)
    clean = batch["past_mask"].all(axis=1) & batch["target_mask"].all(axis=1)
    forecast = fit_linear([batch], [whole])
    error = np.abs(forecast(batch) - whole["target"]).max(axis=1)
    assert error[clean].max() < 0.3 < np.abs(whole["target"]).max()
    assert fit_linear([batch | {"target_mask": np.zeros_like(batch["target_mask"])}], [batch]) is None
