"""From a step function to sequences: greedy, sampling and beam search, each one compiled loop that ends early.

`decoding/hypotheses.py` says what a step function is. Each example is decoded as if it were alone: neither the others,
nor their number, nor NaN in their logits change its result. `decoding/continuation.py` writes on from a prompt, chunk
by chunk.
"""

from rnn_jax.decoding.beam import beam_search
from rnn_jax.decoding.continuation import Writing, begin, write
from rnn_jax.decoding.hypotheses import Hypotheses
from rnn_jax.decoding.likely import cut_unlikely, repeated
from rnn_jax.decoding.sampling import greedy, sample

__all__ = ["Hypotheses", "Writing", "beam_search", "begin", "cut_unlikely", "greedy", "repeated", "sample", "write"]
