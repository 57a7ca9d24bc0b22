"""Mixtures of softmaxes against torch in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from rnn_jax.losses import cross_entropy, mixture_cross_entropy, mixture_log_probs

B, T, K, V = 2, 3, 4, 6


def problem(scale=1.0):
    rng = np.random.default_rng(0)
    mixture, logits = rng.normal(size=(B, T, K)), scale * rng.normal(size=(B, T, K, V))
    weights = rng.uniform(0.5, 2, (B, T))
    return *(x.astype(np.float32) for x in (mixture, logits, weights)), rng.integers(0, V, (B, T)).astype(np.int32)


def of_torch(mixture, logits):
    """log Σ_k π_k softmax(logits_k), as it is written."""
    within = torch.log_softmax(logits, -1)
    return torch.logsumexp(torch.log_softmax(mixture, -1)[..., None] + within, -2)


def torch_loss(mixture, logits, labels, weights):
    leaves = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (mixture, logits)]
    picked = of_torch(*leaves).gather(-1, torch.tensor(labels, dtype=torch.long)[..., None])[..., 0]
    total = -(torch.tensor(weights, dtype=torch.float64) * picked).sum()
    total.backward()
    return total.item(), [leaf.grad.numpy() for leaf in leaves]


def value_and_gradients(mixture, logits, labels, weights):
    loss = lambda *scores: mixture_cross_entropy(*scores, jnp.asarray(labels), jnp.asarray(weights))  # noqa: E731
    function = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    (total, weight), gradients = function(jnp.asarray(mixture), jnp.asarray(logits))
    return float(total), float(weight), gradients


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_loss_and_gradients_are_torchs(scale):
    mixture, logits, weights, labels = problem(scale)
    expected, gradients = torch_loss(mixture, logits, labels, weights)
    total, weight, ours = value_and_gradients(mixture, logits, labels, weights)
    assert total == pytest.approx(expected, rel=1e-5) and weight == pytest.approx(weights.sum(), rel=1e-5)
    for one, other in zip(ours, gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_log_probs_are_torchs(scale):
    mixture, logits, *_ = problem(scale)
    expected = of_torch(torch.tensor(mixture, dtype=torch.float64), torch.tensor(logits, dtype=torch.float64))
    np.testing.assert_allclose(mixture_log_probs(jnp.asarray(mixture), jnp.asarray(logits)), expected, 1e-4, 1e-5)


def test_by_hand():
    """¾ · ½ + ¼ · ⅕ = 0.425 for label 0."""
    mixture, logits = jnp.log(jnp.array([[0.75, 0.25]])), jnp.log(jnp.array([[[0.5, 0.5], [0.2, 0.8]]]))
    np.testing.assert_allclose(jnp.exp(mixture_log_probs(mixture, logits)), [[0.425, 0.575]], rtol=1e-6)
    total, weight = mixture_cross_entropy(mixture, logits, jnp.array([0]), jnp.array([2.0]))
    assert float(total) == pytest.approx(-2 * np.log(0.425), rel=1e-6) and float(weight) == 2


@pytest.mark.parametrize("junk", [np.nan, np.inf, -np.inf])
def test_rows_of_weight_0_change_nothing_whatever_they_hold(junk):
    mixture, logits, weights, labels = problem()
    weights[0, 1] = 0
    expected, gradients = torch_loss(mixture, logits, labels, weights)
    mixture[0, 1], logits[0, 1], labels[0, 1] = junk, junk, 99
    total, _, ours = value_and_gradients(mixture, logits, labels, weights)
    assert total == pytest.approx(expected, rel=1e-5)
    for one, other in zip(ours, gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_what_cannot_be_is_as_if_left_out():
    """A component of π = 0 or without any class, and a class that no component has: torch on the others."""
    mixture, logits, weights, labels = problem()
    labels %= V - 1
    expected, gradients = torch_loss(mixture[..., :2], logits[..., :2, :-1], labels, weights)
    mixture[..., 2:], logits[..., -1] = -np.inf, -np.inf
    total, _, ours = value_and_gradients(mixture, logits, labels, weights)
    assert total == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(ours[0][..., :2], gradients[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(ours[1][..., :2, :-1], gradients[1], rtol=1e-4, atol=1e-6)
    assert not np.any(ours[0][..., 2:]) and not np.any(ours[1][..., 2:, :]) and not np.any(ours[1][..., -1])
    log_probs = mixture_log_probs(jnp.asarray(mixture), jnp.asarray(logits))
    assert np.all(log_probs[..., -1] == -np.inf) and np.isfinite(log_probs[..., :-1]).all()
    logits[..., 0, :] = -np.inf
    of_the_other = cross_entropy(jnp.asarray(logits[..., 1, :]), jnp.asarray(labels), jnp.asarray(weights))[0]
    lost = -np.sum(weights * np.asarray(jax.nn.log_softmax(mixture[..., :2]))[..., 1])
    total, _, ours = value_and_gradients(mixture, logits, labels, weights)
    assert total == pytest.approx(float(of_the_other) + lost, rel=1e-5)
    assert all(np.isfinite(leaf).all() for leaf in ours)


def test_a_label_that_cannot_be_costs_infinity_and_has_no_nan():
    mixture, logits, weights, labels = problem()
    logits[0, 0, :, labels[0, 0]] = -np.inf
    total, _, ours = value_and_gradients(mixture, logits, labels, weights)
    assert total == np.inf and all(np.isfinite(leaf).all() for leaf in ours)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_is_summed_in_float32(dtype):
    mixture, logits, weights, labels = problem(100.0)
    mixture, logits = jnp.asarray(mixture), jnp.asarray(logits, dtype)
    expected, _ = torch_loss(np.asarray(mixture), np.asarray(logits, np.float32), labels, weights)
    total, _, (of_mixture, of_logits) = value_and_gradients(mixture, logits, labels, weights)
    assert total == pytest.approx(expected, rel=1e-5)
    assert of_mixture.dtype == jnp.float32 and of_logits.dtype == dtype
    assert mixture_log_probs(mixture, logits).dtype == jnp.float32
