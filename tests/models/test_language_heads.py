"""Heads of a language model: what training minimises is the cross entropy of the probabilities that the rest reads."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from language_model_runs import model_of, trained_of
from oracles.jitting import quick_jit

from rnn_jax.errors import UserError
from rnn_jax.models import language_model
from rnn_jax.models.language_heads import AdaptiveHead, MixtureHead, SoftmaxHead
from rnn_jax.models.make_language_model import make_language_model

V, F, E = 12, 6, 6
YS = jax.random.normal(jax.random.key(0), (3, 5, F))
TABLE = jax.random.normal(jax.random.key(1), (V, E))
LABELS = jax.random.randint(jax.random.key(2), (3, 5), 0, V)
WEIGHTS = (jax.random.uniform(jax.random.key(3), (3, 5)) < 0.7).astype(jnp.float32) * 2.0
HEADS = {
    "tied": lambda rngs: SoftmaxHead(V, F, tied=True, rngs=rngs),
    "softmax": lambda rngs: SoftmaxHead(V, F, tied=False, rngs=rngs),
    "adaptive": lambda rngs: AdaptiveHead(V, F, cutoffs=(3, 7), rngs=rngs),
    "mixture": lambda rngs: MixtureHead(V, F, tied=False, num_mixtures=3, rngs=rngs),
    "tied mixture": lambda rngs: MixtureHead(V, F, tied=True, num_mixtures=3, rngs=rngs),
}


@pytest.mark.parametrize("name", HEADS)
def test_training_minimises_the_cross_entropy_of_the_probabilities(name):
    """Loss and gradients by features, table and the head's own weights."""
    graph, params = nnx.split(HEADS[name](nnx.Rngs(0)))

    def loss(params, ys, table):
        return nnx.merge(graph, params).loss(ys, LABELS, WEIGHTS, table, jax.random.key(0))[0]

    def expected(params, ys, table):
        log_probs = nnx.merge(graph, params).log_probs(ys, table)
        return -(jnp.take_along_axis(log_probs, LABELS[..., None], axis=-1)[..., 0] * WEIGHTS).sum()

    def read(params):
        head = nnx.merge(graph, params)
        return head.log_probs(YS, TABLE), head.logits(YS, TABLE)

    head = nnx.merge(graph, params)
    log_probs, logits = quick_jit(read)(params)
    np.testing.assert_allclose(jnp.exp(log_probs).sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(jax.nn.log_softmax(logits), log_probs, rtol=1e-5, atol=1e-5)
    found = quick_jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))(params, YS, TABLE)
    wanted = quick_jit(jax.value_and_grad(expected, argnums=(0, 1, 2)))(params, YS, TABLE)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert head.loss(YS, LABELS, WEIGHTS, TABLE, jax.random.key(0))[1] == WEIGHTS.sum()
    of_table = np.abs(found[1][2]).max()
    assert (of_table > 1e-3) == ("tied" in name)


def test_softmax_and_mixture_against_numpy():
    softmax = lambda scores: np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)  # noqa: E731
    array = lambda param: np.asarray(param.get_value(), np.float64)  # noqa: E731
    ys, table = np.asarray(YS, np.float64), np.asarray(TABLE, np.float64)
    head = HEADS["tied"](nnx.Rngs(0))
    head.b.set_value(jnp.arange(V, dtype=jnp.float32))
    np.testing.assert_allclose(jnp.exp(head.log_probs(YS, TABLE)), softmax(ys @ table.T + np.arange(V)), rtol=1e-4)
    head = HEADS["tied mixture"](nnx.Rngs(0))
    prior = softmax(ys @ array(head.prior.w) + array(head.prior.b))
    latent = np.tanh(ys @ array(head.latent.w) + array(head.latent.b))
    expected = sum(
        prior[..., k, None] * softmax(latent[..., k * F : (k + 1) * F] @ table.T + array(head.softmax.b))
        for k in range(3)
    )
    np.testing.assert_allclose(jnp.exp(head.log_probs(YS, TABLE)), expected, rtol=1e-4)


def test_sampling_comes_near_the_cross_entropy_of_all_tokens():
    """The more tokens are drawn; and what is read are the probabilities of all of them."""
    weights = jnp.ones_like(WEIGHTS)
    exact = HEADS["tied"](nnx.Rngs(0))
    nats = exact.loss(YS, LABELS, weights, TABLE, jax.random.key(0))[0]
    errors = []
    for count in (4, 64, 2048):
        head = SoftmaxHead(V, F, tied=True, num_sampled=count, rngs=nnx.Rngs(0))
        np.testing.assert_array_equal(head.log_probs(YS, TABLE), exact.log_probs(YS, TABLE))
        loss = quick_jit(jax.vmap(lambda key, head=head: head.loss(YS, LABELS, weights, TABLE, key)[0]))
        errors.append(np.abs(loss(jax.random.split(jax.random.key(0), 16)) - nats).mean())
    assert errors[0] > errors[1] > errors[2] and errors[2] < 0.02 * nats


def test_sampled_draws_need_a_key_and_differ_by_it():
    trained = trained_of(["abcdefgh"], num_sampled=3)
    model = model_of(trained)
    features = jnp.ones((1, 2, 6))
    losses = [
        model.loss(features, jnp.array([[3, 4]]), jnp.ones((1, 2)), jax.random.key(seed))[0] for seed in (0, 0, 1)
    ]
    assert losses[0] == losses[1] != losses[2]


def read_and_score(model, tokens):
    def run(tokens):
        features = model.read(tokens).features
        return features, model.log_probs(features)

    return quick_jit(run)(jnp.array(tokens))


@pytest.mark.parametrize("head", ["softmax", "adaptive", "mixture"])
@pytest.mark.parametrize("embedding_size", [2, 7])
def test_untied_heads_read_the_outputs_whatever_the_size_of_the_embeddings(head, embedding_size):
    model = model_of(trained_of(["abcdefgh"], head=head, tie_output=False, embedding_size=embedding_size))
    assert model.projection is None
    features, log_probs = read_and_score(model, [[2, 3, 4]])
    assert features.shape == (1, 3, 7)
    np.testing.assert_allclose(jnp.exp(log_probs).sum(axis=-1), 1, rtol=1e-5)


@pytest.mark.parametrize("text", ["aa", "aab", "abcdefghijklmnopqrstuvwxyz"])
def test_clusters_of_any_vocabulary(text):
    """The default cut offs, also where there is next to nothing to cut."""
    model = model_of(trained_of([text], head="adaptive"))
    _, log_probs = read_and_score(model, [[2, 3]])
    assert log_probs.shape == (1, 2, 3 + len(set(text)))
    np.testing.assert_allclose(jnp.exp(log_probs).sum(axis=-1), 1, rtol=1e-5)


@pytest.mark.parametrize("cutoffs", [(5, 3), (3, 3), (3, 8), (8,), (100,)])
def test_cutoffs_rise_below_the_size_of_the_vocabulary(cutoffs):
    with pytest.raises(UserError, match=rf"--cutoffs={','.join(map(str, cutoffs))}: numbers that rise.*vocabulary, 8"):
        trained_of(["abcde"], head="adaptive", cutoffs=cutoffs)


def test_the_flag_ties_what_can_be_tied():
    for head, tied in (("softmax", True), ("softmax", False), ("mixture", True), ("mixture", False)):
        trained = trained_of(["abcde"], head=head, tie_output=tied)
        model = make_language_model(
            trained.config.encoder, trained.config.model, trained.config.language, trained.codec, nnx.Rngs(0)
        )
        softmax = model.head if head == "softmax" else model.head.softmax
        assert (softmax.w is None) == tied == (model.projection is not None)


@pytest.mark.parametrize("head", ["softmax", "adaptive", "mixture"])
def test_nats_of_few_steps_at_once_are_those_of_all(head, monkeypatch):
    """With their gradients; and no more log probabilities exist of a long window than of a short one."""
    graph, params = nnx.split(model_of(trained_of(["abcdefgh"], head=head, scale=3.0)))
    size, size_of_vocabulary = 7 if head == "adaptive" else 6, 11  # hidden_size; embedding_size of tied heads
    rng = np.random.default_rng(0)
    monkeypatch.setattr(language_model, "_MOST_NUMBERS", 2 * 3 * size_of_vocabulary)

    def window(num_steps):
        features = rng.normal(size=(3, num_steps, size)).astype(np.float32)
        return jnp.asarray(features), jnp.asarray(rng.integers(0, size_of_vocabulary, (3, num_steps)), jnp.int32)

    def ours(params, features, labels):
        return nnx.merge(graph, params).nats(features, labels)

    def plain(params, features, labels):
        log_probs = nnx.merge(graph, params).log_probs(features)
        return -log_probs[(*np.indices(labels.shape), labels)]

    def gradients(nats, features, labels):
        weights = jnp.cos(jnp.arange(labels.size, dtype=jnp.float32)).reshape(labels.shape)
        weighted = lambda *arguments: (weights * nats(*arguments, labels)).sum()  # noqa: E731
        return jax.grad(weighted, argnums=(0, 1))(params, features)

    def largest(num_steps):
        program = str(jax.make_jaxpr(lambda *arguments: gradients(ours, *arguments))(*window(num_steps)))
        shapes = re.findall(rf"f32\[([\d,]*\b{size_of_vocabulary})\]", program)
        return max(np.prod([int(number) for number in shape.split(",")]) for shape in shapes)

    @quick_jit
    def of_both(features, labels):
        return [(nats(params, features, labels), gradients(nats, features, labels)) for nats in (ours, plain)]

    for num_steps in (1, 5, 8):
        (found, found_bars), (expected, expected_bars) = of_both(*window(num_steps))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found_bars, expected_bars)
    assert largest(64) == largest(8)
