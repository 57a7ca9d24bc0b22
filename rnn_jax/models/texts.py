"""What a language model writes: answers to prompts, as they are printed, and samples that show what was learned."""

import functools
import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.data.lines import Lines, chunks
from rnn_jax.errors import UserError
from rnn_jax.files import to_json_number
from rnn_jax.models.apply import Apply
from rnn_jax.models.writer import Written, searched, stream, texts_after
from rnn_jax.models.writing_config import WritingConfig
from rnn_jax.text.language_codec import END_ID, UNKNOWN_ID, LanguageCodec
from rnn_jax.text.streams import LanguagePart

_NUM_SAMPLES, _SAMPLED_TOKENS, _CONTEXT = 3, 160, 32
_ROWS_AT_ONCE = 64  # texts that are written side by side


def answers(
    apply: Apply, codec: LanguageCodec, config: WritingConfig, prompts: Iterable[str]
) -> Iterator[dict[str, Any]]:
    """Of each prompt the texts that go on from it; on a terminal one text is shown while it is written.

    prompts: `Lines` are a command's, whose answers a terminal shows; others are a program's, and nothing is shown.

    Raises:
      UserError: as `searched`; several texts that would all be the same.
    """
    if config.writing == "sample" and config.temperature == 0 and config.num_texts > 1:
        raise UserError(
            f"--temperature=0 always takes the most probable token, so that --num_texts={config.num_texts} would be one"
            " text several times. Give a temperature above 0, or --writing=beam."
        )
    is_shown = isinstance(prompts, Lines) and _is_shown(config)
    is_alone = is_shown or config.writing == "beam"
    at_once = 1 if is_alone else max(_ROWS_AT_ONCE // config.num_texts, 1)
    numbers = itertools.count()
    for lines in chunks(prompts, at_once):
        chunk = [(next(numbers), config.prompt(line)) for line in lines]
        for (_, text), written in zip(chunk, _written(apply, codec, config, chunk, is_shown=is_shown), strict=True):
            yield {
                "prompt": text,
                "texts": [one.text for one in written],
                "log_prob": [to_json_number(one.log_prob) for one in written],
                "num_tokens": [one.num_tokens for one in written],
            }


def _written(
    apply: Apply, codec: LanguageCodec, config: WritingConfig, chunk: list[tuple[int, str]], *, is_shown: bool
) -> list[list[Written]]:
    """The texts of each numbered prompt. The numbers choose the draws: which prompts are answered together does not."""
    prompts = [codec.prompt(text) for _, text in chunk]
    for (number, _), prompt in zip(chunk, prompts, strict=True):
        _warn_of_unknown(codec, number, prompt)
    if config.writing == "beam":
        return [searched(apply, codec, prompt, config) for prompt in prompts]
    rows = [prompt for prompt in prompts for _ in range(config.num_texts)]
    keys = jnp.concatenate([_keys(config.sampling_seed, number, config.num_texts) for number, _ in chunk])
    if is_shown:
        return [_show(chunk[0][1], stream(apply, codec, rows, config, keys), config.stops())]
    texts, count = texts_after(apply, codec, rows, config, keys), config.num_texts
    return [texts[first : first + count] for first in range(0, len(texts), count)]


def rendered(config: WritingConfig, found: dict[str, Any]) -> str:
    """An answer as it is printed: a JSON line, or the texts, each with its prompt, an empty line behind the last."""
    if config.output_format == "json" or (config.output_format == "auto" and not sys.stdout.isatty()):
        return json.dumps(found, ensure_ascii=False) + "\n"
    if _is_shown(config):
        return "\n"
    return "".join(f"{found['prompt']}{text}\n\n" for text in found["texts"])


def sample_texts(apply: Apply, codec: LanguageCodec, part: LanguagePart) -> list[str]:
    """A few texts, the same draws at every evaluation: from nothing where texts have ends, else from a few words."""
    if codec.has_ends:
        prompts = [np.array([END_ID], np.int32)] * _NUM_SAMPLES
    else:
        starts = np.linspace(0, max(part.num_tokens - _CONTEXT, 0), _NUM_SAMPLES).astype(int)
        prompts = [np.concatenate([[END_ID], part.documents.values[at : at + _CONTEXT]]) for at in starts]
    config = WritingConfig(max_new_tokens=_SAMPLED_TOKENS)
    written = texts_after(apply, codec, prompts, config, _keys(0, 0, len(prompts)))
    shown = [codec.text(prompt[1:]) for prompt in prompts]
    return [f"{text}▸{one.text}" if text else one.text for text, one in zip(shown, written, strict=True)]


def _keys(seed: int, number: int, count: int) -> Any:
    key = jax.random.fold_in(jax.random.key(seed), number)
    return jax.vmap(functools.partial(jax.random.fold_in, key))(jnp.arange(count, dtype=jnp.uint32))


def _is_shown(config: WritingConfig) -> bool:
    is_alone = config.writing == "sample" and config.num_texts == 1
    return is_alone and config.output_format != "json" and sys.stdout.isatty()


def _show(prompt: str, texts: Iterator[list[Written]], stops: Sequence[str]) -> list[Written]:
    """Writes a text to the terminal as it grows; what may still change is waited for."""
    sys.stdout.write(prompt)
    shown, written = 0, []
    for written in texts:
        stable = written[0].text if written[0].ended else _stable(written[0].text, stops)
        sys.stdout.write(stable[shown:])
        sys.stdout.flush()
        shown = max(shown, len(stable))
    sys.stdout.write(written[0].text[shown:] + "\n")
    return written


def _stable(text: str, stops: Sequence[str]) -> str:
    """A text without half a character at its end, and without what may begin a stop string."""
    text = text.rstrip("\ufffd")
    begun = (size for stop in stops for size in range(1, len(stop)) if text.endswith(stop[:size]))
    return text[: len(text) - max(begun, default=0)]


def _warn_of_unknown(codec: LanguageCodec, number: int, prompt: np.ndarray) -> None:
    num_unknown = int((prompt == UNKNOWN_ID).sum())
    if num_unknown:
        print(
            f"warning: prompt {number + 1}: {num_unknown} of its {len(prompt) - 1} {codec.unit}s are not in the"
            " vocabulary: the model reads them as unknown.",
            file=sys.stderr,
            flush=True,
        )
