"""A trained encoder–decoder, applied: the search for targets, and where it looks."""

import functools
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.data.batching import Ragged, Shapes, doubling_lengths, lengths_of, pad
from rnn_jax.data.lines import chunks
from rnn_jax.data.sources import Batch, in_order, map_rows
from rnn_jax.data.translation_config import SubwordConfig
from rnn_jax.decoding import Hypotheses, beam_search, greedy, sample
from rnn_jax.metrics.means import mean_of
from rnn_jax.models.apply import Apply
from rnn_jax.models.decoding_config import DecodingConfig
from rnn_jax.models.seq2seq import Seq2Seq
from rnn_jax.text.subwords import END_ID, PAD_ID, START_ID
from rnn_jax.text.translation_codec import EncodedPairs, TranslationCodec

SHORTEST, MORE_TOKENS = 16, 10


class Translation(NamedTuple):
    """One hypothesis: its token ids, log p in nats, and the score it is ranked by."""

    ids: np.ndarray
    log_prob: float
    score: float

    def listed(self, text: str) -> dict[str, Any]:
        """As an answer lists it."""
        return {"text": text, "score": round(self.score, 6), "log_probability": round(self.log_prob, 6)}


class AttentionMap(NamedTuple):
    """weights (T, S): a row for each target token and the end; how the tokens of both sides are spelt."""

    weights: np.ndarray
    source: list[str]
    target: list[str]

    def listed(self) -> dict[str, Any]:
        """As an answer lists it."""
        return self._asdict() | {"weights": self.weights.astype(np.float64).round(4).tolist()}


class Settings(NamedTuple):
    """What the compiled search depends on, without the numbers that are arguments of it."""

    num: int
    num_best: int
    seed: int
    ratio: float
    sampling: bool
    top_k: int
    cuts_by_probability: bool

    @classmethod
    def of(cls, config: DecodingConfig, num_best: int) -> "Settings":
        """For so many hypotheses of each source."""
        num = num_best if config.decoding == "sample" else config.beam_size
        common = (num, num_best, config.sampling_seed, config.max_length_ratio)
        if config.decoding != "sample":
            return cls(*common, sampling=False, top_k=0, cuts_by_probability=False)
        return cls(*common, True, config.top_k, config.top_p < 1)


def search(
    apply: Apply, config: DecodingConfig, sources: Ragged, *, n_best: int = 1, first_row: int = 0
) -> list[list[Translation]]:
    """At most `n_best` hypotheses for each source, the best first; none for an empty source.

    Sampled ones are a function of `sampling_seed` and of the row's number, counted from `first_row`.
    """
    settings = Settings.of(config, n_best)
    numbers = {name: np.float32(getattr(config, name)) for name in ("length_penalty", "temperature", "top_p")}

    def fill(rows: np.ndarray, length: int) -> Batch:
        numbered = (np.maximum(rows, 0) + first_row).astype(np.int32)
        return {"source": pad(sources, rows, length), "lengths": lengths_of(sources, rows), "rows": numbered}

    found = map_rows(
        sources.lengths,
        fill,
        lambda batch: jax.device_get(apply(decode, batch, numbers, settings=settings)),
        buckets=_buckets(sources.lengths),
        batch_size=max(1, config.decoding_batch_size // settings.num),
    )
    return [_listed(rows, n_best) if length else [] for rows, length in zip(found, sources.lengths, strict=True)]


def attended(apply: Apply, codec: TranslationCodec, source: np.ndarray, target: np.ndarray) -> AttentionMap | None:
    """Where the decoder looks while it writes the target's token ids and the end; None without attention."""
    length, written = round_up(max(len(source), len(target) + 1)), np.append(target, END_ID)
    tokens = np.full((2, 1, length), PAD_ID, np.int32)
    tokens[0, 0, : len(source)] = source
    tokens[1, 0, : len(written)] = [START_ID, *target]
    batch = {"source": tokens[0], "lengths": np.array([len(source)], np.int32), "inputs": tokens[1]}
    weights = jax.device_get(apply(_attend, batch))
    if weights is None:
        return None
    return AttentionMap(weights[0, : len(written), : len(source)], *codec.pieces(source, written))


def answers(
    apply: Apply, config: DecodingConfig, codec: TranslationCodec, lines: Iterable[str], limit: int
) -> Iterator[dict[str, Any]]:
    """For each line its translation, the hypotheses and, with --show_attention, where the decoder looked.

    limit: the most tokens of a source that are read; at the end it is said how many had more.
    """
    num_lines, num_cut = 0, 0
    try:
        for texts in chunks(lines):
            sources, more = codec.encode_sources([text.strip() for text in texts], limit)
            found = search(apply, config, sources, n_best=config.n_best, first_row=num_lines)
            num_lines, num_cut = num_lines + len(texts), num_cut + more
            for row, (text, hypotheses) in enumerate(zip(texts, found, strict=True)):
                yield _answer(apply, config, codec, text.strip(), sources.row(row), hypotheses)
    finally:
        warn_of_cuts(num_cut, limit)


def _answer(
    apply: Apply,
    config: DecodingConfig,
    codec: TranslationCodec,
    text: str,
    source: np.ndarray,
    found: list[Translation],
) -> dict[str, Any]:
    listed = [one.listed(codec.text(one.ids)) for one in found]
    answer = {"source": text, "translation": listed[0]["text"] if listed else "", "hypotheses": listed}
    looked = attended(apply, codec, source, found[0].ids) if config.show_attention and found else None
    return answer if looked is None else answer | {"attention": looked.listed()}


def warn_of_cuts(number: int, limit: int, where: str = "") -> None:
    """Says on standard error how many sources were too long, if any."""
    if number:
        said = f"{where}{number:,} sources of more than {limit} tokens were cut (--max_source_tokens)"
        print(f"warning: {said}", file=sys.stderr, flush=True)


def mean_loss(apply: Apply, config: SubwordConfig, codec: TranslationCodec, encoded: EncodedPairs) -> float:
    """In nats a target token, the end token included."""
    shapes = Shapes(_buckets(encoded.lengths), config.batch_size, 2 * config.tokens_per_batch)
    fill = functools.partial(codec.batch, encoded, round_up=round_up)
    sums = [apply(Seq2Seq.loss, batch) for _, batch in in_order(encoded.lengths, fill, shapes)]
    total, weight = np.sum(jax.device_get(sums), axis=0) if sums else (0.0, 0.0)
    return mean_of(float(total), float(weight))


def decode(model: Seq2Seq, batch: dict[str, Any], numbers: dict[str, Any], *, settings: Settings) -> Hypotheses:
    """Searches for the targets of a batch of sources; `rows` are their numbers."""
    encoded = model.encode(batch["source"], batch["lengths"])
    limit = int(settings.ratio * batch["source"].shape[1]) + MORE_TOKENS
    wanted = (settings.ratio * batch["lengths"].astype(jnp.float32)).astype(jnp.int32) + MORE_TOKENS
    step, state = functools.partial(model.step, encoded), model.initial_state(encoded, settings.num)
    common: dict[str, Any] = {"start": START_ID, "end": END_ID, "max_lengths": wanted, "limit": limit}
    if settings.sampling:
        keys = jax.vmap(functools.partial(jax.random.fold_in, jax.random.key(settings.seed)))(batch["rows"])
        # Cutting by probability sorts the vocabulary at every step: not where nothing is cut.
        top_p = numbers["top_p"] if settings.cuts_by_probability else 1.0
        cut: Any = {"temperature": numbers["temperature"], "top_k": settings.top_k, "top_p": top_p}
        return sample(step, state, keys, **common, **cut)
    if settings.num == 1:
        return greedy(step, state, **common, length_penalty=numbers["length_penalty"])
    ranking: Any = {"length_penalty": numbers["length_penalty"], "num_best": settings.num_best}
    return beam_search(step, state, **common, **ranking)


def _attend(model: Seq2Seq, batch: dict[str, jax.Array]) -> jax.Array | None:
    return model.read_out(model.encode(batch["source"], batch["lengths"]), batch["inputs"]).weights


def _listed(found: Any, n_best: int) -> list[Translation]:
    """One example's rows of `Hypotheses`, as NumPy arrays."""
    rows = [k for k in range(len(found.scores)) if np.isfinite(found.scores[k])][:n_best]
    return [
        Translation(found.tokens[k, : found.lengths[k]], float(found.log_probs[k]), float(found.scores[k]))
        for k in rows
    ]


def _buckets(lengths: np.ndarray) -> tuple[int, ...]:
    return doubling_lengths(round_up(int(lengths.max(initial=1))), SHORTEST)


def round_up(length: int) -> int:
    """The next power of two: the same length for most inputs, so that it is compiled once."""
    return 1 << max(length - 1, SHORTEST - 1).bit_length()
