"""Losses as (total, weight) pairs: of all classes, and of vocabularies too large for that; mixtures of softmaxes."""

from rnn_jax.losses.adaptive import AdaptiveParams, adaptive_cross_entropy, adaptive_log_probs, init_adaptive
from rnn_jax.losses.cross_entropy import cross_entropy, smoothed_cross_entropy
from rnn_jax.losses.mixture import mixture_cross_entropy, mixture_log_probs
from rnn_jax.losses.sampled import counts_proposal, log_uniform_proposal, sampled_cross_entropy

__all__ = [
    "AdaptiveParams",
    "adaptive_cross_entropy",
    "adaptive_log_probs",
    "counts_proposal",
    "cross_entropy",
    "init_adaptive",
    "log_uniform_proposal",
    "mixture_cross_entropy",
    "mixture_log_probs",
    "sampled_cross_entropy",
    "smoothed_cross_entropy",
]
