"""A layer step by step against the same layer over a whole sequence: decoding, streaming, an actor."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_jax import GRU, LSTM, Bidirectional, Elman, Recurrent, Stack, scan_cell
from rnn_jax.cells import LearnedStart, Zoneout

STACKS = {
    "no stack": Recurrent(LSTM(4)),
    "one": Stack(LSTM(4)),
    "mixed": Stack(LSTM(4), GRU(6), Elman(3)),
    "residual": Stack(GRU(4), GRU(4), GRU(4), residual=True),
    "dropout": Stack(
        Recurrent(LSTM(4), recurrent_dropout=0.5), LSTM(6), dropout=0.4, input_dropout=0.3, variational=True
    ),
    "dropout anew at every step": Stack(LSTM(4), GRU(6), dropout=0.4, input_dropout=0.3),
    "zoneout": Stack(Zoneout(LSTM(4), rate=(0.2, 0.4)), Recurrent(Zoneout(GRU(6)), recurrent_dropout=0.5), dropout=0.3),
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
    if drop and ("dropout" in name or name == "zoneout"):
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
        for one in (layer, Stack(layer), Stack(GRU(5), Stack(layer))):
            with pytest.raises(ValueError, match="from left to right only; got"):
                one.step(one.init(jax.random.key(0), 5), None, jnp.ones((2, 5)))


def test_one_example_is_a_row():
    stack = STACKS["mixed"]
    params, x = stack.init(jax.random.key(0), 5), jax.random.normal(jax.random.key(1), (3, 5))
    carry = stack.initial_carry(params, 3)
    carries, ys = stack.step(params, carry, x)
    one = jax.tree.map(lambda leaf: leaf[0], carry)
    jax.tree.map(np.testing.assert_array_equal, one, stack.initial_carry(params))
    after, y = stack.step(params, one, x[1])
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6)  # noqa: E731
    jax.tree.map(close, (after, y), jax.tree.map(lambda leaf: leaf[1], (carries, ys)))


def test_streaming_in_bfloat16_keeps_its_dtypes():
    """The carry for inputs like x is that which a step returns, so that a loop may carry it."""
    stack = Stack(LSTM(4), GRU(3), LSTM(2))
    params, x = stack.init(jax.random.key(0), 5), jnp.ones((2, 5), jnp.bfloat16)
    start = stack.initial_carry(params, 2, x=x[0])
    after, y = stack.step(params, start, x)
    types = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)  # noqa: E731
    assert types(after) == types(start) and y.dtype == jnp.bfloat16
    assert (start[0].h.dtype, start[0].c.dtype, start[1].h.dtype) == (jnp.bfloat16, jnp.float32, jnp.float32)


def test_reset_of_a_step_is_that_of_a_sequence():
    """Each row by itself, to a start that is learned."""
    layer = Stack(LearnedStart(GRU(4)), LSTM(3))
    params = jax.tree.map(lambda leaf: leaf + 0.125, layer.init(jax.random.key(0), 5))
    xs, resets = jax.random.normal(jax.random.key(1), (3, 6, 5)), jax.random.bernoulli(jax.random.key(2), 0.4, (3, 6))
    carry, ys = layer.initial_carry(params, 3), []
    for t in range(6):
        carry, y = layer.step(params, carry, xs[:, t], reset=resets[:, t])
        ys.append(y)
    np.testing.assert_allclose(jnp.stack(ys, 1), layer.apply(params, xs, resets=resets).ys, rtol=1e-5, atol=1e-6)


def test_an_actor_equals_the_scan_of_its_trajectory():
    """`lax.scan` over environments with `vmap`ped steps, whose episodes end at times of their own; then `scan_cell`
    on what was recorded. Outputs are equal to the bit, and so are the losses' gradients to rounding."""
    cell, envs, steps = LSTM(8), 5, 40
    layer, readout = Recurrent(cell), jax.random.normal(jax.random.key(3), (8,))
    params = layer.init(jax.random.key(0), 3)

    def environment(state, action):  # its next observation, and whether the episode has ended
        state = jnp.sin(1.7 * state + action + jnp.arange(3.0))
        return state, state[0] > 0.6

    def act(params):
        def one(carry, observation, ended):
            carry, h = layer.step(params, carry, observation, reset=ended)
            after, end = environment(observation, h @ readout)
            return carry, after, end, h

        def step(state, _):
            carry, observation, ended = state
            carry, after, end, h = jax.vmap(one)(carry, observation, ended)
            return (carry, after, end), (observation, ended, h)

        start = (
            layer.initial_carry(params, envs),
            jax.random.normal(jax.random.key(1), (envs, 3)),
            jnp.zeros(envs, bool),
        )
        return jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), jax.lax.scan(step, start, None, length=steps)[1])

    observations, resets, hs = jax.jit(act)(params)
    assert 5 < resets.sum() < 150  # episodes do end
    learn = lambda params: scan_cell(cell, params, observations, resets=resets, backend="plain")[1]  # noqa: E731
    np.testing.assert_array_equal(hs, jax.jit(learn)(params))
    np.testing.assert_allclose(hs, scan_cell(cell, params, observations, resets=resets)[1], rtol=1e-5, atol=1e-6)
