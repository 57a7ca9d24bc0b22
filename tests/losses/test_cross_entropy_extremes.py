"""Losses where logits are NaN, −∞ or half precision, against torch and numpy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from rnn_jax.losses import cross_entropy, smoothed_cross_entropy

LOSSES = {
    "plain": cross_entropy,
    "unsmoothed": smoothed_cross_entropy,
    "smoothed": lambda *arguments: smoothed_cross_entropy(*arguments, 0.2),
    "all_smoothed": lambda *arguments: smoothed_cross_entropy(*arguments, 1.0),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def value_and_gradient(loss, logits, labels, weights):
    arguments = jnp.asarray(labels), jnp.asarray(weights, jnp.float32)
    (total, _), gradient = jax.value_and_grad(lambda x: loss(x, *arguments), has_aux=True)(jnp.asarray(logits))
    return float(total), np.asarray(gradient)


@every_loss
@pytest.mark.parametrize("junk", [np.nan, np.inf, -np.inf])
def test_rows_of_weight_0_have_no_gradient_whatever_they_hold(loss, junk):
    logits = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    expected = value_and_gradient(loss, logits[:1], [2], [0.7])
    logits[1], logits[2, :3] = junk, junk
    total, gradient = value_and_gradient(loss, logits, [2, 99, -1], [0.7, 0.0, 0.0])
    assert total == pytest.approx(expected[0])
    np.testing.assert_allclose(gradient, np.concatenate([expected[1], np.zeros((2, 4))]), rtol=1e-6)
    of_weights = jax.grad(lambda w: loss(jnp.asarray(logits), jnp.array([2, 99, -1]), w)[0])(jnp.array([0.7, 0, 0]))
    assert np.isfinite(of_weights).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_classes_that_cannot_be_are_as_if_left_out(smoothing):
    """torch on the logits of the other classes, smoothed over those; the gradient at −∞ is 0."""
    logits = np.random.default_rng(1).normal(size=(2, 5)).astype(np.float32)
    possible, labels = [0, 2, 3], [2, 0]
    leaf = torch.tensor(logits[:, possible], requires_grad=True)
    targets = torch.tensor([possible.index(label) for label in labels])
    expected = torch.nn.functional.cross_entropy(leaf, targets, label_smoothing=smoothing, reduction="sum")
    expected.backward()
    logits[:, [1, 4]] = -np.inf
    losses = [lambda *arguments: smoothed_cross_entropy(*arguments, smoothing)] + [cross_entropy] * (smoothing == 0)
    for loss in losses:
        total, gradient = value_and_gradient(loss, logits, labels, [1, 1])
        assert total == pytest.approx(expected.item(), rel=1e-5)
        np.testing.assert_allclose(gradient[:, possible], leaf.grad, rtol=1e-4, atol=1e-6)
        assert not gradient[:, [1, 4]].any()


@every_loss
def test_a_label_that_cannot_be_costs_infinity_and_has_no_nan(loss):
    for row in ([0.0, -np.inf], [-np.inf, -np.inf]):
        total, gradient = value_and_gradient(loss, np.float32([row, [0, 0]]), [1, 0], [1, 1])
        assert total == np.inf and np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@every_loss
def test_half_precision_is_summed_in_float32(loss, dtype):
    """1000 rows of logits up to 60,000: their sum is no number of float16, and 1000 counts none of bfloat16's."""
    rng = np.random.default_rng(2)
    logits = jnp.asarray(rng.uniform(-60_000, 60_000, (1001, 4)), dtype)
    labels, weights = jnp.asarray(rng.integers(0, 4, 1001).astype(np.int32)), jnp.ones(1001, dtype)
    (total, count), gradient = jax.value_and_grad(lambda x: loss(x, labels, weights), has_aux=True)(logits)
    wide = np.asarray(logits, np.float64)
    smoothing = {"smoothed": 0.2, "all_smoothed": 1.0}.get(next(k for k, v in LOSSES.items() if v is loss), 0.0)
    lse = wide.max(1) + np.log(np.exp(wide - wide.max(1, keepdims=True)).sum(1))
    target = (1 - smoothing) * wide[np.arange(1001), labels] + smoothing * wide.mean(1)
    np.testing.assert_allclose(float(total), (lse - target).sum(), rtol=1e-5)
    assert float(count) == 1001 and total.dtype == count.dtype == jnp.float32
    assert gradient.dtype == dtype and np.isfinite(np.asarray(gradient, np.float32)).all()


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, float("nan")])
def test_senseless_smoothing_is_refused(smoothing):
    with pytest.raises(ValueError, match=r"smoothing is a share of the target, in \[0, 1\]; got"):
        smoothed_cross_entropy(jnp.zeros((1, 2)), jnp.zeros(1, jnp.int32), jnp.ones(1), smoothing)


def test_traced_smoothing_is_the_known_one():
    logits, labels, weights = jnp.array([[0.0, 1.0, 3.0]]), jnp.array([1]), jnp.ones(1)
    traced = jax.jit(lambda smoothing: smoothed_cross_entropy(logits, labels, weights, smoothing)[0])
    for smoothing in (0.0, 0.3, 1.0):
        known, _ = smoothed_cross_entropy(logits, labels, weights, smoothing)
        assert float(traced(smoothing)) == pytest.approx(float(known), rel=1e-6)
