"""Remember the first token: cells with memory learn it, the control without memory cannot."""

import functools

import jax
import jax.numpy as jnp
import optax
import pytest

from rnn_jax import CELLS, Recurrent, make_cell

TOKENS, LENGTH, BATCH, STEPS, HIDDEN = 4, 20, 64, 400, 16


def batch(key):
    """Tokens (B, T) at random; the label is the first, one of two. Every later token is noise in the same alphabet."""
    tokens = jax.random.randint(key, (BATCH, LENGTH), 0, TOKENS)
    return jax.nn.one_hot(tokens, TOKENS), tokens[:, 0] % 2


def logits(layer, params, xs):
    return layer.run(params["cell"], xs).last @ params["readout"]


@functools.partial(jax.jit, static_argnames="cell")
def learn(cell, key):
    """Trains on fresh batches with Adam; the accuracy on 20 batches never trained on."""
    layer, optimizer = Recurrent(cell), optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2))
    key_cell, key_train, key_test = jax.random.split(key, 3)
    params = {"cell": layer.init(key_cell, TOKENS), "readout": jnp.zeros((HIDDEN, 2))}

    def loss(params, key):
        xs, labels = batch(key)
        return optax.softmax_cross_entropy_with_integer_labels(logits(layer, params, xs), labels).mean()

    def train_step(state, key):
        params, optimizer_state = state
        updates, optimizer_state = optimizer.update(jax.grad(loss)(params, key), optimizer_state)
        return (optax.apply_updates(params, updates), optimizer_state), None

    state = (params, optimizer.init(params))
    (params, _), _ = jax.lax.scan(train_step, state, jax.random.split(key_train, STEPS))

    def accuracy(key):
        xs, labels = batch(key)
        return (logits(layer, params, xs).argmax(axis=-1) == labels).mean()

    return jax.lax.map(accuracy, jax.random.split(key_test, 20)).mean()


@pytest.mark.lenient_promotion  # Optax relies on it
@pytest.mark.parametrize("name", CELLS)
def test_first_token(name):
    accuracy = float(learn(make_cell(name, HIDDEN), jax.random.key(0)))
    print(name, accuracy)
