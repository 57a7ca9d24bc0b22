"""Cells by name: what flags and sweeps use."""

import jax
import numpy as np
import pytest

from rnn_jax import CELLS, GRU, LSTM, Elman, make_cell, scan_cell

OWN_CELL = '''
import jax.numpy as jnp

class Delay:
    """Gives each input back one step later."""

    def __init__(self, hidden_size, first=0.0):
        self.hidden_size, self.first = hidden_size, first

    def init(self, key, input_size):
        return ()

    def initial_carry(self):
        return jnp.full(self.hidden_size, self.first)

    def step(self, params, carry, x):
        return x, carry

class NoCell:
    def __init__(self, hidden_size):
        pass
'''


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "own_cells.py").write_text(OWN_CELL)
    monkeypatch.syspath_prepend(tmp_path)


def test_names_make_the_cells_they_say():
    assert make_cell("lstm", 3) == LSTM(3)
    assert make_cell("gru", 3, {"w_h_init": "normal"}) == GRU(3, w_h_init="normal")
    assert make_cell("elman_relu", 2) == Elman(2, activation="relu")
    assert len({repr(make_cell(name, 2)) for name in CELLS}) == len(CELLS)


def test_a_class_of_ones_own_by_its_path(own_module):
    cell = make_cell("own_cells:Delay", 2, {"first": 7.0})
    xs = jax.numpy.asarray([[1.0, 2], [3, 4], [5, 6]])
    carry, ys = scan_cell(cell, cell.init(jax.random.key(0), 2), xs)
    np.testing.assert_array_equal(ys, [[7, 7], [1, 2], [3, 4]])
    np.testing.assert_array_equal(carry, [5, 6])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ltsm", {}, "No cell 'ltsm'. There are: elman, .*lstm.*; or name a class of your own as package.module:Class"),
        ("own_cells:Dealy", {}, "Cell 'own_cells:Dealy' cannot be imported: .*Dealy"),
        ("no_such_module:Cell", {}, "Cell 'no_such_module:Cell' cannot be imported: No module named 'no_such_module'"),
        ("own_cells:NoCell", {}, "'own_cells:NoCell' is no cell: it has no init, initial_carry, step"),
        ("lstm", {"activation": "relu"}, "Cell 'lstm' cannot be made with hidden_size and {'activation': 'relu'}: "),
    ],
)
def test_errors_say_what_was_given_and_what_there_is(name, options, message, own_module):
    with pytest.raises(ValueError, match=message):
        make_cell(name, 2, options)
