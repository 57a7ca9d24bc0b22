"""From a step function to sequences: greedy, sampling and beam search, each one compiled loop that ends early.

`decoding/hypotheses.py` says what a step function is. Each example is decoded as if it were alone: neither the others,
nor their number, nor NaN in their logits change its result.
"""

from rnn_jax.decoding.beam import beam_search
from rnn_jax.decoding.hypotheses import Hypotheses
from rnn_jax.decoding.sampling import cut_unlikely, greedy, sample

__all__ = ["Hypotheses", "beam_search", "cut_unlikely", "greedy", "sample"]
