"""One token after the other: the most probable, or drawn."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.decoding.hypotheses import (
    Hypotheses,
    Number,
    Step,
    best_first,
    check_length_penalty,
    check_lengths,
    checked_step,
    leading,
    ranked_by,
    token_log_probs,
    without_broken,
)
from rnn_jax.decoding.likely import check_cuts, cut_unlikely, tempered
from rnn_jax.numerics import known_number
from rnn_jax.types import Array, Carry, Float, Int, Key


def greedy(
    step: Step,
    carry: Carry,
    *,
    start: int,
    end: int,
    max_lengths: Int[Array, " B"],
    limit: int,
    pad: int = 0,
    length_penalty: Number = 0.0,
) -> Hypotheses:
    """The most probable token at every step; K = 1. `length_penalty` as in `beam_search`: of the score only.

    Args:
      start: the token before the first, in 0 … V − 1 as all are.
      end: the token after the last.
      max_lengths: most tokens of each example; then the end token is forced, at whatever log probability. At most
        `limit`; traced ones are clipped to it.
      limit: size of the result's last axis.
      pad: any integer, to fill the rows with.

    Raises:
      TypeError: max_lengths that are no integers.
      ValueError: one sentence that names the argument that is none of this, or what the step returns instead of a carry
        and logits; a length_penalty that is negative or not finite.
    """
    check_length_penalty(length_penalty)
    choose = lambda t, log_probs: jnp.argmax(log_probs, axis=-1).astype(jnp.int32)  # noqa: E731
    found = _generate(step, carry, choose, start=start, end=end, max_lengths=max_lengths, limit=limit, pad=pad)
    return found._replace(scores=ranked_by(found.log_probs, found.lengths, length_penalty))


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
    temperature: Number = 1.0,
    top_k: int = 0,
    top_p: Number = 1.0,
) -> Hypotheses:
    """K tokens drawn at every step, from softmax(logits / temperature) cut to the likely ones; sorted by log_probs.

    Args: as those of `greedy`;
      keys: one key an example (B,): its draws do not depend on which others it is decoded with; those of its first
        hypotheses do not depend on how many there are. Or one key for all: draws depend on the example's number then.
      top_k: draw from the k most probable tokens only (0 = all of them; Fan et al. 2018).
      top_p: draw from the fewest most probable tokens that have this probability together (Holtzman et al. 2020).

    Raises:
      ValueError: as `greedy`; no such keys, a temperature that is not positive and finite, a top_k that is no integer
        of at least 0, or top_p outside of (0, 1]. A traced temperature or top_p cannot be checked; 0 is as if it were
        very small.
    """
    _check_temperature(temperature)
    check_cuts(top_k, top_p)
    batch, num_hypotheses = leading(carry)
    keys = keys_of_examples(keys, batch)
    numbers = jnp.arange(num_hypotheses, dtype=jnp.uint32)
    keys = jax.vmap(lambda key: jax.vmap(functools.partial(jax.random.fold_in, key))(numbers))(keys)

    def choose(t: Array, log_probs: Float[Array, "B K V"]) -> Int[Array, "B K"]:
        logits = cut_unlikely(tempered(log_probs, temperature), top_k=top_k, top_p=top_p)
        draw = lambda key, row: jax.random.categorical(jax.random.fold_in(key, t), row)  # noqa: E731
        return jax.vmap(jax.vmap(draw))(keys, logits).astype(jnp.int32)

    drawn = _generate(step, carry, choose, start=start, end=end, max_lengths=max_lengths, limit=limit, pad=pad)
    return best_first(drawn)


def _check_temperature(temperature: Number) -> None:
    heat = known_number(temperature)
    if heat is not None and not 0.0 < heat < float("inf"):
        raise ValueError(f"temperature is positive and finite, and greedy is what 0 would be; got {temperature}.")


def keys_of_examples(keys: Any, batch: int) -> Key:
    """Keys (B,), each made of the one key and the example's number if it is one."""
    dtype, shape = getattr(keys, "dtype", None), np.shape(keys)
    if dtype == jnp.uint32 and shape[-1:] == jax.random.key_data(jax.random.key(0)).shape:  # raw: jax.random.PRNGKey
        keys, shape = jax.random.wrap_key_data(keys), shape[:-1]
    is_key = dtype is not None and jnp.issubdtype(keys.dtype, jax.dtypes.prng_key)
    if not is_key or shape not in ((), (batch,)):
        got = repr(keys) if dtype is None else f"{dtype} {keys.shape}"
        raise ValueError(f"keys is one jax.random.key for each of the {batch} examples, or one for all; got {got}.")
    return keys if shape else jax.vmap(functools.partial(jax.random.fold_in, keys))(jnp.arange(batch, dtype=jnp.uint32))


class _Sequences(NamedTuple):
    """What `_generate` carries from step to step."""

    t: Array
    carry: Carry
    last: Array
    tokens: Array
    lengths: Array
    log_probs: Array
    ended: Array
    broken: Array


def _generate(
    step: Step,
    carry: Carry,
    choose: Callable[[Array, Array], Array],
    *,
    start: int,
    end: int,
    max_lengths: Int[Array, " B"],
    limit: int,
    pad: int,
) -> Hypotheses:
    batch = leading(carry)
    max_lengths = check_lengths(max_lengths, batch[0], limit)
    step = checked_step(step, carry, start=start, end=end, pad=pad)

    def body(now: _Sequences) -> _Sequences:
        after, logits = step(now.carry, now.last)
        log_probs, has_nan = token_log_probs(logits)
        forced = jnp.broadcast_to((now.t >= max_lengths)[:, None], batch)
        chosen = jnp.where(forced, end, choose(now.t, log_probs))
        gained = jnp.take_along_axis(log_probs, chosen[..., None], axis=-1)[..., 0]
        broken = now.broken | (has_nan & ~now.ended)
        ending = (chosen == end) | broken
        kept = jnp.where(now.ended | ending, pad, chosen).astype(jnp.int32)
        # A token beyond the last column can only be the forced end, which is not kept.
        return _Sequences(
            now.t + 1,
            after,
            chosen,
            now.tokens.at[..., now.t].set(kept, mode="drop") if limit else now.tokens,
            now.lengths + (~now.ended & ~ending).astype(jnp.int32),
            now.log_probs + jnp.where(now.ended, 0.0, gained),
            now.ended | ending,
            broken,
        )

    initial = _Sequences(
        jnp.zeros((), jnp.int32),
        carry,
        jnp.full(batch, start, jnp.int32),
        jnp.full((*batch, limit), pad, jnp.int32),
        jnp.zeros(batch, jnp.int32),
        jnp.zeros(batch, jnp.float32),
        jnp.zeros(batch, bool),
        jnp.zeros(batch, bool),
    )
    done = jax.lax.while_loop(lambda now: ~now.ended.all() & (now.t <= limit), body, initial)
    return without_broken(Hypotheses(done.tokens, done.lengths, done.log_probs, done.log_probs), done.broken, pad)


__all__ = ["greedy", "sample"]
