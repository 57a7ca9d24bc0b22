"""The knobs of a recurrent stack, shared by all experiments; `models/stack.py` makes the stack."""

import dataclasses
from typing import Any

from rnn_jax.config import ABOVE_ONE, ABOVE_ZERO, NETWORK, any_of, knob, when

# Of registries whose modules import JAX, which reading a command line should not wait for; a test compares them.
CELL_NAMES = (
    "elman",
    "elman_relu",
    "elman_leaky_relu",
    "elman_elu",
    "elman_sigmoid",
    "elman_identity",
    "lstm",
    "lstm_coupled",
    "lstm_peephole",
    "lstm_layer_norm",
    "lstm_projected",
    "gru",
    "gru_reset_before",
    "gru_layer_norm",
    "memoryless",
)
MERGE_NAMES = ("concat", "sum", "mean", "max")
BACKEND_NAMES = ("auto", "plain", "deferred")
SAVE_NAMES = ("auto", "preactivations", "carries", "borders")
# Where there is a decoder, it may be the only one that has several layers.
SEVERAL_LAYERS = any_of(when(num_layers=ABOVE_ONE), when(decoder_num_layers=ABOVE_ONE))


def dropout_knob(help: str, default: float = 0.0, **rules: Any) -> Any:  # noqa: A002 (as in `knob`)
    """A rate of something dropped."""
    return knob(default, help, minimum=0.0, maximum=0.99, **rules)


@dataclasses.dataclass(frozen=True)
class RecurrentConfig:
    """Which cells, how wide, how deep, in which directions, and what is dropped."""

    cell: tuple[str, ...] = knob(
        ("lstm",),
        f"cell of every layer, or one a layer: {', '.join(CELL_NAMES)}; or your own class as package.module:Class",
        code=True,
        short=True,
        inherited=NETWORK,
    )
    cell_options: tuple[str, ...] = knob(
        (), "further fields of the cells, as in w_h_init=identity,b_init=(0.0,1.0,0.0,0.0)", inherited=NETWORK
    )
    hidden_size: tuple[int, ...] = knob(
        (128,),
        "hidden size of every layer, or one a layer",
        minimum=1,
        only_if=when(num_params=0),
        short=True,
        inherited=NETWORK,
    )
    num_layers: int = knob(1, "number of recurrent layers", minimum=1, short=True, inherited=NETWORK)
    bidirectional: bool = knob(False, "read in both directions in every layer", short=True, inherited=NETWORK)
    merge: str = knob(
        "concat",
        "how the two directions' outputs are merged",
        choices=MERGE_NAMES,
        only_if=when(bidirectional=True),
        inherited=NETWORK,
    )
    residual: bool = knob(
        False, "every layer but the first adds its input to its output", only_if=SEVERAL_LAYERS, inherited=NETWORK
    )
    input_dropout: float = dropout_knob("dropout on the input of the first layer")
    layer_dropout: float = dropout_knob("dropout between layers", only_if=SEVERAL_LAYERS)
    variational_dropout: bool = knob(
        False,
        "input and layer dropout drop the same units at every step of a sequence",
        only_if=any_of(when(input_dropout=ABOVE_ZERO), when(layer_dropout=ABOVE_ZERO)),
    )
    recurrent_dropout: float = dropout_knob("DropConnect on the recurrent weights w_h")
    backend: str = knob("auto", "how sequences are computed; changes speed and rounding only", choices=BACKEND_NAMES)
    saved_activations: str = knob(
        "auto",
        "what the deferred gradient keeps of the forward pass: the less, the slower",
        choices=SAVE_NAMES,
        only_if=when(backend=("auto", "deferred")),
        former=("save",),
    )
    unroll: int = knob(1, "steps joined in one iteration of the compiled loop; changes speed only", minimum=1)
