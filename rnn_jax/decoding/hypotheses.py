"""What every way of decoding is made of: step functions, the hypotheses they lead to, and their scores.

A step function takes the last tokens and gives scores of the next ones:

    step(carry, tokens (B, K)) -> (carry, logits (B, K, V))

for B examples with K hypotheses each; every leaf of the carry begins with (B, K). What does not change from step to
step (an encoder's memory, say) is closed over and not carried. Tokens that must not be generated have a logit of −∞.

Numbers such as a length penalty may be traced: arguments of a program that is compiled once for all of them. Those that
are known are checked.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.numerics import known_number, log_softmax, logsumexp
from rnn_jax.types import Array, Bool, Carry, Float, Int

Step = Callable[[Carry, Array], tuple[Carry, Array]]
Number = float | Float[Array, ""]


class Hypotheses(NamedTuple):
    """K sequences for each example, the best first.

    tokens: up to and without the end token, then `pad`. lengths: how many. log_probs: Σ log p in nats, end token
    included. scores: what they are ranked by. A sequence that had to be, but cannot (its forced end has a logit of −∞),
    has −∞ twice; a place that no hypothesis fills has length 0 as well; one whose logits held NaN, length 0 and NaN
    twice.
    """

    tokens: Int[Array, "B K L"]
    lengths: Int[Array, " B K"]
    log_probs: Float[Array, "B K"]
    scores: Float[Array, "B K"]


def token_log_probs(logits: Float[Array, "B K V"]) -> tuple[Float[Array, "B K V"], Bool[Array, "B K"]]:
    """log softmax in float32, and which hypotheses have NaN among their logits; those have −∞ for all tokens."""
    logits = logits.astype(jnp.float32)
    broken = jnp.isnan(logsumexp(logits))  # computed once, with the softmax: looking for NaN would be another pass
    return jnp.where(broken[..., None], -jnp.inf, log_softmax(logits)), broken


def ranked_by(log_probs: Float[Array, "B K"], lengths: Int[Array, "*B K"], exponent: Number) -> Float[Array, "B K"]:
    """log p / ((5 + |y|) / 6)^exponent, |y| being the length and 1 for the end token; −∞ stays −∞."""
    return jnp.where(log_probs == -jnp.inf, -jnp.inf, log_probs / penalty(lengths, exponent))


def penalty(lengths: Int[Array, "..."], exponent: Number) -> Float[Array, "..."]:
    """((5 + length + 1) / 6)^exponent."""
    return ((6.0 + lengths.astype(jnp.float32)) / 6.0) ** jnp.asarray(exponent, jnp.float32)


def check_length_penalty(exponent: Number) -> None:
    """ValueError if it is negative, infinite or NaN; a traced one cannot be checked."""
    number = known_number(exponent)
    if number is not None and not 0.0 <= number < float("inf"):
        raise ValueError(f"length_penalty={number:g} must not be negative, and finite; 0 is none.")


def without_broken(hypotheses: Hypotheses, broken: Bool[Array, "B K"], pad: int) -> Hypotheses:
    """The hypotheses with NaN scores, and no tokens, in the broken places."""
    return Hypotheses(
        jnp.where(broken[..., None], pad, hypotheses.tokens),
        jnp.where(broken, 0, hypotheses.lengths),
        jnp.where(broken, jnp.nan, hypotheses.log_probs),
        jnp.where(broken, jnp.nan, hypotheses.scores),
    )


def select(leaf: Array, rows: Int[Array, "B K"]) -> Array:
    """leaf (B, K, …) with the hypotheses `rows` of each example."""
    return jnp.take_along_axis(leaf, rows.reshape(rows.shape + (1,) * (leaf.ndim - 2)), axis=1)


def best_first(hypotheses: Hypotheses) -> Hypotheses:
    """The best score first, NaN last; earlier ones first where scores are equal."""
    order = jnp.argsort(-hypotheses.scores, axis=1, stable=True)
    return jax.tree.map(functools.partial(select, rows=order), hypotheses)


def leading(carry: Carry) -> tuple[int, int]:
    """(B, K)."""
    batch, beams = jax.tree.leaves(carry)[0].shape[:2]
    return batch, beams


__all__ = ["Hypotheses", "Number", "Step"]
