"""Writing on from a prompt in chunks, so that text can be streamed, stopped between two chunks, or have no end.

The model reads the prompt up to its last token; `begin` makes of the carry and that token a `Writing`, which each call
of `write` takes on by a number of tokens. Its size does not depend on how many were written. Compiled once, with what
is traced (temperature, say) free to change from chunk to chunk (but a traced top_p or typical_p sorts the vocabulary
for every token, also where it is 1 and cuts nothing):

    write_on = jax.jit(functools.partial(write, step), static_argnames=("num_tokens", "end", "top_k"))
    writing = begin(carry, last, keys, vocabulary_size=V)
    while not writing.ended.all():
        writing, tokens = write_on(writing, num_tokens=16, end=2, temperature=0.8)

A step function has no hypotheses here: step(carry, tokens (B,)) -> (carry, logits (B, V)), the leaves of the carry
(B, …). A row's text does not depend on the other rows, nor on the lengths of the chunks; but a program compiled for
another number of either may round otherwise, which a draw between two tokens can hang on, once in millions.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.decoding.hypotheses import Number, Step, check_token, checked_results, token_log_probs
from rnn_jax.decoding.likely import check_cuts, cut_unlikely, repeated, tempered
from rnn_jax.decoding.sampling import keys_of_examples
from rnn_jax.masking import as_flags, as_integers, check_range
from rnn_jax.numerics import check_integer, known_array, known_number, log_softmax
from rnn_jax.types import Array, Bool, Carry, Float, Int, Key


class Writing(NamedTuple):
    """Where B texts are between two chunks; a pytree.

    t: tokens written so far, those after a row's end included. last: the token that is read next. seen: the tokens read
    or written so far, `last` included, for the repetition penalty. log_probs: Σ log p in nats of what was written, end
    token included, under the model itself: temperature 1, nothing cut, forbidden or penalised. −∞ if a row ended as no
    token was possible, NaN if its logits held NaN. ended: rows that write no more; a caller may set it, where it finds
    a stop string.
    """

    t: Int[Array, ""]
    carry: Carry
    last: Int[Array, " B"]
    seen: Bool[Array, "B V"]
    log_probs: Float[Array, " B"]
    ended: Bool[Array, " B"]
    keys: Key


def begin(
    carry: Carry,
    last: Int[Array, " B"],
    keys: Key,
    *,
    vocabulary_size: int,
    seen: Bool[Array, "B V"] | None = None,
) -> Writing:
    """Nothing written yet.

    Args:
      carry: the model's, after all of the prompt but its last token; leaves (B, …), if there are any.
      last: that token, in 0 … V − 1, or a start token where there is no prompt.
      keys: one for each row (B,): its draws do not depend on the other rows. Or one for all: draws depend on the row's
        number then.
      vocabulary_size: V.
      seen: the tokens of the prompt, for a repetition penalty; `last` is counted anyway.

    Raises:
      TypeError: tokens that are no integers, or `seen` that holds floating-point numbers.
      ValueError: one sentence that names the argument that is none of this. Traced tokens are not checked.
    """
    check_integer("vocabulary_size", vocabulary_size, 1)
    known, last = known_array(last), as_integers("last", last)
    if last.ndim != 1:
        raise ValueError(f"last has shape (B,), a token for each row; got {last.shape}.")
    check_range("last", known, 0, vocabulary_size - 1)
    batch = len(last)
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(carry)]
    if any(shape[:1] != (batch,) for shape in shapes):
        raise ValueError(f"carry holds arrays ({batch}, …), as last has tokens; got {', '.join(map(str, shapes))}.")
    read = jax.nn.one_hot(last, vocabulary_size, dtype=bool)
    return Writing(
        jnp.zeros((), jnp.int32),
        carry,
        last.astype(jnp.int32),
        read if seen is None else read | as_flags("seen", seen, read.shape),
        jnp.zeros(batch, jnp.float32),
        jnp.zeros(batch, bool),
        keys_of_examples(keys, batch),
    )


def write(
    step: Step,
    writing: Writing,
    num_tokens: int,
    *,
    end: int | None,
    pad: int = 0,
    temperature: Number = 1.0,
    top_k: int = 0,
    top_p: Number = 1.0,
    typical_p: Number = 1.0,
    repetition_penalty: Number = 1.0,
    forbidden: tuple[int, ...] = (),
) -> tuple[Writing, Int[Array, "B N"]]:
    """The next N = `num_tokens` tokens of each row, and where it is then.

    The logits are changed by `repeated`, set to −∞ for the forbidden tokens, divided by the temperature and cut by
    `cut_unlikely`. Draw t of row b is `jax.random.categorical(jax.random.fold_in(keys[b], t), logits[b])`.

    A row ends with the end token, which is among its tokens; with NaN in its logits; or where no token is possible, as
    all have a logit of −∞. It has `pad` from there on.

    Args:
      end: the token that ends a row; None lets all go on.
      pad: any integer; one that is no token (−1) can be told from what was written.
      temperature: 0 is greedy: the most probable token, of equal ones that of the lowest id.
      top_k, top_p, typical_p: as those of `cut_unlikely`.
      repetition_penalty: as that of `repeated`; 1 = none.
      forbidden: tokens that are never drawn; the end token may be one.

    Raises:
      ValueError: one sentence that names the argument that is none of this, or what the step returns instead of a carry
        and logits. Of traced numbers, which are not checked, a temperature or probability below 0 is as 0.
    """
    batch, size = writing.seen.shape
    check_integer("num_tokens", num_tokens, 0)
    _check_temperature(temperature)
    check_cuts(top_k, top_p, typical_p)
    check_token("pad", pad)
    if end is not None:
        check_token("end", end, 0, size - 1, ", the vocabulary")
    allowed = _allowed(forbidden, size)
    step = checked_results(step, (batch,), size)

    def body(now: Writing, _: None) -> tuple[Writing, Int[Array, " B"]]:
        carry, logits = step(now.carry, now.last)
        log_probs, broken = token_log_probs(logits)
        scores = repeated(logits.astype(jnp.float32), now.seen, repetition_penalty)
        scores = log_softmax(jnp.where(allowed, scores, -jnp.inf))
        chosen = _chosen(scores, now.keys, now.t, temperature, top_k=top_k, top_p=top_p, typical_p=typical_p)
        stuck = scores.max(axis=-1) == -jnp.inf
        writes = ~(now.ended | broken | stuck)
        gained = jnp.take_along_axis(log_probs, chosen[:, None], axis=-1)[:, 0]
        gained = jnp.where(broken, jnp.nan, jnp.where(stuck, -jnp.inf, gained))
        after = Writing(
            now.t + 1,
            carry,
            jnp.where(writes, chosen, now.last),
            now.seen | (writes[:, None] & jax.nn.one_hot(chosen, size, dtype=bool)),
            now.log_probs + jnp.where(now.ended, 0.0, gained),
            ~writes if end is None else ~writes | (chosen == end),
            now.keys,
        )
        return after, jnp.where(writes, chosen, pad)

    writing, tokens = jax.lax.scan(body, writing, length=num_tokens)
    return writing, tokens.T


def _chosen(
    log_probs: Float[Array, "B V"], keys: Key, t: Int[Array, ""], temperature: Number, **cuts: Any
) -> Int[Array, " B"]:
    """Draw t of each row; the best token where the temperature is 0."""
    best = jnp.argmax(log_probs, axis=-1).astype(jnp.int32)
    heat = known_number(temperature)
    if heat == 0:
        return best
    logits = cut_unlikely(tempered(log_probs, temperature), **cuts)
    draw = lambda key, row: jax.random.categorical(jax.random.fold_in(key, t), row)  # noqa: E731
    drawn = jax.vmap(draw)(keys, logits).astype(jnp.int32)
    return drawn if heat is not None else jnp.where(temperature > 0, drawn, best)


def _allowed(forbidden: tuple[int, ...], size: int) -> Bool[Array, "1 V"]:
    """Which tokens are not forbidden."""
    for token in forbidden:
        check_integer("A forbidden token", token, 0, size - 1, ", the vocabulary")
    allowed = np.ones((1, size), bool)
    allowed[:, list(forbidden)] = False
    if not allowed.any():
        raise ValueError(f"forbidden leaves no token to write: it holds all {size}.")
    return jnp.asarray(allowed)


def _check_temperature(temperature: Number) -> None:
    heat = known_number(temperature)
    if heat is not None and not 0.0 <= heat < float("inf"):
        raise ValueError(f"temperature is finite, and positive or 0, which is greedy; got {temperature}.")


__all__ = ["Writing", "begin", "write"]
