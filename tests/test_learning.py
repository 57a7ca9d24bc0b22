"""Remember the first token: cells with memory learn it, the control without memory cannot."""

import functools

import jax
import jax.numpy as jnp
import optax
import pytest
from oracles.jitting import quick_jit

from rnn_jax import CELLS, Recurrent, make_cell

LENGTH, BATCH, STEPS, HIDDEN = 20, 32, 300, 16
TOKENS = 4  # 0 and 1 come first, 2 and 3 after


def batch(key):
    """Rows of random tokens, as one-hot vectors (B, T, V); the label is the first token."""
    tokens = jax.random.randint(key, (BATCH, LENGTH), 0, 2)
    labels = tokens[:, 0]
    return jax.nn.one_hot(jnp.concatenate([tokens[:, :1], tokens[:, 1:] + 2], axis=1), TOKENS), labels


def logits(layer, params, xs):
    return layer.apply(params["cell"], xs).last @ params["readout"]


@functools.partial(quick_jit, static_argnames="cell")
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


WITH_MEMORY = {
    **{name: make_cell(name, HIDDEN) for name in CELLS if name.startswith(("lstm", "gru"))},
    "elman": make_cell("elman", HIDDEN),
    # Le et al. (2015): without the identity at the start a relu network does not get there.
    "irnn": make_cell("elman_relu", HIDDEN, {"w_h_init": "identity"}),
}


@pytest.mark.lenient_promotion  # Optax relies on it
@pytest.mark.parametrize("name", WITH_MEMORY)
def test_cells_with_memory_learn_it(name):
    assert learn(WITH_MEMORY[name], jax.random.key(0)) > 0.95


@pytest.mark.lenient_promotion
def test_the_control_without_memory_cannot():
    """Chance is 0.5: the last output has seen the last token only."""
    assert 0.4 < learn(make_cell("memoryless", HIDDEN), jax.random.key(0)) < 0.6
