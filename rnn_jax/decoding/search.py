"""From a step function to sequences: greedy, sampling and beam search, each one compiled loop that ends early.

A step function takes the last tokens and gives scores of the next ones:

    step(carry, tokens (B, K)) -> (carry, logits (B, K, V))

for B examples with K hypotheses each; every leaf of the carry begins with (B, K). What does not change from step to
step (an encoder's memory, say) is closed over and not carried. Tokens that must not be generated have a logit of −∞.

Each example is decoded as if it were alone: neither the others nor their number change its result.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.types import Array, Carry, Float, Int, Key

Step = Callable[[Carry, Array], tuple[Carry, Array]]


class Hypotheses(NamedTuple):
    """K sequences for each example, the best first.

    tokens: up to and without the end token, then `pad`. lengths: how many. log_probs: Σ log p in nats, end token
    included. scores: what they are ranked by. A place that no hypothesis fills has length 0 and −∞ twice.
    """

    tokens: Int[Array, "B K L"]
    lengths: Int[Array, " B K"]
    log_probs: Float[Array, "B K"]
    scores: Float[Array, "B K"]


def greedy(
    step: Step,
    carry: Carry,
    *,
    start: int,
    end: int,
    max_lengths: Int[Array, " B"],
    limit: int,
    pad: int = 0,
    length_penalty: float = 0.0,
) -> Hypotheses:
    """The most probable token at every step; K = 1. `length_penalty` as in `beam_search`: of the score only.

    Args:
      start: the token before the first.
      end: the token after the last.
      max_lengths: most tokens of each example; then the end token is forced. At most `limit`.
      limit: size of the result's last axis.
    """
    choose = lambda t, log_probs: jnp.argmax(log_probs, axis=-1).astype(jnp.int32)  # noqa: E731
    found = _generate(step, carry, choose, start=start, end=end, max_lengths=max_lengths, limit=limit, pad=pad)
    return found._replace(scores=found.log_probs / _penalty(found.lengths, length_penalty))


def sample(
    step: Step,
    carry: Carry,
    keys: Key,
    *,
    start: int,
    end: int,
    max_lengths: Int[Array, " B"],
    limit: int,
    pad: int = 0,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> Hypotheses:
    """K tokens drawn at every step, from softmax(logits / temperature) cut to the likely ones; sorted by log_probs.

    Args:
      keys: one key an example (B,): its draws do not depend on which others it is decoded with; those of its first
        hypotheses do not depend on how many there are.
      top_k: draw from the k most probable tokens only (0 = all of them; Fan et al. 2018).
      top_p: draw from the fewest most probable tokens that have this probability together (Holtzman et al. 2020).

    Raises:
      ValueError: a temperature that is not positive, a negative top_k, or top_p outside of (0, 1].
    """
    if temperature <= 0 or top_k < 0 or not 0 < top_p <= 1:
        raise ValueError(
            f"temperature={temperature} must be positive (use greedy for 0), top_k={top_k} at least 0,"
            f" top_p={top_p} in (0, 1]."
        )

    _, num_hypotheses = _leading(carry)
    numbers = jnp.arange(num_hypotheses, dtype=jnp.uint32)
    keys = jax.vmap(lambda key: jax.vmap(functools.partial(jax.random.fold_in, key))(numbers))(keys)

    def choose(t: Array, log_probs: Float[Array, "B K V"]) -> Int[Array, "B K"]:
        logits = cut_unlikely(log_probs / temperature, top_k=top_k, top_p=top_p)
        draw = lambda key, row: jax.random.categorical(jax.random.fold_in(key, t), row)  # noqa: E731
        return jax.vmap(jax.vmap(draw))(keys, logits).astype(jnp.int32)

    drawn = _generate(step, carry, choose, start=start, end=end, max_lengths=max_lengths, limit=limit, pad=pad)
    return _sorted(drawn)


def cut_unlikely(logits: Float[Array, "*B V"], *, top_k: int = 0, top_p: float = 1.0) -> Float[Array, "*B V"]:
    """−∞ for all tokens but the `top_k` best, and of these but the fewest that have probability `top_p` together.

    Of equal logits, those of lower ids are kept.
    """
    size = logits.shape[-1]
    k = min(top_k, size) or size
    if k == size and top_p >= 1:
        return logits
    values, ids = jax.lax.top_k(logits, k)
    if top_p < 1:
        probabilities = jax.nn.softmax(values, axis=-1)
        before = jnp.cumsum(probabilities, axis=-1) - probabilities
        values = jnp.where(before < top_p, values, -jnp.inf)
    return jnp.put_along_axis(jnp.full_like(logits, -jnp.inf), ids, values, axis=-1, inplace=False)


class _Sequences(NamedTuple):
    """What `_generate` carries from step to step."""

    t: Array
    carry: Carry
    last: Array
    tokens: Array
    lengths: Array
    log_probs: Array
    ended: Array


def _generate(step, carry, choose, *, start, end, max_lengths, limit, pad) -> Hypotheses:
    batch, max_lengths = _leading(carry), jnp.minimum(max_lengths, limit)

    def body(now: _Sequences) -> _Sequences:
        after, logits = step(now.carry, now.last)
        log_probs = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
        forced = jnp.broadcast_to((now.t >= max_lengths)[:, None], batch)
        chosen = jnp.where(forced, end, choose(now.t, log_probs))
        gained = jnp.take_along_axis(log_probs, chosen[..., None], axis=-1)[..., 0]
        ending = chosen == end
        kept = jnp.where(now.ended | ending, pad, chosen).astype(jnp.int32)
        # A token beyond the last column can only be the forced end, which is not kept.
        return _Sequences(
            now.t + 1,
            after,
            chosen,
            now.tokens.at[..., now.t].set(kept, mode="drop"),
            now.lengths + (~now.ended & ~ending).astype(jnp.int32),
            now.log_probs + jnp.where(now.ended, 0.0, gained),
            now.ended | ending,
        )

    initial = _Sequences(
        jnp.zeros((), jnp.int32),
        carry,
        jnp.full(batch, start, jnp.int32),
        jnp.full((*batch, limit), pad, jnp.int32),
        jnp.zeros(batch, jnp.int32),
        jnp.zeros(batch, jnp.float32),
        jnp.zeros(batch, bool),
    )
    done = jax.lax.while_loop(lambda now: ~now.ended.all() & (now.t <= limit), body, initial)
    return Hypotheses(done.tokens, done.lengths, done.log_probs, done.log_probs)


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


def beam_search(
    step: Step,
    carry: Carry,
    *,
    start: int,
    end: int,
    max_lengths: Int[Array, " B"],
    limit: int,
    pad: int = 0,
    length_penalty: float = 0.0,
    num_best: int = 0,
) -> Hypotheses:
    """The best sequences that a search with K hypotheses an example finds, K being the carry's.

    At every step the best continuations of the hypotheses that go on are kept, as many as there are hypotheses; those
    that end the sequence leave, and the beam is narrower by one for each (Sutskever et al. 2014). An example is done
    when all K have left, when nothing that goes on can still be one of its `num_best` best, or at its `max_lengths`,
    where the end token is forced. So a beam of 1 is greedy, one as large as the number of sequences is exhaustive
    search, and unlikely early ends do not stop the search for a likely later one.

    score = log p(y) / ((5 + |y|) / 6)^length_penalty, |y| with the end token (Wu et al. 2016); 0 = no penalty.

    Args: as those of `greedy`; the hypotheses of an example start from the first one's carry.
      num_best: how many of an example's hypotheses are wanted (0 = all K); the others may be worse than they could.

    Raises:
      ValueError: a negative length_penalty, or num_best beyond K.
    """
    batch, beams = _leading(carry)
    if length_penalty < 0 or not 0 <= num_best <= beams:
        raise ValueError(
            f"length_penalty={length_penalty} must not be negative, num_best={num_best} lie in 0 … {beams}, the carry's"
            " number of hypotheses."
        )
    max_lengths = jnp.minimum(max_lengths, limit)
    # What a hypothesis would score that went on to the limit without losing anything.
    highest_penalty = _penalty(max_lengths, length_penalty)

    def body(now: _Beams) -> _Beams:
        after, logits = step(now.carry, now.last)
        log_probs = _continued(now, logits, end, max_lengths)
        best, parents, tokens = _best_continuations(log_probs, beams)
        width = beams - now.num_ended
        best = jnp.where(jnp.arange(beams)[None] < width[:, None], best, -jnp.inf)
        ending = (tokens == end) & (best > -jnp.inf)
        joins = ending & ~now.done[:, None]
        pool = _with_ended(now, _select(now.tokens, parents), jnp.where(joins, best, -jnp.inf), length_penalty)

        goes_on, order = jax.lax.top_k(jnp.where(ending, -jnp.inf, best), beams)
        parents, tokens = (jnp.take_along_axis(ids, order, axis=1) for ids in (parents, tokens))
        kept = _select(now.tokens, parents).at[..., now.t].set(tokens, mode="drop")
        carry = jax.tree.map(lambda leaf: _select(leaf, parents), after)
        num_ended = now.num_ended + joins.sum(axis=1, dtype=jnp.int32)
        beaten = pool.scores[:, (num_best or beams) - 1] >= goes_on.max(axis=1) / highest_penalty
        return _Beams(now.t + 1, carry, tokens, kept, goes_on, pool, num_ended, now.done | beaten)

    nothing = jnp.full((batch, beams), -jnp.inf, jnp.float32)
    empty = jnp.full((batch, beams, limit), pad, jnp.int32)
    initial = _Beams(
        jnp.zeros((), jnp.int32),
        jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:, :1], leaf.shape), carry),
        jnp.full((batch, beams), start, jnp.int32),
        empty,
        nothing.at[:, 0].set(0.0),  # all hypotheses are equal before the first step: one of them is enough
        Hypotheses(empty, jnp.zeros((batch, beams), jnp.int32), nothing, nothing),
        jnp.zeros(batch, jnp.int32),
        jnp.zeros(batch, bool),
    )
    pool = jax.lax.while_loop(lambda now: ~now.done.all() & (now.t <= limit), body, initial).pool
    is_token = jnp.arange(limit)[None, None] < pool.lengths[..., None]
    found = pool.log_probs > -jnp.inf
    tokens = jnp.where(is_token & found[..., None], pool.tokens, pad)
    return pool._replace(tokens=tokens, lengths=jnp.where(found, pool.lengths, 0))


def _continued(
    now: _Beams, logits: Float[Array, "B K V"], end: int, max_lengths: Int[Array, " B"]
) -> Float[Array, "B K V"]:
    """log p of every hypothesis with every token after it; at the limit only with the end."""
    log_probs = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    is_end = (jnp.arange(log_probs.shape[-1]) == end)[None, None]
    at_limit = (now.t >= max_lengths)[:, None, None]
    return jnp.where(at_limit & ~is_end, -jnp.inf, log_probs) + now.log_probs[..., None]


def _with_ended(
    now: _Beams, tokens: Int[Array, "B K L"], log_probs: Float[Array, "B K"], length_penalty: float
) -> Hypotheses:
    """The best K of the pool and of those that end now (−∞ where a hypothesis does not)."""
    lengths = jnp.broadcast_to(now.t, log_probs.shape)
    ended = Hypotheses(tokens, lengths, log_probs, log_probs / _penalty(now.t, length_penalty))
    pool = jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=1), now.pool, ended)
    return jax.tree.map(lambda leaf: leaf[:, : log_probs.shape[1]], _sorted(pool))


def _penalty(length: Array, exponent: float) -> Array:
    """((5 + length + 1) / 6)^exponent, 1 for the end token."""
    return ((6.0 + length.astype(jnp.float32)) / 6.0) ** exponent


def _best_continuations(log_probs: Float[Array, "B K V"], n: int) -> tuple[Array, Array, Array]:
    """Log probability, hypothesis and token of the n best continuations of each example, the best first.

    Where there are fewer, −∞.
    """
    size = log_probs.shape[-1]
    flat = log_probs.reshape(log_probs.shape[0], -1)
    best, places = jax.lax.top_k(flat, min(n, flat.shape[-1]))
    missing = n - best.shape[-1]
    best = jnp.pad(best, ((0, 0), (0, missing)), constant_values=-jnp.inf)
    places = jnp.pad(places, ((0, 0), (0, missing)))
    return best, places // size, (places % size).astype(jnp.int32)


def _select(leaf: Array, rows: Int[Array, "B K"]) -> Array:
    """leaf (B, K, …) with the hypotheses `rows` of each example."""
    return jnp.take_along_axis(leaf, rows.reshape(rows.shape + (1,) * (leaf.ndim - 2)), axis=1)


def _sorted(hypotheses: Hypotheses) -> Hypotheses:
    """The best score first; earlier ones first where scores are equal."""
    order = jnp.argsort(-hypotheses.scores, axis=1, stable=True)
    return jax.tree.map(functools.partial(_select, rows=order), hypotheses)


def _leading(carry: Carry) -> tuple[int, int]:
    """(B, K)."""
    batch, beams = jax.tree.leaves(carry)[0].shape[:2]
    return batch, beams


__all__ = ["Hypotheses", "beam_search", "cut_unlikely", "greedy", "sample"]
