"""A stack step by step against the same stack over a whole sequence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_jax import GRU, LSTM, Bidirectional, Elman, Recurrent, Stack

STACKS = {
    "one": Stack(LSTM(4)),
    "mixed": Stack(LSTM(4), GRU(6), Elman(3)),
    "residual": Stack(GRU(4), GRU(4), GRU(4), residual=True),
    "dropout": Stack(
        Recurrent(LSTM(4), recurrent_dropout=0.5), LSTM(6), dropout=0.4, input_dropout=0.3, variational=True
    ),
}


def unrolled(stack, params, xs, key=None):
    carry, ys = stack.initial_carry(params, len(xs)), []
    for t in range(xs.shape[1]):
        carry, y = stack.step(params, carry, xs[:, t], key=key, step=t)
        ys.append(y)
    return carry, jnp.stack(ys, axis=1)


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("drop", [False, True])
def test_steps_are_those_of_a_run(name, drop):
    stack = STACKS[name]
    params = stack.init(jax.random.key(0), 5)
    xs, key = jax.random.normal(jax.random.key(1), (3, 7, 5)), jax.random.key(2) if drop else None
    carry, ys = unrolled(stack, params, xs, key)
    expected = stack.apply(params, xs, key=key)
    np.testing.assert_allclose(ys, expected.ys, rtol=1e-5, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), carry, expected.carry)
    if drop and name == "dropout":
        assert np.abs(np.asarray(ys - stack.apply(params, xs).ys)).max() > 0.01


def test_plain_dropout_draws_anew_at_every_step():
    stack = Stack(Elman(200, activation="identity", w_x_init="identity", w_h_init="zeros"), input_dropout=0.5)
    params = stack.init(jax.random.key(0), 200)
    _, ys = unrolled(stack, params, jnp.ones((1, 2, 200)), jax.random.key(1))
    dropped = np.asarray(ys[0] == 0)
    assert 60 < dropped[0].sum() < 140 and 60 < dropped[1].sum() < 140
    assert (dropped[0] != dropped[1]).sum() > 50


def test_a_step_cannot_read_backwards():
    for layer in (Bidirectional(LSTM(4)), Recurrent(LSTM(4), reverse=True)):
        with pytest.raises(ValueError, match="from left to right only"):
            Stack(layer).step(Stack(layer).init(jax.random.key(0), 5), None, jnp.ones((2, 5)))
