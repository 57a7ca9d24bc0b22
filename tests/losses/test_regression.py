"""Errors of predictions by hand and by torch; what has no weight is invisible."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from rnn_jax.losses.regression import absolute_error, huber_error, quantile_loss, squared_error

PREDICTED, TARGET = np.float32([[1, -2], [0.5, 4]]), np.float32([[3, -2.5], [0, 4]])
WEIGHTS = np.float32([[1, 2], [1, 0]])


def narrow_huber(*arguments, **options):
    return torch.nn.functional.huber_loss(*arguments, delta=0.2, **options)


@pytest.mark.parametrize(
    ("loss", "of_torch"),
    [
        (squared_error, torch.nn.functional.mse_loss),
        (absolute_error, torch.nn.functional.l1_loss),
        (huber_error, torch.nn.functional.huber_loss),
        (
            lambda *args: huber_error(*args, delta=0.2),
            narrow_huber,
        ),
    ],
)
def test_errors_are_torchs(loss, of_torch):
    leaf = torch.tensor(PREDICTED, requires_grad=True)
    expected = (of_torch(leaf, torch.tensor(TARGET), reduction="none") * torch.tensor(WEIGHTS)).sum()
    expected.backward()
    (total, weight), gradient = jax.value_and_grad(loss, has_aux=True)(*map(jnp.asarray, (PREDICTED, TARGET, WEIGHTS)))
    assert float(total) == pytest.approx(expected.item(), rel=1e-6) and float(weight) == 4.0
    np.testing.assert_allclose(gradient, leaf.grad.numpy(), rtol=1e-6)


def test_quantile_loss_by_hand():
    """Levels 0.1 and 0.9; 1 below costs q · 1, 1 above (1 − q) · 1; their mean, times the weight."""
    predicted = jnp.array([[2.0, 2.0], [4.0, 4.0], [3.0, 5.0]])
    total, weight = quantile_loss(predicted, jnp.full(3, 3.0), jnp.array([1.0, 1.0, 2.0]), (0.1, 0.9))
    assert float(total) == pytest.approx((0.1 + 0.9) / 2 + (0.9 + 0.1) / 2 + 2 * (0 + 0.2) / 2)
    assert float(weight) == 4.0


def test_the_constant_of_least_quantile_loss_is_the_quantile():
    sample = np.random.default_rng(0).gamma(2.0, size=501).astype(np.float32)
    grid = np.sort(sample)
    for level in (0.1, 0.5, 0.8):
        losses = [
            float(quantile_loss(jnp.full((501, 1), c), jnp.asarray(sample), jnp.ones(501), (level,))[0])
            for c in grid[::10]
        ]
        assert abs(grid[::10][np.argmin(losses)] - np.quantile(sample, level)) < 0.1


@pytest.mark.parametrize("loss", [squared_error, absolute_error, huber_error])
def test_what_has_no_weight_is_invisible(loss):
    predicted, target = jnp.asarray(PREDICTED).at[1, 1].set(jnp.nan), jnp.asarray(TARGET).at[1, 1].set(jnp.inf)
    (total, _), gradient = jax.value_and_grad(loss, has_aux=True)(predicted, target, jnp.asarray(WEIGHTS))
    assert float(total) == float(loss(*map(jnp.asarray, (PREDICTED, TARGET, WEIGHTS)))[0])
    assert gradient[1, 1] == 0 and np.isfinite(np.asarray(gradient)).all()
