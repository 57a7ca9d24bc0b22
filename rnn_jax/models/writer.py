"""Writing on from prompts with a language model: read, then drawn in chunks, or searched for with a beam."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.decoding import Writing, beam_search, begin, write
from rnn_jax.errors import UserError
from rnn_jax.models.apply import Apply
from rnn_jax.models.language_model import LanguageModel
from rnn_jax.models.writing_config import WritingConfig
from rnn_jax.numerics import log_softmax
from rnn_jax.text.language_codec import END_ID, PAD_ID, UNKNOWN_ID, LanguageCodec

_READ_AT_ONCE = 256  # tokens of a prompt: its memory does not grow with its length
_WRITTEN_AT_ONCE = 32
_NEVER_WRITTEN = (PAD_ID, UNKNOWN_ID)


class Written(NamedTuple):
    """What was written after a prompt, log p of its tokens, the end included, their number, and whether it ended.

    A text that ends before a stop string has the tokens up to the one that completes it; where a beam found it, all.
    """

    text: str
    log_prob: float
    num_tokens: int
    ended: bool


def texts_after(
    apply: Apply, codec: LanguageCodec, prompts: Sequence[np.ndarray], config: WritingConfig, keys: Any
) -> list[Written]:
    """The text after each prompt, drawn with its own key."""
    *_, last = stream(apply, codec, prompts, config, keys, at_once=_WRITTEN_AT_ONCE)
    return last


def stream(
    apply: Apply,
    codec: LanguageCodec,
    prompts: Sequence[np.ndarray],
    config: WritingConfig,
    keys: Any,
    *,
    at_once: int = 1,
) -> Iterator[list[Written]]:
    """The texts as they grow, `at_once` tokens at a time: the same ones, whatever that number is."""
    writing = _read(apply, codec, prompts, keys)
    draws, stops = tuple(sorted(config.draws().items())), config.stops()
    end, forbidden = (END_ID, _NEVER_WRITTEN) if codec.has_ends else (None, (*_NEVER_WRITTEN, END_ID))
    ids: list[list[int]] = [[] for _ in prompts]
    written = [Written("", 0.0, 0, False)] * len(prompts)
    left = config.max_new_tokens
    while left > 0 and not all(one.ended for one in written):
        options = {"num_tokens": at_once, "end": end, "forbidden": forbidden, "draws": draws}
        writing, *new = apply(write_on, {}, writing, **options)
        tokens, log_probs = (np.asarray(array)[:, :left] for array in jax.device_get(new))
        for row, prompt in enumerate(prompts):
            if not written[row].ended:
                written[row] = _go_on(codec, prompt, ids[row], tokens[row].tolist(), log_probs[row].tolist(), stops)
        writing = writing._replace(ended=jnp.asarray([one.ended for one in written]))
        left -= at_once
        yield list(written)


def searched(apply: Apply, codec: LanguageCodec, prompt: np.ndarray, config: WritingConfig) -> list[Written]:
    """The most probable texts that a beam search finds.

    Raises:
      UserError: more texts are asked for than the search follows.
    """
    if config.num_texts > config.beam_size:
        raise UserError(
            f"--num_texts={config.num_texts} is more than --beam_size={config.beam_size}: the search follows no more."
        )
    writing = _read(apply, codec, [prompt], jax.random.key(0))
    settings = {"beam_size": config.beam_size, "limit": config.max_new_tokens, "has_ends": codec.has_ends}
    found = apply(search, {}, writing, length_penalty=config.length_penalty, **settings)
    texts = []
    for ids, length, log_prob in zip(*(np.asarray(array).tolist() for array in jax.device_get(found)), strict=True):
        if log_prob != -math.inf:  # where there are fewer texts of this length than the search follows
            ended = length < config.max_new_tokens
            text = _cut(codec.continuation(prompt, ids[:length]), config.stops())
            texts.append(Written(text, log_prob, length + ended, ended))
    score = lambda one: one.log_prob / ((5 + one.num_tokens) / 6) ** config.length_penalty  # noqa: E731
    return sorted(texts, key=score, reverse=True)[: config.num_texts]


def read_prompts(model: LanguageModel, batch: dict[str, jax.Array], carry: Any) -> Any:
    """The carry after a window of prompts; where the mask is False there is nothing to read."""
    carry = model.initial_carry(len(batch["tokens"])) if carry is None else carry
    return model.read(batch["tokens"], carry=carry, mask=batch["mask"]).carry


def write_on(
    model: LanguageModel, batch: Any, writing: Writing, *, num_tokens: int, end: int | None, forbidden: Any, draws: Any
) -> tuple[Writing, jax.Array, jax.Array]:
    """The next tokens (B, N) of each text, −1 behind its end, and log p (B, N) of all that is written with each."""
    del batch

    def one(writing: Writing, _: None) -> tuple[Writing, tuple[jax.Array, jax.Array]]:
        writing, tokens = write(model.step, writing, 1, end=end, pad=-1, forbidden=forbidden, **dict(draws))
        return writing, (tokens[:, 0], writing.log_probs)

    writing, (tokens, log_probs) = jax.lax.scan(one, writing, length=num_tokens)
    return writing, tokens.T, log_probs.T


def search(
    model: LanguageModel, batch: Any, writing: Writing, *, beam_size: int, limit: int, has_ends: bool, **options: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """What a beam search finds that begins where `writing` is: tokens (K, limit), lengths (K,) without an end, log p.

    It looks for the most probable text of those without unknown tokens; log p is that among all texts.
    options: of `beam_search`.
    """
    del batch
    beams = lambda leaf: jnp.repeat(leaf[:, None], beam_size, axis=1)  # noqa: E731
    first = (jax.tree.map(beams, writing.carry), beams(writing.last), jnp.zeros((1, beam_size), jnp.int32))

    def step(state: Any, tokens: jax.Array) -> tuple[Any, jax.Array]:
        carry, last, t = state
        read = jnp.where(t > 0, tokens, last)
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (carry, read))
        carry, logits = model.step(*flat)
        logits = logits.at[:, jnp.asarray(_NEVER_WRITTEN if has_ends else (*_NEVER_WRITTEN, END_ID))].set(-jnp.inf)
        carry, logits = jax.tree.map(lambda leaf: leaf.reshape(*tokens.shape, *leaf.shape[1:]), (carry, logits))
        # A text that is as long as it may be is cut, at no cost: its end is certain then.
        only_end = jnp.where(jnp.arange(logits.shape[-1]) == END_ID, 0.0, -jnp.inf)[None, None]
        return (carry, last, t + 1), jnp.where(t[..., None] < limit, logits, only_end)

    lengths = jnp.full(1, limit, jnp.int32)
    found = beam_search(step, first, start=END_ID, end=END_ID, max_lengths=lengths, limit=limit, **options)
    tokens, lengths = found.tokens[0], found.lengths[0]
    log_probs = _log_probs_of(model, jax.tree.map(lambda leaf: leaf[0], first[:2]), tokens, lengths)
    return tokens, lengths, jnp.where(found.log_probs[0] == -jnp.inf, -jnp.inf, log_probs)


def _log_probs_of(model: LanguageModel, first: Any, tokens: jax.Array, lengths: jax.Array) -> jax.Array:
    """log p (K,) of tokens (K, L) that are written on from a carry and its last token; an end behind those shorter."""
    steps = jnp.arange(tokens.shape[1])[None]
    labels = jnp.where(steps == lengths[:, None], END_ID, tokens)

    def one(state: Any, label: jax.Array) -> tuple[Any, jax.Array]:
        carry, logits = model.step(*state)
        return (carry, label), jnp.take_along_axis(log_softmax(logits), label[:, None], axis=1)[:, 0]

    gained = jax.lax.scan(one, first, labels.T)[1].T
    return jnp.where(steps <= lengths[:, None], gained, 0).sum(axis=1)


def _read(apply: Apply, codec: LanguageCodec, prompts: Sequence[np.ndarray], keys: Any) -> Writing:
    """Each prompt is read but for its last token, which the first step of writing reads."""
    longest = max(len(prompt) for prompt in prompts) - 1
    size = min(_READ_AT_ONCE, 1 << (longest - 1).bit_length()) if longest > 0 else 1
    carry = None
    for start in range(0, max(longest, 1), size):
        tokens, mask = np.zeros((len(prompts), size), np.int32), np.zeros((len(prompts), size), bool)
        for row, prompt in enumerate(prompts):
            part = prompt[:-1][start : start + size]
            tokens[row, : len(part)], mask[row, : len(part)] = part, True
        carry = apply(read_prompts, {"tokens": tokens, "mask": mask}, carry)
    seen = np.zeros((len(prompts), codec.vocabulary_size), bool)
    for row, prompt in enumerate(prompts):
        seen[row, prompt] = True
    carry = jax.tree.map(lambda leaf: leaf[: len(prompts)], carry)
    last = jnp.asarray([prompt[-1] for prompt in prompts], jnp.int32)
    return begin(carry, last, keys, vocabulary_size=codec.vocabulary_size, seen=jnp.asarray(seen))


def _go_on(
    codec: LanguageCodec,
    prompt: np.ndarray,
    ids: list[int],
    tokens: list[int],
    log_probs: list[float],
    stops: Sequence[str],
) -> Written:
    """Adds new tokens to the ids of a text. It ends with the token that completes a stop string, whatever is behind."""
    first = len(ids)
    ids += itertools.takewhile(lambda token: token >= 0, tokens)
    num_new = len(ids) - first
    text = codec.continuation(prompt, ids)
    if any(stop in text for stop in stops):
        for size in range(first + 1, len(ids) + 1):
            before = codec.continuation(prompt, ids[:size])
            if any(stop in before for stop in stops):
                return Written(_cut(before, stops), log_probs[size - first - 1], size, True)
    # Behind the last token the sum stays what it is, but where a text broke off: it is −∞ or NaN then.
    log_prob = log_probs[min(num_new, len(tokens) - 1)]
    return Written(text, log_prob, len(ids), num_new < len(tokens) or ids[-1] == END_ID)


def _cut(text: str, stops: Sequence[str]) -> str:
    """The text before the first stop string in it."""
    return text[: min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))]
