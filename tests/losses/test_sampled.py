"""Sampled softmax: its expectation summed over all draws, its limits, and what training with it comes to."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.jitting import counted_programs

from rnn_jax.losses import counts_proposal, cross_entropy, log_uniform_proposal, sampled, sampled_cross_entropy

V, D, ROWS = 7, 3, 5


def problem():
    rng = np.random.default_rng(0)
    w, b, xs = (rng.normal(size=shape).astype(np.float32) for shape in ((V, D), (V,), (ROWS, D)))
    labels, weights = rng.integers(0, V, ROWS).astype(np.int32), rng.uniform(0.5, 2, ROWS).astype(np.float32)
    return tuple(map(jnp.asarray, (w, b, xs, labels, weights)))


def full(w, b, xs, labels, weights):
    return cross_entropy(xs @ w.T + jnp.broadcast_to(b, (*xs.shape[:-1], len(b))), labels, weights)


def with_gradients(loss, arrays, **options):
    """Total, weight, and gradients by w, b and xs."""
    w, b, xs, *rest = arrays
    function = jax.value_and_grad(lambda *params: loss(*params, *rest, **options), argnums=(0, 1, 2), has_aux=True)
    return function(w, b, xs)


def draws(monkeypatch, *tokens):
    monkeypatch.setattr(sampled, "_draw", lambda *_: jnp.array(tokens, jnp.int32))


def test_loss_by_hand(monkeypatch):
    """Logits log (1, 2, 4), q = (½, ¼, ¼), label 1, drawn 0, 1, 2: Σ exp(o) / q = 8 + 2 + 8 + 16 = 34 of k + 1 = 4."""
    draws(monkeypatch, 0, 1, 2)
    b, q = jnp.log(jnp.array([1.0, 2.0, 4.0])), jnp.array([0.5, 0.25, 0.25])
    rows = jnp.zeros((1, 1)), jnp.array([1]), jnp.array([3.0])
    options = {"num_samples": 3, "log_proposal": jnp.log(q)}
    total, weight = sampled_cross_entropy(jnp.zeros((3, 1)), b, *rows, jax.random.key(0), **options)
    assert float(total) == pytest.approx(3 * (np.log(34 / 4) - np.log(2)), rel=1e-6) and float(weight) == 3


@pytest.mark.parametrize("k", [1, 3])
def test_expected_gradient_is_0_at_the_labels_distribution(monkeypatch, k):
    """Summed over every label and every draw of k: whatever q is, training ends where the cross entropy has it end."""
    p, q = np.float32([0.6, 0.3, 0.1]), np.float32([0.2, 0.7, 0.1])
    rows = jnp.zeros((3, 1)), jnp.arange(3, dtype=jnp.int32), jnp.asarray(p)
    expected = np.zeros(3)
    for drawn in itertools.product(range(3), repeat=k):
        draws(monkeypatch, *drawn)
        arrays = (jnp.zeros((3, 1)), jnp.log(jnp.asarray(p)), *rows)
        options = {"key": jax.random.key(0), "num_samples": k, "log_proposal": jnp.log(jnp.asarray(q))}
        _, (_, of_b, _) = with_gradients(sampled_cross_entropy, arrays, **options)
        expected += np.prod(q[list(drawn)]) * np.asarray(of_b)
    np.testing.assert_allclose(expected, 0, atol=1e-6)


@pytest.mark.parametrize("k", [1, 3])
def test_loss_is_the_cross_entropy_where_the_proposal_is_the_models(k):
    w, b, xs, labels, weights = problem()
    xs = jnp.broadcast_to(xs[:1], xs.shape)
    log_proposal = jax.nn.log_softmax(w @ xs[0] + b)
    arrays, key = (w, b, xs, labels, weights), jax.random.key(k)
    options = {"key": key, "num_samples": k, "log_proposal": log_proposal}
    np.testing.assert_allclose(sampled_cross_entropy(*arrays, **options), full(*arrays), rtol=1e-5)


@pytest.mark.parametrize(
    "log_proposal", [log_uniform_proposal(V), counts_proposal(jnp.arange(V)), counts_proposal(jnp.arange(V), power=0)]
)
def test_of_many_samples_loss_and_gradients_are_those_of_all_tokens(log_proposal):
    arrays = problem()
    options = {"key": jax.random.key(0), "num_samples": 200_000, "log_proposal": log_proposal}
    (total, weight), gradients = with_gradients(sampled_cross_entropy, arrays, **options)
    (expected, expected_weight), expected_gradients = with_gradients(full, arrays)
    assert float(total) == pytest.approx(float(expected), rel=5e-3) and float(weight) == float(expected_weight)
    for one, other in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=0.02, atol=0.02)


def test_training_ends_at_the_labels_distribution():
    """Three contexts, seven tokens, two negatives: softmax(w x) comes to p(y | x), though q is of neither."""
    contexts = 3
    p = np.random.default_rng(1).dirichlet(np.ones(V), contexts).astype(np.float32)
    xs = jnp.repeat(jnp.eye(contexts), V, axis=0)
    labels = jnp.tile(jnp.arange(V, dtype=jnp.int32), contexts)

    def step(w, inputs):
        key, rate = inputs
        options = {"num_samples": 2, "log_proposal": log_uniform_proposal(V)}
        loss = lambda w: sampled_cross_entropy(w, jnp.zeros(V), xs, labels, jnp.ravel(p), key, **options)[0]  # noqa: E731
        w -= rate * jax.grad(loss)(w)
        return w, w

    steps = 6000
    rates = 1.0 / jnp.sqrt(1.0 + jnp.arange(steps, dtype=jnp.float32) / 100)
    _, ws = jax.lax.scan(step, jnp.zeros((V, contexts)), (jax.random.split(jax.random.key(0), steps), rates))
    learned = jax.nn.softmax(ws[steps // 2 :].mean(axis=0).T)
    np.testing.assert_allclose(learned, p, atol=0.02)


@pytest.mark.parametrize("junk", [np.nan, np.inf])
def test_rows_of_weight_0_change_nothing_whatever_they_hold(junk):
    w, b, xs, labels, weights = problem()
    options = {"key": jax.random.key(0), "num_samples": 4, "log_proposal": log_uniform_proposal(V)}
    (expected, _), expected_gradients = with_gradients(
        sampled_cross_entropy, (w, b, xs[:3], labels[:3], weights[:3]), **options
    )
    arrays = w, b, xs.at[3:].set(junk), labels.at[3:].set(jnp.array([-1, 99])), weights.at[3:].set(0)
    (total, weight), (of_w, of_b, of_xs) = with_gradients(sampled_cross_entropy, arrays, **options)
    assert float(total) == pytest.approx(float(expected), rel=1e-6)
    assert float(weight) == pytest.approx(float(weights[:3].sum()), rel=1e-6)
    for one, other in zip((of_w, of_b, of_xs[:3]), expected_gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert not np.any(of_xs[3:])


def test_axes_large_logits_and_impossible_tokens():
    """Logits of ±1000 in (B, T); a bias of −∞ is a token that takes no part, drawn or not."""
    w, b, xs, labels, weights = problem()
    options = {"num_samples": 50, "log_proposal": counts_proposal(jnp.ones(V))}
    arrays = 1000 * w, b.at[6].set(-jnp.inf), xs[None], labels[None] % 6, weights[None]
    (total, _), gradients = with_gradients(sampled_cross_entropy, arrays, key=jax.random.key(0), **options)
    expected, _ = full(1000 * w[:6], b[:6], xs, labels % 6, weights)
    assert float(total) == pytest.approx(float(expected), rel=0.02)  # the draws are all six, the largest decides
    assert all(np.isfinite(leaf).all() for leaf in gradients)
    assert not np.any(gradients[0][6]) and float(gradients[1][6]) == 0
    impossible = 1000 * w, b.at[labels[0]].set(-jnp.inf), xs, labels, weights
    (total, _), gradients = with_gradients(sampled_cross_entropy, impossible, key=jax.random.key(0), **options)
    assert np.isinf(total) and all(np.isfinite(leaf).all() for leaf in gradients)


def test_bfloat16_is_summed_in_float32():
    w, b, xs, labels, weights = problem()
    options = {"key": jax.random.key(0), "num_samples": 300, "log_proposal": log_uniform_proposal(V)}
    rounded = (w.astype(jnp.bfloat16), b, xs.astype(jnp.bfloat16), labels, weights)
    exact = (rounded[0].astype(jnp.float32), b, rounded[2].astype(jnp.float32), labels, weights)
    (total, weight), gradients = with_gradients(sampled_cross_entropy, rounded, **options)
    (expected, _), expected_gradients = with_gradients(sampled_cross_entropy, exact, **options)
    assert total.dtype == weight.dtype == jnp.float32 and float(total) == pytest.approx(float(expected), rel=1e-5)
    assert [leaf.dtype for leaf in gradients] == [jnp.bfloat16, jnp.float32, jnp.bfloat16]
    for one, other in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(one.astype(jnp.float32), other, rtol=0.02, atol=0.02)


def test_one_program_serves_all_draws():
    w, b, xs, labels, weights = problem()
    loss = jax.jit(sampled_cross_entropy, static_argnames="num_samples")
    options = {"num_samples": 3, "log_proposal": log_uniform_proposal(V)}
    with counted_programs() as programs:
        totals = {float(loss(w, b, xs, labels, weights, jax.random.key(i), **options)[0]) for i in range(5)}
    assert programs["sampled_cross_entropy"] == 1 and len(totals) > 1


def test_proposals_by_hand():
    np.testing.assert_allclose(np.exp(log_uniform_proposal(3)), np.log([2, 3 / 2, 4 / 3]) / np.log(4), rtol=1e-6)
    assert np.exp(np.float64(log_uniform_proposal(33_000))).sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(np.exp(counts_proposal(jnp.array([4, 0, 1]))), np.array([4, 1, 1]) / 6, rtol=1e-6)
    np.testing.assert_allclose(
        np.exp(counts_proposal(jnp.array([4.0, 0, 1]), power=0.5)), np.array([2, 1, 1]) / 4, rtol=1e-6
    )


def test_tokens_of_probability_0_are_never_drawn():
    """Neither before, between nor after the others, also where the cumulated proposal does not end at 1."""
    log_q = jnp.log(jnp.array([0, 0.3, 0, 0.69, 0]))
    drawn = np.asarray(sampled._draw(jax.random.key(0), log_q, 100_000))
    assert set(drawn) == {1, 3} and np.mean(drawn == 1) == pytest.approx(0.3 / 0.99, abs=0.01)


@pytest.mark.parametrize("k", [0, -1])
def test_senseless_numbers_of_samples_are_refused(k):
    with pytest.raises(ValueError, match="num_samples is an integer of at least 1; got"):
        sampled_cross_entropy(*problem(), jax.random.key(0), num_samples=k, log_proposal=log_uniform_proposal(V))
    with pytest.raises(ValueError, match="size is an integer of at least 1; got"):
        log_uniform_proposal(k)
