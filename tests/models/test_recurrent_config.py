"""From knobs to a stack."""

import dataclasses

import pytest

from experiments.seq2seq import Config as Seq2SeqConfig
from rnn_jax import CELLS, GRU, LSTM, Bidirectional, Elman, Recurrent
from rnn_jax.attention import ATTENTIONS
from rnn_jax.config import group, knob
from rnn_jax.data import tagging_config, translation_config
from rnn_jax.errors import UserError
from rnn_jax.layers import MERGES
from rnn_jax.models import recurrent_config
from rnn_jax.models.classifier_config import POOLINGS
from rnn_jax.models.own_cells import given_cells, import_cells
from rnn_jax.models.recurrent_config import RecurrentConfig
from rnn_jax.models.seq2seq_config import ATTENTION_NAMES
from rnn_jax.models.sizes import describe_network, solve_width
from rnn_jax.models.stack import make_stack
from rnn_jax.modules import RNN, Pooling
from rnn_jax.scanning import backend
from rnn_jax.tagging import spans
from rnn_jax.text import subwords


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
        ({"cell": ("no.such.module:Cell",)}, "a run directory alone does not make us import"),
        ({"residual": True, "num_layers": 2, "hidden_size": (4, 8)}, "residual"),
        ({"recurrent_dropout": 0.5, "cell": ("memoryless",)}, "recurrent_weights"),
        ({"cell_options": ("w_h_init=nope",)}, "w_h_init: no initializer 'nope'"),
    ],
)
def test_messages(knobs, message):
    with pytest.raises(UserError, match=message):
        make_stack(config(**knobs))


def test_own_classes_are_made_once_somebody_has_named_them():
    with pytest.raises(UserError, match="a run directory alone does not make us import"):
        make_stack(config(cell=("rnn_jax.cells.gru:ResetBeforeGRU",)))
    import_cells(["lstm", "rnn_jax.cells.gru:ResetBeforeGRU"])
    (layer,) = make_stack(config(cell=("rnn_jax.cells.gru:ResetBeforeGRU",), hidden_size=(3,))).layers
    assert type(layer.cell).__name__ == "ResetBeforeGRU" and layer.cell.hidden_size == 3


def test_given_classes_are_those_of_a_block_alone():
    made = lambda: type(make_stack(config(cell=("some:Cell",))).layers[0].cell)  # noqa: E731
    with given_cells({"some:Cell": GRU}):
        with given_cells({"some:Cell": LSTM}):
            assert made() is LSTM
        assert made() is GRU
    with pytest.raises(UserError, match="a run directory alone does not make us import"):
        made()


@pytest.mark.parametrize("name", ["no.such.module:Cell", "collections:Nothing"])
def test_classes_that_cannot_be_imported(name):
    with pytest.raises(UserError, match="cannot be imported"):
        import_cells([name])


def test_a_class_that_is_no_cell():
    import_cells(["collections:Counter"])
    with pytest.raises(UserError, match="is no cell"):
        make_stack(config(cell=("collections:Counter",)))


@dataclasses.dataclass(frozen=True)
class Budget:
    encoder: RecurrentConfig = group(RecurrentConfig, "model", num_layers=2, hidden_size=(3, 5))
    num_params: int = knob(0, "parameters")


def make_network(knobs, codec, rngs):
    return RNN(make_stack(knobs.encoder), 10, rngs=rngs)


def test_hidden_size_for_a_budget_is_the_nearest():
    def count(h):  # two LSTMs: 4H(10 + H + 1) and 4H(2H + 1)
        return 4 * h * (11 + h) + 4 * h * (2 * h + 1)

    for budget in (200, 5_000, 123_456):
        (size,) = solve_width(Budget(num_params=budget), None, make_network).encoder.hidden_size
        distances = {h: abs(count(h) - budget) for h in range(1, 400)}
        assert distances[size] == min(distances.values())
    assert solve_width(Budget(), None, make_network) == Budget()
    with pytest.raises(UserError, match="even with one hidden unit"):
        solve_width(Budget(num_params=10), None, make_network)


def test_networks_are_described():
    assert describe_network(Budget()) == "2-layer lstm, "
    assert describe_network(Seq2SeqConfig()) == "1-layer bidirectional gru → 1-layer gru, "


def test_names_in_knobs_are_those_of_the_registries():
    """They are written down again, so that reading a command line needs no JAX."""
    assert tuple(CELLS) == recurrent_config.CELL_NAMES
    assert tuple(MERGES) == recurrent_config.MERGE_NAMES
    assert recurrent_config.BACKEND_NAMES == backend.ANY_DEVICE and recurrent_config.SAVE_NAMES == backend.SAVE
    assert POOLINGS == Pooling.KINDS and tuple(ATTENTIONS) == ATTENTION_NAMES
    assert tagging_config.SCHEMES == spans.SCHEMES and translation_config.SUBWORD_KINDS == subwords.SUBWORD_KINDS


def test_one_initializer_a_gate():
    knobs = config(cell=("lstm",), cell_options=("b_init=(0.0", "2.0", "0.0", "'ones')", "w_h_init=orthogonal"))
    (layer,) = make_stack(knobs).layers
    assert layer.cell.b_init == (0.0, 2.0, 0.0, "ones") and layer.cell.w_h_init == "orthogonal"
