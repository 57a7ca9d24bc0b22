"""What gates do, by name: against the equations, with one weight matrix a gate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.foreign_cells import DecayingSum

from rnn_jax import (
    CELLS,
    GRU,
    LSTM,
    CoupledLSTM,
    Elman,
    HiddenDropout,
    LearnedStart,
    PeepholeLSTM,
    ResetBeforeGRU,
    Zoneout,
    gate_values,
    make_cell,
    scan_cell,
)

B, T, D, H = 2, 5, 3, 4
XS = np.random.default_rng(0).normal(size=(B, T, D))
MASK = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 0, 0]], bool)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def params_of(cell):
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), cell.init(jax.random.key(0), D))


def before(states, start):
    """The carry before each step of one row, from that after it."""
    return np.concatenate([np.asarray(start)[None], np.asarray(states)[:-1]])


def test_gates_of_the_lstm(float64):
    cell = LSTM(H)
    params = params_of(cell)
    _, _, states = scan_cell(cell, params, XS[0], return_states=True)
    a = XS[0] @ params.w_x + before(states.h, np.zeros(H)) @ params.w_h + params.b
    i, f, g, o = np.split(a, 4, axis=-1)
    values = gate_values(cell, params, jnp.asarray(XS))
    assert list(values) == ["input", "forget", "candidate", "output"]
    for name, expected in zip(values, (sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o))):
        np.testing.assert_allclose(values[name][0], expected, rtol=1e-10)


def test_gates_of_the_gru(float64):
    cell = GRU(H)
    params = params_of(cell)
    _, _, states = scan_cell(cell, params, XS[0], return_states=True)
    from_x, from_h = XS[0] @ params.w_x + params.b, before(states.h, np.zeros(H)) @ params.w_h
    r, z = (sigmoid(from_x[:, block] + from_h[:, block]) for block in (slice(H), slice(H, 2 * H)))
    n = np.tanh(from_x[:, 2 * H :] + r * (from_h[:, 2 * H :] + params.b_hn))
    values = gate_values(cell, params, jnp.asarray(XS))
    for name, expected in {"reset": r, "update": z, "candidate": n}.items():
        np.testing.assert_allclose(values[name][0], expected, rtol=1e-10)


def test_gates_of_the_peephole_lstm_see_the_memory(float64):
    """i and f the old one, o the new one."""
    cell = PeepholeLSTM(H)
    params = params_of(cell)
    _, _, states = scan_cell(cell, params, XS[0], return_states=True)
    a = XS[0] @ params.w_x + before(states.h, np.zeros(H)) @ params.w_h + params.b
    i, f, _, o = np.split(a, 4, axis=-1)
    c_before, c = before(states.c, np.zeros(H)), np.asarray(states.c)
    values = gate_values(cell, params, jnp.asarray(XS))
    np.testing.assert_allclose(values["input"][0], sigmoid(i + params.p[0] * c_before), rtol=1e-10)
    np.testing.assert_allclose(values["forget"][0], sigmoid(f + params.p[1] * c_before), rtol=1e-10)
    np.testing.assert_allclose(values["output"][0], sigmoid(o + params.p[2] * c), rtol=1e-10)


@pytest.mark.parametrize(
    "cell",
    [
        *(make_cell(name, H) for name in CELLS if "lstm" in name or "gru" in name),
        LearnedStart(LSTM(H)),
        Zoneout(GRU(H)),
        HiddenDropout(CoupledLSTM(H)),
        Zoneout(ResetBeforeGRU(H)),
    ],
    ids=lambda cell: type(cell).__name__,
)
def test_what_gates_do_is_what_the_cell_computes(cell, float64):
    """The next memory from the gates: c = f c + i g or h = (1 − z) n + z h, masked, in both directions."""
    params = params_of(cell)
    for reverse in (False, True):
        options = {"mask": jnp.asarray(MASK), "reverse": reverse}
        values = gate_values(cell, params, jnp.asarray(XS), **options)
        assert all(leaf.shape == (B, T, H) and not np.any(np.asarray(leaf)[~MASK]) for leaf in values.values())
        if isinstance(cell, Zoneout):
            continue  # mixes what follows
        carry, _, states = scan_cell(cell, params, jnp.asarray(XS), return_states=True, **options)
        steps = range(T)[:: -1 if reverse else 1]
        start = jax.tree.map(np.asarray, cell.initial_carry(params))
        memory = np.stack([start[-1]] * B)
        for t in steps:
            gate = {name: np.asarray(leaf)[:, t] for name, leaf in values.items()}
            if "update" in gate:
                after = (1 - gate["update"]) * gate["candidate"] + gate["update"] * memory
            else:
                after = gate["forget"] * memory + gate.get("input", 1 - gate["forget"]) * gate["candidate"]
            memory = np.where(MASK[:, t, None], after, memory)
            np.testing.assert_allclose(states[-1][:, t], memory, rtol=1e-10)
        np.testing.assert_allclose(carry[-1], memory, rtol=1e-10)


def test_a_cell_of_ones_own_may_have_gates():
    class Open(DecayingSum):
        def gates(self, params, carry, x):
            return {"decay": jnp.full(self.hidden_size, 0.9), "norm of x": jnp.sqrt(jnp.sum(x**2))}

    cell = Open(H)
    params = cell.init(jax.random.key(0), D)
    values = gate_values(cell, params, jnp.asarray(XS, jnp.float32))
    np.testing.assert_allclose(values["norm of x"], np.linalg.norm(XS, axis=-1), rtol=1e-5)


@pytest.mark.parametrize("cell", [Elman(H), DecayingSum(H), LearnedStart(Elman(H))])
def test_cells_without_gates_are_refused(cell):
    with pytest.raises(ValueError, match="(Elman|DecayingSum) has no gates to look at"):
        gate_values(cell, cell.init(jax.random.key(0), D), jnp.ones((T, D)))
