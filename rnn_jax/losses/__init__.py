"""Losses as (total, weight) pairs: of classes, all or few of very many; mixtures of softmaxes; of predicted numbers."""

from rnn_jax.losses.adaptive import AdaptiveParams, adaptive_cross_entropy, adaptive_log_probs, init_adaptive
from rnn_jax.losses.cross_entropy import binary_cross_entropy, cross_entropy, smoothed_cross_entropy
from rnn_jax.losses.distributions import (
    DISTRIBUTIONS,
    Distribution,
    Gaussian,
    NegativeBinomial,
    StudentT,
    negative_log_likelihood,
    num_outputs,
)
from rnn_jax.losses.mixture import mixture_cross_entropy, mixture_log_probs
from rnn_jax.losses.regression import absolute_error, huber_error, quantile_loss, squared_error
from rnn_jax.losses.sampled import counts_proposal, log_uniform_proposal, sampled_cross_entropy

__all__ = [
    "DISTRIBUTIONS",
    "AdaptiveParams",
    "Distribution",
    "Gaussian",
    "NegativeBinomial",
    "StudentT",
    "absolute_error",
    "adaptive_cross_entropy",
    "adaptive_log_probs",
    "binary_cross_entropy",
    "counts_proposal",
    "cross_entropy",
    "huber_error",
    "init_adaptive",
    "log_uniform_proposal",
    "mixture_cross_entropy",
    "mixture_log_probs",
    "negative_log_likelihood",
    "num_outputs",
    "quantile_loss",
    "sampled_cross_entropy",
    "smoothed_cross_entropy",
    "squared_error",
]
