"""From knobs to a stack."""

import dataclasses

import pytest

from rnn_jax import GRU, LSTM, Bidirectional, Elman, Recurrent
from rnn_jax.errors import UserError
from rnn_jax.models.recurrent_config import RecurrentConfig, make_stack, with_hidden_size


def config(**knobs):
    return dataclasses.replace(RecurrentConfig(), **knobs)


def test_mixed_cells_and_widths():
    stack = make_stack(config(cell=("lstm", "gru"), hidden_size=(8, 4), num_layers=2, layer_dropout=0.5))
    assert stack.layers == (Recurrent(LSTM(8)), Recurrent(GRU(4))) and stack.dropout == 0.5


def test_directions_and_options():
    knobs = config(
        cell=("elman",),
        cell_options=("activation=relu", "w_h_init=identity", "b_init=0.5"),
        hidden_size=(8,),
        bidirectional=True,
        merge="sum",
    )
    expected = Elman(8, activation="relu", w_h_init="identity", b_init=0.5)
    assert make_stack(knobs).layers == (Bidirectional(expected, merge="sum"),)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"cell": ("lsmt",)}, "No cell 'lsmt'. There are: elman"),
        ({"cell": ("lstm", "gru"), "num_layers": 3}, "2 entries for --num_layers=3"),
        ({"cell_options": ("relu",)}, "not of the form field=value"),
        ({"cell_options": ("colour=1",)}, "colour"),
        ({"cell": ("no.such.module:Cell",)}, "cannot be imported"),
        ({"cell": ("collections:Counter",)}, "is no cell"),
        ({"residual": True, "num_layers": 2, "hidden_size": (4, 8)}, "residual"),
        ({"recurrent_dropout": 0.5, "cell": ("memoryless",)}, "recurrent_weights"),
        ({"cell_options": ("w_h_init=nope",)}, "w_h_init: no initializer 'nope'"),
    ],
)
def test_messages(knobs, message):
    with pytest.raises(UserError, match=message):
        make_stack(config(**knobs))


def test_own_class_by_name():
    (layer,) = make_stack(config(cell=("rnn_jax.cells.gru:ResetBeforeGRU",), hidden_size=(3,))).layers
    assert type(layer.cell).__name__ == "ResetBeforeGRU" and layer.cell.hidden_size == 3


def test_hidden_size_for_a_budget_is_the_nearest():
    def count(knobs):  # an LSTM on 10 inputs: 4H(10 + H + 1)
        (size,) = knobs.hidden_size
        return 4 * size * (11 + size)

    for budget in (100, 5_000, 123_456):
        (size,) = with_hidden_size(RecurrentConfig(), budget, count).hidden_size
        distances = {h: abs(4 * h * (11 + h) - budget) for h in range(1, 400)}
        assert distances[size] == min(distances.values())
    with pytest.raises(UserError, match="even with one hidden unit"):
        with_hidden_size(RecurrentConfig(), 10, count)


def test_one_initializer_a_gate():
    knobs = config(cell=("lstm",), cell_options=("b_init=(0.0", "2.0", "0.0", "'ones')", "w_h_init=orthogonal"))
    (layer,) = make_stack(knobs).layers
    assert layer.cell.b_init == (0.0, 2.0, 0.0, "ones") and layer.cell.w_h_init == "orthogonal"
