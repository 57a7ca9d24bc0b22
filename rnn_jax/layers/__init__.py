"""Over depth and direction: `Recurrent`, `Bidirectional` and `Stack`; pooling of their outputs."""

from rnn_jax.layers.layers import MERGES, Bidirectional, BidirectionalCarry, LayerOutput, Recurrent, Stack, as_layer

__all__ = ["MERGES", "Bidirectional", "BidirectionalCarry", "LayerOutput", "Recurrent", "Stack", "as_layer"]
