"""Sums over real examples, by hand-computed numbers and by torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from rnn_jax.losses import cross_entropy, smoothed_cross_entropy


def test_cross_entropy_by_hand():
    # softmax(0, ln 3) = (1/4, 3/4): −log 3/4 for label 1, −log 1/4 for label 0.
    logits = jnp.array([[0.0, np.log(3.0)], [0.0, np.log(3.0)]])
    total, count = cross_entropy(logits, jnp.array([1, 0]), jnp.array([1.0, 1.0]))
    assert float(count) == 2.0
    assert float(total) == pytest.approx(np.log(4 / 3) + np.log(4.0), rel=1e-6)


def test_filler_rows_reach_neither_loss_nor_gradient():
    logits = jnp.array([[0.0, 1.0], [jnp.nan, jnp.inf]])
    labels, weights = jnp.array([1, 0]), jnp.array([1.0, 0.0])
    total, count = cross_entropy(logits, labels, weights)
    alone, _ = cross_entropy(logits[:1], labels[:1], weights[:1])
    assert float(total) == float(alone) and float(count) == 1.0
    gradient = jax.grad(lambda row: cross_entropy(jnp.stack([logits[0], row]), labels, weights)[0])(jnp.zeros(2))
    np.testing.assert_array_equal(gradient, 0.0)


def smoothing_problem():
    rng = np.random.default_rng(0)
    logits, labels = (5 * rng.normal(size=(4, 3, 7))).astype(np.float32), rng.integers(0, 7, (4, 3)).astype(np.int32)
    return logits, labels, np.float32([[1, 1, 1], [1, 0.5, 0], [2, 0, 0], [0, 0, 0]])


def test_smoothed_cross_entropy_by_hand():
    """softmax(0, ln 3) = (1/4, 3/4), target (1/4, 3/4) for label 1 and ε = ½: their entropy; weight 2."""
    logits, labels = jnp.array([[0.0, np.log(3.0)]]), jnp.array([1])
    total, count = smoothed_cross_entropy(logits, labels, jnp.array([2.0]), 0.5)
    assert float(total) == pytest.approx(2 * (0.25 * np.log(4.0) + 0.75 * np.log(4 / 3)), rel=1e-6)
    assert float(count) == 2.0


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6, 1.0])
def test_smoothed_cross_entropy_and_its_gradient_are_torchs(smoothing):
    logits, labels, weights = smoothing_problem()
    leaf = torch.tensor(logits.reshape(-1, 7), requires_grad=True)
    losses = torch.nn.functional.cross_entropy(
        leaf, torch.tensor(labels.reshape(-1), dtype=torch.long), label_smoothing=smoothing, reduction="none"
    )
    expected = (losses * torch.tensor(weights.reshape(-1))).sum()
    expected.backward()

    def loss(logits):
        return smoothed_cross_entropy(logits, jnp.asarray(labels), jnp.asarray(weights), smoothing)

    (total, count), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(jnp.asarray(logits))
    assert float(total) == pytest.approx(expected.item(), rel=1e-5)
    assert float(count) == 6.5
    np.testing.assert_allclose(gradient, leaf.grad.numpy().reshape(logits.shape), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(gradient)[weights == 0], 0.0)


def test_without_smoothing_it_is_the_cross_entropy():
    logits, labels, weights = map(jnp.asarray, smoothing_problem())
    for ours, expected in zip(smoothed_cross_entropy(logits, labels, weights), cross_entropy(logits, labels, weights)):
        np.testing.assert_allclose(ours, expected, rtol=1e-6)
    gradients = [
        jax.grad(lambda x, f=f: f(x, labels, weights)[0])(logits) for f in (smoothed_cross_entropy, cross_entropy)
    ]
    np.testing.assert_allclose(*gradients, rtol=1e-5, atol=1e-6)


def test_large_logits_do_not_overflow_when_smoothed():
    """lse − (1 − ε) · 0 − ε · mean = 1000 − 0.2 · 500."""
    total, _ = smoothed_cross_entropy(jnp.array([[0.0, 1000.0]]), jnp.array([0]), jnp.array([1.0]), 0.2)
    assert float(total) == pytest.approx(900.0, rel=1e-6)
