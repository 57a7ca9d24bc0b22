"""Recurrent neural networks in JAX as pure functions.

One time step (`cells`) → over time (`scan_cell`) → over depth and direction (`Recurrent`, `Bidirectional`, `Stack`).
Importing this package needs only jax, and imports it when one of the names below is asked for; what needs Flax, Optax,
Orbax or TFDS is in `modules`, `models`, `training` and `data`, which are imported by name.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnn_jax.analysis import ensemble, gate_values
    from rnn_jax.cells import (
        CELLS,
        GRU,
        LSTM,
        ConvLSTM,
        CoupledLSTM,
        Elman,
        HiddenDropout,
        LayerNormGRU,
        LayerNormLSTM,
        LearnedStart,
        Memoryless,
        PeepholeConvLSTM,
        PeepholeLSTM,
        ProjectedLSTM,
        ResetBeforeGRU,
        SplitCell,
        Zoneout,
        initializer,
        make_cell,
    )
    from rnn_jax.layers import Bidirectional, LayerOutput, Recurrent, Stack
    from rnn_jax.masking import lengths_to_mask, segment_ids_to_mask, segment_ids_to_resets
    from rnn_jax.scanning import Backend, scan_cell
    from rnn_jax.tagging import crf
    from rnn_jax.types import Cell, Layer

__version__ = "0.1.0"

_MODULES = {
    "Backend": "rnn_jax.scanning",
    "Bidirectional": "rnn_jax.layers",
    "CELLS": "rnn_jax.cells",
    "Cell": "rnn_jax.types",
    "ConvLSTM": "rnn_jax.cells",
    "CoupledLSTM": "rnn_jax.cells",
    "Elman": "rnn_jax.cells",
    "GRU": "rnn_jax.cells",
    "HiddenDropout": "rnn_jax.cells",
    "LSTM": "rnn_jax.cells",
    "Layer": "rnn_jax.types",
    "LayerNormGRU": "rnn_jax.cells",
    "LayerNormLSTM": "rnn_jax.cells",
    "LayerOutput": "rnn_jax.layers",
    "LearnedStart": "rnn_jax.cells",
    "Memoryless": "rnn_jax.cells",
    "PeepholeConvLSTM": "rnn_jax.cells",
    "PeepholeLSTM": "rnn_jax.cells",
    "ProjectedLSTM": "rnn_jax.cells",
    "Recurrent": "rnn_jax.layers",
    "ResetBeforeGRU": "rnn_jax.cells",
    "SplitCell": "rnn_jax.cells",
    "Stack": "rnn_jax.layers",
    "Zoneout": "rnn_jax.cells",
    "crf": "rnn_jax.tagging.crf",
    "ensemble": "rnn_jax.analysis",
    "gate_values": "rnn_jax.analysis",
    "initializer": "rnn_jax.cells",
    "lengths_to_mask": "rnn_jax.masking",
    "make_cell": "rnn_jax.cells",
    "scan_cell": "rnn_jax.scanning",
    "segment_ids_to_mask": "rnn_jax.masking",
    "segment_ids_to_resets": "rnn_jax.masking",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(_MODULES[name])
    return module if name == "crf" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])


__all__ = [
    "CELLS",
    "GRU",
    "LSTM",
    "Backend",
    "Bidirectional",
    "Cell",
    "ConvLSTM",
    "CoupledLSTM",
    "Elman",
    "HiddenDropout",
    "Layer",
    "LayerNormGRU",
    "LayerNormLSTM",
    "LayerOutput",
    "LearnedStart",
    "Memoryless",
    "PeepholeConvLSTM",
    "PeepholeLSTM",
    "ProjectedLSTM",
    "Recurrent",
    "ResetBeforeGRU",
    "SplitCell",
    "Stack",
    "Zoneout",
    "crf",
    "ensemble",
    "gate_values",
    "initializer",
    "lengths_to_mask",
    "make_cell",
    "scan_cell",
    "segment_ids_to_mask",
    "segment_ids_to_resets",
]
