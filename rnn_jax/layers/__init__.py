"""Over depth and direction: `Recurrent`, `Bidirectional` and `Stack`; pooling of their outputs."""

from rnn_jax.layers.base import LayerOutput
from rnn_jax.layers.bidirectional import MERGES, Bidirectional, BidirectionalCarry, BidirectionalParams
from rnn_jax.layers.recurrent import Recurrent, as_layer
from rnn_jax.layers.stack import Stack

__all__ = [
    "MERGES",
    "Bidirectional",
    "BidirectionalCarry",
    "BidirectionalParams",
    "LayerOutput",
    "Recurrent",
    "Stack",
    "as_layer",
]
