"""From the logits of a model to those that are drawn from: cut to the likely tokens, tempered, less repetitive."""

import jax
import jax.numpy as jnp

from rnn_jax.decoding.hypotheses import Number
from rnn_jax.masking import as_flags
from rnn_jax.numerics import check_integer, known_number, log_softmax, wide
from rnn_jax.types import Array, Bool, Float

_SMALLEST = float(jnp.finfo(jnp.float32).tiny)  # in place of a traced 0, which a division does not survive


def cut_unlikely(
    logits: Float[Array, "*B V"], *, top_k: int = 0, top_p: Number = 1.0, typical_p: Number = 1.0
) -> Float[Array, "*B V"]:
    """−∞ for all tokens but the likely ones: cut by `top_k`, what is left by `top_p`, and that by `typical_p`.

    Each cut reads softmax of what the one before it left (the order of Hugging Face's `generate`). Of equal logits,
    those of lower ids are kept. A probability of 1 cuts nothing, traced or not.

    Args:
      top_k: keep the k most probable tokens (0 = all of them; Fan et al. 2018).
      top_p: keep the fewest most probable tokens that have this probability together (Holtzman et al. 2020).
      typical_p: keep the fewest tokens that have this probability together, of those whose surprisal −log p is nearest
        to the entropy −Σ p log p; of equally near ones, the more probable (locally typical sampling, Meister et al.
        2023). The most probable token may be cut.

    Raises:
      ValueError: a top_k that is no integer of at least 0, or a top_p or typical_p outside of (0, 1]; traced ones are
        not checked, and 0 keeps one token.
    """
    check_cuts(top_k, top_p, typical_p)
    size = logits.shape[-1]
    k = min(top_k, size) or size
    if k == size and known_number(top_p) == 1:
        return _typical(logits, typical_p)
    values, ids = jax.lax.top_k(logits, k)
    if known_number(top_p) != 1:
        values = jnp.where(_needless(jax.nn.softmax(wide(values), axis=-1), top_p), -jnp.inf, values)
    values = _typical(values, typical_p)
    return jnp.put_along_axis(jnp.full_like(logits, -jnp.inf), ids, values, axis=-1, inplace=False)


def repeated(logits: Float[Array, "*B V"], seen: Bool[Array, "*B V"], penalty: Number) -> Float[Array, "*B V"]:
    """logits / penalty of the tokens seen before where they are positive, logits · penalty where they are negative.

    Above 1 it makes repetitions less probable, below 1 more; 1 = off (Keskar et al. 2019, who divide negative logits
    too, which makes those tokens more probable; multiplied as in Hugging Face's `generate`). A constant added to all
    logits changes the result: pass those of the model, not log probabilities.

    Raises:
      TypeError: `seen` holds floating-point numbers.
      ValueError: a penalty that is not positive and finite (a traced one is not checked), or `seen` of another shape.
    """
    number = known_number(penalty)
    if number is not None and not 0.0 < number < float("inf"):
        raise ValueError(f"A repetition penalty is positive and finite, and 1 is none; got {penalty}.")
    seen = as_flags("seen", seen, logits.shape)
    if number == 1:
        return logits
    scores = wide(logits)
    factor = jnp.maximum(jnp.asarray(penalty, scores.dtype), _SMALLEST)
    penalised = jnp.where(scores > 0, scores / factor, scores * factor)
    return jnp.where(seen, penalised.astype(logits.dtype), logits)


def tempered(log_probs: Float[Array, "*B V"], temperature: Number) -> Float[Array, "*B V"]:
    """log p / temperature, up to a constant: 0 for the best token, so that no temperature makes all of them −∞."""
    heat = jnp.maximum(jnp.asarray(temperature, log_probs.dtype), _SMALLEST)
    best = log_probs.max(axis=-1, keepdims=True)
    return jnp.where(log_probs == -jnp.inf, -jnp.inf, (log_probs - best) / heat)


def check_cuts(top_k: int, top_p: Number, typical_p: Number = 1.0) -> None:
    """ValueError for what `cut_unlikely` refuses; a traced number cannot be checked."""
    check_integer("top_k", top_k, 0)
    for name, share in (("top_p", top_p), ("typical_p", typical_p)):
        number = known_number(share)
        if number is not None and not 0.0 < number <= 1.0:
            raise ValueError(f"{name} is a probability, in (0, 1]; got {share}.")


def _typical(logits: Float[Array, "*B V"], share: Number) -> Float[Array, "*B V"]:
    """−∞ for all but the fewest tokens of surprisal nearest to the entropy that have this share of probability."""
    if known_number(share) == 1:
        return logits
    log_probs = log_softmax(wide(logits))
    probabilities = jnp.exp(log_probs)
    entropy = -jnp.where(probabilities > 0, probabilities * log_probs, 0).sum(axis=-1, keepdims=True)
    order = jnp.argsort(jnp.abs(-log_probs - entropy), axis=-1, stable=True)
    needless = _needless(jnp.take_along_axis(probabilities, order, axis=-1), share)
    cut = jnp.put_along_axis(jnp.zeros_like(needless), order, needless, axis=-1, inplace=False)
    return jnp.where(cut, -jnp.inf, logits)


def _needless(probabilities: Float[Array, "*B V"], share: Number) -> Bool[Array, "*B V"]:
    """Which have the share before them already, of probabilities in the order in which they are kept."""
    share = jnp.maximum(jnp.asarray(share, probabilities.dtype), _SMALLEST)
    before = jnp.cumsum(probabilities, axis=-1) - probabilities
    # The sum of all but the last may round to 1, and still they are to stay when the share is 1.
    return (before >= share) & (share < 1)


__all__ = ["cut_unlikely", "repeated"]
