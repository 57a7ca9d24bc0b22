"""Writing on from prompts with a language model: read, then drawn in chunks, or searched for with a beam."""

import itertools
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
from rnn_jax.text.language_codec import END_ID, PAD_ID, UNKNOWN_ID, LanguageCodec

_READ_AT_ONCE = 256  # tokens of a prompt: its memory does not grow with its length
_WRITTEN_AT_ONCE = 32
_NEVER_WRITTEN = (PAD_ID, UNKNOWN_ID)


class Written(NamedTuple):
    """What was written after a prompt, the natural logarithm of its probability, and whether it ended by itself."""

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
    draws = tuple(sorted(config.draws().items()))
    end, forbidden = (END_ID, _NEVER_WRITTEN) if codec.has_ends else (None, (*_NEVER_WRITTEN, END_ID))
    ids: list[list[int]] = [[] for _ in prompts]
    while True:
        size = min(at_once, config.max_new_tokens - int(writing.t))
        writing, tokens = apply(write_on, {}, writing, num_tokens=at_once, end=end, forbidden=forbidden, draws=draws)
        for row, new in zip(ids, np.asarray(tokens)[:, :size].tolist(), strict=True):
            row += itertools.takewhile(lambda token: token >= 0, new)
        written = [
            _cut(codec, prompt, row, float(log_prob), bool(ended), config.stops())
            for prompt, row, log_prob, ended in zip(prompts, ids, writing.log_probs, writing.ended, strict=True)
        ]
        writing = writing._replace(ended=jnp.asarray([one.ended for one in written]))
        yield written
        if int(writing.t) >= config.max_new_tokens or all(one.ended for one in written):
            return


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
    settings = {"beam_size": config.beam_size, "limit": config.max_new_tokens, "num_best": config.num_texts}
    settings |= {"has_ends": codec.has_ends}
    found = apply(search, {}, writing, length_penalty=config.length_penalty, **settings)
    tokens, lengths, log_probs = (np.asarray(array)[0, : config.num_texts] for array in found[:3])
    rows = [row[:length].tolist() for row, length in zip(tokens, lengths, strict=True)]
    return [
        _cut(codec, prompt, row, float(log_prob), len(row) < config.max_new_tokens, config.stops())
        for row, log_prob in zip(rows, log_probs, strict=True)
    ]


def read_prompts(model: LanguageModel, batch: dict[str, jax.Array], carry: Any) -> Any:
    """The carry after a window of prompts; where the mask is False there is nothing to read."""
    carry = model.initial_carry(len(batch["tokens"])) if carry is None else carry
    return model.read(batch["tokens"], carry=carry, mask=batch["mask"]).carry


def write_on(
    model: LanguageModel, batch: Any, writing: Writing, *, num_tokens: int, end: int | None, forbidden: Any, draws: Any
) -> tuple[Writing, jax.Array]:
    """The next tokens (B, N) of each text, −1 behind its end."""
    del batch
    return write(model.step, writing, num_tokens, end=end, pad=-1, forbidden=forbidden, **dict(draws))


def search(
    model: LanguageModel, batch: Any, writing: Writing, *, beam_size: int, limit: int, has_ends: bool, **options: Any
) -> Any:
    """The hypotheses of a beam search that begins where `writing` is; options of `beam_search`."""
    del batch
    beams = lambda leaf: jnp.repeat(leaf[:, None], beam_size, axis=1)  # noqa: E731
    first = (jax.tree.map(beams, writing.carry), beams(writing.last), jnp.zeros((1, beam_size), jnp.int32))

    def step(state: Any, tokens: jax.Array) -> tuple[Any, jax.Array]:
        carry, last, t = state
        read = jnp.where(t > 0, tokens, last)
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (carry, read))
        carry, log_probs = model.step(*flat)
        log_probs = log_probs.at[:, jnp.asarray(_NEVER_WRITTEN)].set(-jnp.inf)
        if not has_ends:  # the end costs nothing where texts are as long as they may be, and is nowhere else
            log_probs = log_probs.at[:, END_ID].set(jnp.where(t.reshape(-1) < limit, -jnp.inf, 0.0))
        carry, log_probs = jax.tree.map(lambda leaf: leaf.reshape(*tokens.shape, *leaf.shape[1:]), (carry, log_probs))
        return (carry, last, t + 1), log_probs

    lengths = jnp.full(1, limit, jnp.int32)
    return beam_search(step, first, start=END_ID, end=END_ID, max_lengths=lengths, limit=limit, **options)


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


def _cut(
    codec: LanguageCodec, prompt: np.ndarray, ids: list[int], log_prob: float, ended: bool, stops: Sequence[str]
) -> Written:
    text = codec.continuation(prompt, ids)
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    if places:
        return Written(text[: min(places)], log_prob, len(ids), True)
    return Written(text, log_prob, len(ids), ended)
