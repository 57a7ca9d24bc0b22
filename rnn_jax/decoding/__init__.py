"""From a step function to sequences: greedy, sampling and beam search."""

from rnn_jax.decoding.search import Hypotheses, beam_search, cut_unlikely, greedy, sample

__all__ = ["Hypotheses", "beam_search", "cut_unlikely", "greedy", "sample"]
