"""Recurrent neural networks in JAX as pure functions.

One time step (`cells`) → over time (`scan_cell`) → over depth and direction (`Recurrent`, `Bidirectional`, `Stack`).
Importing this package needs only jax; what needs Flax, Optax, Orbax or TFDS is in `modules`, `models`, `training` and
`data`, which are imported by name.
"""

from rnn_jax.analysis import ensemble, gate_values
from rnn_jax.cells import (
    CELLS,
    GRU,
    LSTM,
    CoupledLSTM,
    Elman,
    HiddenDropout,
    LayerNormGRU,
    LayerNormLSTM,
    LearnedStart,
    Memoryless,
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

__all__ = [
    "CELLS",
    "GRU",
    "LSTM",
    "Backend",
    "Bidirectional",
    "Cell",
    "CoupledLSTM",
    "Elman",
    "HiddenDropout",
    "Layer",
    "LayerNormGRU",
    "LayerNormLSTM",
    "LayerOutput",
    "LearnedStart",
    "Memoryless",
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
