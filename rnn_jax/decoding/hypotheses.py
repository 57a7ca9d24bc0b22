"""What every way of decoding is made of: step functions, the hypotheses they lead to, and their scores.

A step function takes the last tokens and gives scores of the next ones:

    step(carry, tokens (B, K)) -> (carry, logits (B, K, V))

for B examples with K hypotheses each; every leaf of the carry begins with (B, K). What does not change from step to
step (an encoder's memory, say) is closed over and not carried. Tokens are 0 … V − 1, start and end included; those that
must not be generated have a logit of −∞.

Numbers such as a length penalty may be traced: arguments of a program that is compiled once for all of them. Those that
are known are checked.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.masking import as_integers, check_range
from rnn_jax.numerics import check_integer, known_array, known_number, log_softmax, logsumexp
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


def token_log_probs(logits: Float[Array, "*B V"]) -> tuple[Float[Array, "*B V"], Bool[Array, "*B"]]:
    """log softmax in float32, and which rows have NaN among their logits; those have −∞ for all tokens."""
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
    """(B, K).

    Raises:
      ValueError: there is no array in the carry, or one does not begin with the (B, K) of the others.
    """
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(carry)]
    if not shapes or len(shapes[0]) < 2 or len({shape[:2] for shape in shapes}) > 1:
        raise ValueError(
            f"carry holds arrays (B, K, …), at least one; got {', '.join(map(str, shapes)) or repr(carry)}."
        )
    batch, beams = shapes[0][:2]
    return batch, beams


def check_lengths(max_lengths: Any, batch: int, limit: Any) -> Int[Array, " B"]:
    """`max_lengths` as int32 numbers from 0 to the limit, which those that are traced are clipped to.

    Raises:
      TypeError: they are no integers.
      ValueError: they are not (B,), or outside of 0 … limit, or the limit is no integer of at least 0.
    """
    check_integer("limit", limit, 0)
    known, lengths = known_array(max_lengths), as_integers("max_lengths", max_lengths, (batch,))
    check_range("max_lengths", known, 0, limit)
    return jnp.clip(lengths, 0, limit).astype(jnp.int32)


def checked_step(step: Step, carry: Carry, *, start: Any, end: Any, pad: Any) -> Step:
    """The step function with checks of what it returns, which cost nothing: they are done while it is traced.

    Raises:
      ValueError: pad is no integer; when called: the step returns something else than (carry, logits (B, K, V)), the
        carry of another make than what it was given, or start or end is no integer in 0 … V − 1.
    """
    batch = leading(carry)
    check_token("pad", pad)
    check_token("start", start, 0)
    check_token("end", end, 0)
    return checked_results(step, batch, start=start, end=end)


def checked_results(step: Step, batch: tuple[int, ...], size: int | None = None, **tokens: Any) -> Step:
    """The step function, raising ValueError for results that are not (carry, logits (*batch, V)), the carry as given.

    `size` is the V that it has to be, None for any. `tokens` are named ones that are to be in 0 … V − 1.
    """

    def checked(carry: Carry, last: Array) -> tuple[Carry, Array]:
        result: Any = step(carry, last)
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise ValueError(f"step returns (carry, logits), a pair; got {_make(result)}.")
        after, logits = result
        if not _agree(carry, after):
            raise ValueError(
                f"step returns (carry, logits), the carry made as the one that it is given, {_make(carry)}; "
                f"got {_make(after)}."
            )
        shape: tuple[int, ...] = getattr(logits, "shape", ())
        if shape[:-1] != batch or not shape[-1] or size not in (None, shape[-1]):
            wanted = f"({', '.join(map(str, batch))}, {size or 'V'})"
            raise ValueError(f"step returns (carry, logits), the logits {wanted} for this carry; got {_make(logits)}.")
        for name, token in tokens.items():
            check_token(name, token, 0, shape[-1] - 1, ", the tokens of the step's logits")
        return after, logits

    return checked


def check_token(name: str, token: Any, *allowed: Any) -> None:
    """ValueError if a token is no integer in its range; a traced one cannot be checked."""
    if not isinstance(token, jax.core.Tracer):
        check_integer(name, token, *allowed)


def _agree(before: Carry, after: Carry) -> bool:
    """Whether two carries can follow each other in a loop, which widens numbers of no dtype of their own."""
    if len({jax.tree.structure(carry) for carry in (before, after)}) > 1:
        return False
    pairs = ((jax.typeof(a), jax.typeof(b)) for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after)))
    return all(a.shape == b.shape and (a.weak_type or a.dtype == b.dtype) for a, b in pairs)


def _make(tree: Any) -> str:
    """What a pytree is, in short: float32 (2, 3) in place of each array."""
    show = lambda leaf: f"{leaf.dtype} {leaf.shape}" if hasattr(leaf, "dtype") else repr(leaf)  # noqa: E731
    return str(jax.tree.map(show, tree)).replace("'", "")


__all__ = ["Hypotheses", "Number", "Step"]
