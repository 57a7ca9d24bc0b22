"""Beam search, as one compiled loop that ends early."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.decoding.hypotheses import (
    Hypotheses,
    Number,
    Step,
    best_first,
    check_length_penalty,
    check_lengths,
    checked_step,
    leading,
    penalty,
    select,
    token_log_probs,
    without_broken,
)
from rnn_jax.numerics import check_integer
from rnn_jax.types import Array, Bool, Carry, Float, Int

# While the search runs, −∞ marks a place that no hypothesis fills. One that is there but impossible, as it had to go on
# or end with a token of log probability −∞, has this instead, and so comes before the empty places.
_IMPOSSIBLE = float(jnp.finfo(jnp.float32).min)


class _Beams(NamedTuple):
    """What `beam_search` carries: hypotheses that go on, and the pool of those that have ended."""

    t: Array
    carry: Carry
    last: Array
    tokens: Array
    log_probs: Array
    pool: Hypotheses
    num_ended: Array
    done: Array
    broken: Array


def beam_search(
    step: Step,
    carry: Carry,
    *,
    start: int,
    end: int,
    max_lengths: Int[Array, " B"],
    limit: int,
    pad: int = 0,
    length_penalty: Number = 0.0,
    num_best: int = 0,
) -> Hypotheses:
    """The best sequences that a search with K hypotheses an example finds, K being the carry's.

    At every step the best continuations of the hypotheses that go on are kept, as many as there are hypotheses; those
    that end the sequence leave, and the beam is narrower by one for each (Sutskever et al. 2014). An example is done
    when all K have left, when nothing that goes on can still be one of its `num_best` best, or at its `max_lengths`,
    where the end token is forced, at whatever log probability. So a beam of 1 is greedy, one as large as the number of
    sequences is exhaustive search, and unlikely early ends do not stop the search for a likely later one.

    score = log p(y) / ((5 + |y|) / 6)^length_penalty, |y| with the end token (Wu et al. 2016); 0 = no penalty.

    Tokens of logit −∞ lead nowhere, unless a hypothesis has no others: it goes on with the first one then, as greedy
    does. NaN in the logits of a hypothesis that goes on makes all scores of its example NaN.

    Args: as those of `greedy`; the hypotheses of an example start from the first one's carry.
      num_best: how many of an example's hypotheses are wanted (0 = all K); the others may be worse than they could.

    Raises:
      ValueError: as `greedy`, or num_best is no integer in 0 … K.
    """
    batch, beams = leading(carry)
    check_length_penalty(length_penalty)
    check_integer("num_best", num_best, 0, beams, ", the carry's number of hypotheses")
    max_lengths = check_lengths(max_lengths, batch, limit)
    step = checked_step(step, carry, start=start, end=end, pad=pad)
    # What a hypothesis would score that went on to the limit without losing anything.
    highest_penalty = penalty(max_lengths, length_penalty)

    def body(now: _Beams) -> _Beams:
        after, logits = step(now.carry, now.last)
        log_probs, has_nan = token_log_probs(logits)
        broken = now.broken | ((has_nan & (now.log_probs > -jnp.inf)).any(axis=1) & ~now.done)
        best, parents, tokens = _continuations(now.log_probs, log_probs, end, now.t >= max_lengths)
        width = beams - now.num_ended
        best = jnp.where(jnp.arange(beams)[None] < width[:, None], best, -jnp.inf)
        ending = (tokens == end) & (best > -jnp.inf)
        joins = ending & ~now.done[:, None]
        pool = _with_ended(now, select(now.tokens, parents), jnp.where(joins, best, -jnp.inf), length_penalty)

        goes_on, order = jax.lax.top_k(jnp.where(ending, -jnp.inf, best), beams)
        parents, tokens = (jnp.take_along_axis(ids, order, axis=1) for ids in (parents, tokens))
        kept = select(now.tokens, parents)
        if limit:
            kept = kept.at[..., now.t].set(tokens, mode="drop")
        carry = jax.tree.map(lambda leaf: select(leaf, parents), after)
        num_ended = now.num_ended + joins.sum(axis=1, dtype=jnp.int32)
        still_possible = _score(goes_on.max(axis=1), highest_penalty)
        done = now.done | broken | (pool.scores[:, (num_best or beams) - 1] >= still_possible)
        return _Beams(now.t + 1, carry, tokens, kept, goes_on, pool, num_ended, done, broken)

    initial = _initial(carry, batch, beams, start, jnp.full((batch, beams, limit), pad, jnp.int32))
    last = jax.lax.while_loop(lambda now: ~now.done.all() & (now.t <= limit), body, initial)
    return without_broken(_cleaned(last.pool, pad), jnp.broadcast_to(last.broken[:, None], (batch, beams)), pad)


def _initial(carry: Carry, batch: int, beams: int, start: int, empty: Int[Array, "B K L"]) -> _Beams:
    nothing = jnp.full((batch, beams), -jnp.inf, jnp.float32)
    return _Beams(
        jnp.zeros((), jnp.int32),
        jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:, :1], leaf.shape), carry),
        jnp.full((batch, beams), start, jnp.int32),
        empty,
        nothing.at[:, 0].set(0.0),  # all hypotheses are equal before the first step: one of them is enough
        Hypotheses(empty, jnp.zeros((batch, beams), jnp.int32), nothing, nothing),
        jnp.zeros(batch, jnp.int32),
        jnp.zeros(batch, bool),
        jnp.zeros(batch, bool),
    )


def _continuations(
    before: Float[Array, "B K"], log_probs: Float[Array, "B K V"], end: int, at_limit: Bool[Array, " B"]
) -> tuple[Array, Array, Array]:
    """Log probability, hypothesis and token of the K best continuations of each example, the best first.

    At the limit they are the ends. Where there are fewer, −∞. Each hypothesis ranks its tokens by their own log
    probabilities: added to its sum, two of them may be equal by rounding, or all of them −∞.
    """
    beams, vocabulary_size = log_probs.shape[1:]
    num_each = min(beams, vocabulary_size)
    gained, tokens = jax.lax.top_k(log_probs, num_each)
    forced, is_first = at_limit[:, None, None], (jnp.arange(num_each) == 0)[None, None]
    gained = jnp.where(forced, log_probs[..., end, None], gained)
    tokens = jnp.where(forced, end, tokens)
    exists = (before > -jnp.inf)[..., None] & (is_first | (~forced & (gained > -jnp.inf)))
    totals = jnp.where(exists, jnp.maximum(before[..., None] + gained, _IMPOSSIBLE), -jnp.inf)
    flat = (len(totals), beams * num_each)
    best, places = jax.lax.top_k(totals.reshape(flat), beams)
    chosen = jnp.take_along_axis(tokens.reshape(flat), places, axis=1)
    return best, places // num_each, chosen.astype(jnp.int32)


def _with_ended(
    now: _Beams, tokens: Int[Array, "B K L"], log_probs: Float[Array, "B K"], length_penalty: Number
) -> Hypotheses:
    """The best K of the pool and of those that end now (−∞ where a hypothesis does not)."""
    lengths = jnp.broadcast_to(now.t, log_probs.shape)
    ended = Hypotheses(tokens, lengths, log_probs, _score(log_probs, penalty(lengths, length_penalty)))
    pool = jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=1), now.pool, ended)
    return jax.tree.map(lambda leaf: leaf[:, : log_probs.shape[1]], best_first(pool))


def _score(log_probs: Array, penalties: Array) -> Array:
    """log p over the penalty; what is impossible or not there stays what it is."""
    return jnp.where(log_probs <= _IMPOSSIBLE, log_probs, log_probs / penalties)


def _cleaned(pool: Hypotheses, pad: int) -> Hypotheses:
    """The pool as users see it: padding after each end, no tokens in empty places, −∞ where it is the log probability.

    `tokens` may hold others behind the end, of the hypotheses whose place it took.
    """
    found, possible = pool.log_probs > -jnp.inf, pool.log_probs > _IMPOSSIBLE
    is_token = jnp.arange(pool.tokens.shape[-1])[None, None] < pool.lengths[..., None]
    return Hypotheses(
        jnp.where(is_token & found[..., None], pool.tokens, pad),
        jnp.where(found, pool.lengths, 0),
        jnp.where(possible, pool.log_probs, -jnp.inf),
        jnp.where(possible, pool.scores, -jnp.inf),
    )


__all__ = ["beam_search"]
