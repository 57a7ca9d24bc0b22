"""Cells: one time step each, one family a file, and the registry that flags and sweeps name them by."""

import functools
import importlib
from collections.abc import Callable, Mapping
from typing import Any

from rnn_jax.cells.base import DenseCell, SplitCell
from rnn_jax.cells.conv_lstm import (
    ConvLSTM,
    ConvLSTMCarry,
    ConvLSTMGates,
    ConvLSTMParams,
    PeepholeConvLSTM,
    PeepholeConvLSTMParams,
)
from rnn_jax.cells.elman import ACTIVATIONS, Elman, ElmanCarry, ElmanParams, Memoryless, MemorylessParams
from rnn_jax.cells.gru import (
    GRU,
    GRUCarry,
    GRUGates,
    GRUParams,
    LayerNormGRU,
    LayerNormGRUParams,
    ResetBeforeGRU,
    ResetBeforeGRUParams,
)
from rnn_jax.cells.initializers import Chrono, Drawn, chrono, initializer
from rnn_jax.cells.lstm import LSTM, CoupledGates, CoupledLSTM, LSTMCarry, LSTMGates, LSTMParams
from rnn_jax.cells.lstm_variants import (
    LayerNormLSTM,
    LayerNormLSTMParams,
    PeepholeLSTM,
    PeepholeLSTMParams,
    ProjectedLSTM,
    ProjectedLSTMParams,
)
from rnn_jax.cells.wrappers import HiddenDropout, LearnedStart, LearnedStartParams, Wrapper, Zoneout
from rnn_jax.types import Cell

CELLS: dict[str, Callable[..., Cell]] = {
    "elman": Elman,
    **{f"elman_{name}": functools.partial(Elman, activation=name) for name in ACTIVATIONS if name != "tanh"},
    "lstm": LSTM,
    "lstm_coupled": CoupledLSTM,
    "lstm_peephole": PeepholeLSTM,
    "lstm_layer_norm": LayerNormLSTM,
    "lstm_projected": ProjectedLSTM,
    "gru": GRU,
    "gru_reset_before": ResetBeforeGRU,
    "gru_layer_norm": LayerNormGRU,
    "memoryless": Memoryless,
}

IMAGE_CELLS: dict[str, Callable[..., Cell]] = {"conv_lstm": ConvLSTM, "conv_lstm_peephole": PeepholeConvLSTM}
"""Cells whose x, y and carry are images: they need an `image_size` beside the hidden size."""


def make_cell(
    name: str,
    hidden_size: int,
    options: Mapping[str, Any] | None = None,
    *,
    own: Mapping[str, Callable[..., Cell]] | None = None,
) -> Cell:
    """A cell by its name in `CELLS`, or a class of your own as "package.module:Class".

    `options` are further fields of the cell, such as {"w_h_init": "identity"}; `own` are more cells by name.

    Raises:
      ValueError: an unknown name, a class that cannot be imported or is no cell, or options that it does not take.
    """
    if not isinstance(name, str):
        raise ValueError(f"make_cell takes the name of a cell, {', '.join(CELLS)}; got {name!r}.")
    constructor = (own or {}).get(name) or (import_cell(name) if ":" in name else CELLS.get(name))
    if constructor is None:
        raise ValueError(
            f"No cell {name!r}. There are: {', '.join(CELLS)}; or name a class of your own as package.module:Class."
        )
    try:
        cell = constructor(hidden_size=hidden_size, **(options or {}))
    except TypeError as error:
        raise ValueError(
            f"Cell {name!r} cannot be made with hidden_size and {dict(options or {})}: {error}."
        ) from error
    missing = [method for method in ("init", "initial_carry", "step") if not hasattr(cell, method)]
    if missing:
        raise ValueError(f"{name!r} is no cell: it has no {', '.join(missing)}.")
    return cell


def import_cell(path: str) -> Callable[..., Cell]:
    """The class that "package.module:Class" names; ValueError where it cannot be imported."""
    module, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"Cell {path!r} cannot be imported: {error}.") from error


__all__ = [
    "ACTIVATIONS",
    "CELLS",
    "GRU",
    "IMAGE_CELLS",
    "LSTM",
    "Chrono",
    "ConvLSTM",
    "ConvLSTMCarry",
    "ConvLSTMGates",
    "ConvLSTMParams",
    "CoupledGates",
    "CoupledLSTM",
    "DenseCell",
    "Drawn",
    "Elman",
    "ElmanCarry",
    "ElmanParams",
    "GRUCarry",
    "GRUGates",
    "GRUParams",
    "HiddenDropout",
    "LSTMCarry",
    "LSTMGates",
    "LSTMParams",
    "LayerNormGRU",
    "LayerNormGRUParams",
    "LayerNormLSTM",
    "LayerNormLSTMParams",
    "LearnedStart",
    "LearnedStartParams",
    "Memoryless",
    "MemorylessParams",
    "PeepholeConvLSTM",
    "PeepholeConvLSTMParams",
    "PeepholeLSTM",
    "PeepholeLSTMParams",
    "ProjectedLSTM",
    "ProjectedLSTMParams",
    "ResetBeforeGRU",
    "ResetBeforeGRUParams",
    "SplitCell",
    "Wrapper",
    "Zoneout",
    "chrono",
    "import_cell",
    "initializer",
    "make_cell",
]
