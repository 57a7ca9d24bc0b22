import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rnn_jax import GRU, LSTM, CoupledLSTM, Elman, LayerNormLSTM, PeepholeLSTM, make_cell
from rnn_jax.cells.initializers import INITIALIZERS, chrono, get_initializer, init_gates

KEY = jax.random.key(0)


def blocks(array, num):
    return np.split(np.asarray(array), num, axis=-1)


def test_orthogonal_is_orthogonal_for_each_gate():
    for cell, gates in ((LSTM(6), 4), (GRU(6), 3), (Elman(6), 1)):
        drawn = blocks(cell.init(KEY, 5).w_h, gates)
        for block in drawn:
            np.testing.assert_allclose(block @ block.T, np.eye(6), atol=1e-5)
        assert len({block.tobytes() for block in drawn}) == gates  # each drawn on its own


def test_glorot_counts_the_fan_of_one_gate():
    """U(−a, a) with a = √(6 / (D + H)), not √(6 / (D + 4H))."""
    bound = np.sqrt(6 / (40 + 60))
    w_x = np.abs(LSTM(60).init(KEY, 40).w_x)
    assert 0.99 * bound < w_x.max() <= bound


def test_forget_gate_starts_open():
    assert LSTM(2).init(KEY, 3).b.tolist() == [0, 0, 1, 1, 0, 0, 0, 0]  # i f g o
    assert CoupledLSTM(2).init(KEY, 3).b.tolist() == [1, 1, 0, 0, 0, 0]  # f g o


def sevens(key, shape, dtype):
    return jnp.full(shape, 7.0, dtype)


def test_one_initializer_a_gate():
    b = LSTM(1, b_init=(1.0, "zeros", -2.0, sevens)).init(KEY, 2).b
    assert b.tolist() == [1, 0, -2, 7]


def test_irnn():
    """Le et al. (2015): a relu network whose recurrent matrix starts as the identity."""
    assert Elman(3, activation="relu", w_h_init="identity").init(KEY, 2).w_h.tolist() == np.eye(3).tolist()


def test_torch_uniform_has_the_range_of_torch():
    w_x = np.abs(LSTM(25, w_x_init="torch_uniform").init(KEY, 300).w_x)
    assert 0.19 < w_x.max() <= 0.2  # 1/√25, whatever the input size


def test_initializers_by_their_moments():
    """Of a (200, 300) matrix: the standard deviations that their papers name."""
    expected = {
        "glorot_uniform": np.sqrt(2 / 500),
        "glorot_normal": np.sqrt(2 / 500),
        "he_normal": np.sqrt(2 / 200),
        "he_uniform": np.sqrt(2 / 200),
        "lecun_normal": np.sqrt(1 / 200),
        "normal": 0.01,
        "orthogonal": np.sqrt(1 / 300),
        "torch_uniform": np.sqrt(1 / 300 / 3),
        "zeros": 0.0,
        "ones": 0.0,
        "identity": np.std(np.eye(200, 300)),
    }
    assert expected.keys() == INITIALIZERS.keys()
    for name, deviation in expected.items():
        drawn = np.asarray(get_initializer(name)(KEY, (200, 300), jnp.float32))
        np.testing.assert_allclose(drawn.std(), deviation, rtol=0.02, atol=1e-7, err_msg=name)


WIDE = {"hidden_size": 2000, "w_h_init": "zeros"}  # enough units for statistics, without matrices to orthogonalise


def is_uniform(values, low, high):
    return (
        values.min() >= low
        and values.max() <= high
        and stats.kstest((values - low) / (high - low), "uniform")[1] > 0.01
    )


@pytest.mark.parametrize("cell_class", [LSTM, PeepholeLSTM, LayerNormLSTM])
def test_chrono_follows_its_paper(cell_class):
    """Tallec & Ollivier (2018): b_f ~ log U[1, T_max − 1], b_i = −b_f; the other gates as without it."""
    cell = cell_class(**WIDE, b_init=(5.0, 5.0, 0.25, 0.5), chrono=100)
    b_i, b_f, b_g, b_o = blocks(cell.init(KEY, 1).b, 4)
    assert is_uniform(np.exp(b_f), 1, 99)
    np.testing.assert_array_equal(b_i, -b_f)
    assert (b_g == 0.25).all() and (b_o == 0.5).all()


def test_chrono_of_coupled_gates_and_of_the_gru():
    b_f, b_g, b_o = blocks(CoupledLSTM(**WIDE, chrono=30).init(KEY, 1).b, 3)
    assert is_uniform(np.exp(b_f), 1, 29) and not b_g.any() and not b_o.any()
    b_r, b_z, b_n = blocks(GRU(**WIDE, b_init=("zeros", chrono(30), "zeros")).init(KEY, 1).b, 3)  # z keeps the state
    assert is_uniform(np.exp(b_z), 1, 29) and not b_r.any() and not b_n.any()


def test_a_gate_by_chrono_keeps_a_memory_as_long_as_asked_for():
    """With weights of zero c_t = f^t c_0: unit by unit e-fold decay in 1 + e^b_f steps, up to second order."""
    cell = LSTM(50, w_x_init="zeros", w_h_init="zeros", chrono=200)
    params = cell.init(KEY, 1)
    time_constants = 1 + np.exp(blocks(params.b, 4)[1])
    carry = cell.initial_carry(params)._replace(c=jnp.ones(50))
    after, _ = cell.step(params, carry, jnp.zeros(1))
    np.testing.assert_allclose(1 / (1 - after.c), time_constants, rtol=1e-4)
    assert time_constants.min() >= 2 and 150 < time_constants.max() <= 200


@pytest.mark.parametrize("longest", [1, -5])
def test_chrono_needs_two_steps(longest):
    with pytest.raises(ValueError, match=f"dependencies of at least 2 steps, an integer; got {longest}"):
        make_cell("lstm", 4, {"chrono": longest})


def test_other_draws_are_the_same_with_chrono():
    plain, with_chrono = LSTM(3).init(KEY, 2), LSTM(3, chrono=10).init(KEY, 2)
    np.testing.assert_array_equal(plain.w_x, with_chrono.w_x)
    np.testing.assert_array_equal(plain.w_h, with_chrono.w_h)
    assert not np.array_equal(LSTM(3, chrono=10).init(jax.random.key(1), 2).b, with_chrono.b)


def test_same_key_same_params_other_key_others():
    first, again, other = (LSTM(3).init(jax.random.key(seed), 2) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert not np.allclose(first.w_x, other.w_x) and not np.allclose(first.w_h, other.w_h)


def test_errors_name_what_there_is():
    with pytest.raises(ValueError, match="w_h_init: no initializer 'ortogonal'; there are: .*orthogonal"):
        Elman(2, w_h_init="ortogonal")
    with pytest.raises(ValueError, match="No initializer 'ortogonal'; there are: .*orthogonal"):
        init_gates(KEY, "ortogonal", 1, (2,))
    with pytest.raises(ValueError, match="One initializer a gate: 4 gates, but 3 given"):
        init_gates(KEY, ("zeros",) * 3, 4, (2,))
