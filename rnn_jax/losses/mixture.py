"""Mixture of softmaxes (Yang et al. 2018): p = Σ_k π_k softmax(logits_k), whose log is no matrix of low rank.

Both π and the logits are scores, of any sign and size: π = softmax(log_mixture), which changes no logarithms of
probabilities. −∞ is what cannot be, a component or a class. Computed and returned in float32, or float64 if either is.
"""

import jax.numpy as jnp

from rnn_jax.numerics import log_softmax, logsumexp, wide_dtype
from rnn_jax.types import Array, Float, Int


def mixture_log_probs(log_mixture: Float[Array, "*B K"], logits: Float[Array, "*B K V"]) -> Float[Array, "*B V"]:
    """log Σ_k π_k softmax(logits_k): (…, K), (…, K, V) → (…, V)."""
    dtype = wide_dtype(log_mixture, logits)
    log_pi = log_softmax(log_mixture.astype(dtype))
    return logsumexp(log_pi[..., None] + log_softmax(logits.astype(dtype)), axis=-2)


def mixture_cross_entropy(
    log_mixture: Float[Array, "*B K"],
    logits: Float[Array, "*B K V"],
    labels: Int[Array, "*B"],
    weights: Float[Array, "*B"],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(Σ w · −log p(label), Σ w), log p(y) = log Σ_k exp(log π_k + logits_k[y] − log Σ_v exp logits_k[v]).

    No probability but that of the labels is computed. What is promised of rows of weight 0, and of a label that cannot
    be, is what `cross_entropy` promises.
    """
    dtype = wide_dtype(log_mixture, logits)
    real = weights > 0
    # Before anything is computed: the derivative at a NaN is NaN, even times 0.
    log_mixture = jnp.where(real[..., None], log_mixture.astype(dtype), 0)
    logits = jnp.where(real[..., None, None], logits.astype(dtype), 0)
    labels = jnp.where(real, labels, 0)
    picked = jnp.take_along_axis(logits, labels[..., None, None], axis=-1)[..., 0]
    impossible = picked == -jnp.inf
    within = jnp.where(impossible, -jnp.inf, jnp.where(impossible, 0, picked) - logsumexp(logits))
    losses = -logsumexp(log_softmax(log_mixture) + within)
    weights = weights.astype(dtype)
    return jnp.where(real, losses * weights, 0).sum(), weights.sum()
