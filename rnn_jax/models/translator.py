"""A trained encoder–decoder, applied: texts in, texts out; scores of pairs; where it looked."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.config import knob, require_defaults
from rnn_jax.data.batching import Batch, Ragged, ordered_batches
from rnn_jax.data.streaming import doubling_lengths, map_rows
from rnn_jax.data.subwords import END_ID, PAD_ID, START_ID
from rnn_jax.data.translation_inputs import EncodedPairs, TranslationInputs
from rnn_jax.decoding import Hypotheses, beam_search, greedy, sample
from rnn_jax.errors import UserError
from rnn_jax.models.seq2seq import Seq2Seq
from rnn_jax.training.devices import data_mesh, shard_batch
from rnn_jax.training.steps import Steps

_SHORTEST, MORE_TOKENS = 16, 10
GREEDY: dict[str, Any] = {"decoding": "beam", "beam_size": 1}


@dataclasses.dataclass(frozen=True)
class DecodingConfig:
    """How targets are searched for; may differ between training and a later eval or predict."""

    decoding: str = knob("beam", "search for the most probable, or sample", choices=("beam", "sample"), identity=False)
    beam_size: int = knob(5, "hypotheses that the search follows (1: greedy)", minimum=1, maximum=1000, identity=False)
    length_penalty: float = knob(
        1.0, "the more, the longer: log p / ((5 + length) / 6)^this", minimum=0.0, identity=False
    )
    sampling_seed: int = knob(0, "sample: seed of the draws", minimum=0, identity=False)
    temperature: float = knob(1.0, "sample: logits are divided by this", minimum=1e-3, identity=False)
    top_k: int = knob(0, "sample: of the k most probable tokens only (0 = all)", minimum=0, identity=False)
    top_p: float = knob(
        1.0, "sample: of the fewest tokens with this probability", minimum=1e-6, maximum=1.0, identity=False
    )
    max_length_ratio: float = knob(
        2.0, "targets are written up to this times the source's tokens, plus 10", minimum=0.0, maximum=100.0
    )
    max_source_tokens: int = knob(
        0, "eval, predict: longer sources are cut to this (0 = to --max_tokens)", minimum=0, identity=False
    )
    n_best: int = knob(1, "predict: hypotheses to list; of a beam at most --beam_size", minimum=1, identity=False)
    show_attention: bool = knob(False, "predict: also write the attention's weights", identity=False)
    decoding_batch_size: int = knob(
        320, "hypotheses followed at once: that many texts for each of a beam", minimum=1, identity=False
    )


_SAMPLING = ("temperature", "top_k", "top_p", "sampling_seed")


def search_settings(config: Any) -> dict[str, Any]:
    """The knobs of decoding that scores depend on."""
    names = _SAMPLING if config.decoding == "sample" else ("beam_size", "length_penalty")
    return {name: getattr(config, name) for name in ("decoding", *names)}


def require_sense(config: Any) -> None:
    """Checks that knobs of sampling come with it, that a beam is as wide as asked, that attention can be shown.

    Raises:
      UserError: one of these is not so (says what to give).
    """
    if config.decoding == "beam":
        require_defaults(config, _SAMPLING, "--decoding=sample")
        if config.n_best > config.beam_size:
            raise UserError(
                f"--n_best={config.n_best} is more than --beam_size={config.beam_size}: the search follows no more."
                f" Give --beam_size={config.n_best}."
            )
    if config.show_attention and config.attention == "none":
        raise UserError("--show_attention needs attention, and this run has --attention=none: leave it out.")


class Translation(NamedTuple):
    """One hypothesis: its token ids, log p in nats, and the score it is ranked by."""

    ids: np.ndarray
    log_prob: float
    score: float


class AttentionMap(NamedTuple):
    """weights (T, S): a row for each target token and the end; how the tokens of both sides are spelt."""

    weights: np.ndarray
    source: list[str]
    target: list[str]


class Translator(NamedTuple):
    """Config, inputs, compiled functions, and parameters on all devices."""

    config: Any
    inputs: TranslationInputs
    steps: Steps
    params: Any

    def search(self, sources: Ragged, *, n_best: int = 1, first_row: int = 0) -> list[list[Translation]]:
        """At most `n_best` hypotheses for each source, the best first; none for an empty source.

        Sampled ones are a function of `sampling_seed` and of the row's number, counted from `first_row`.
        """
        mesh = data_mesh()
        settings = _Settings.of(self.config, n_best)
        decode, numbers = self.steps.compiled(_decoder(settings)), _numbers(self.config)

        def of_batch(batch: Batch) -> Any:
            rows = np.maximum(batch.indices, 0) + first_row
            arrays = {"source": batch.tokens, "lengths": batch.lengths, "rows": rows.astype(np.int32)}
            return jax.device_get(decode(self.params, {**shard_batch(arrays, mesh), "numbers": numbers}))

        found = map_rows(
            sources,
            of_batch,
            longest=_round_up(int(sources.lengths.max(initial=1))),
            shortest=_SHORTEST,
            batch_size=max(1, self.config.decoding_batch_size // settings.num),
            rows_multiple_of=mesh.size,
        )
        return [_listed(rows, n_best) if length else [] for rows, length in zip(found, sources.lengths, strict=True)]

    def translate(self, sources: Ragged) -> list[str]:
        """The best hypothesis of each source as text; an empty source gives an empty one."""
        found = self.search(sources)
        return [self.inputs.text(best[0].ids) if best else "" for best in found]

    def loss(self, pairs: EncodedPairs) -> float:
        """The mean loss in nats a target token, the end token included."""
        sums: list[Any] = []
        mesh = data_mesh()
        longest = _round_up(int(pairs.pairs.lengths.max(initial=1)))
        for batch in ordered_batches(
            pairs.pairs,
            batch_size=self.config.batch_size,
            tokens_per_batch=2 * self.config.tokens_per_batch,
            buckets=doubling_lengths(longest, _SHORTEST),
            rows_multiple_of=mesh.size,
        ):
            arrays = shard_batch(self.inputs.batch_arrays(batch, pairs, round_up=_round_up), mesh)
            sums.append(self.steps.predict(self.params, arrays)[0])
        total, count = np.sum(jax.device_get(sums), axis=0) if sums else (0.0, 0.0)
        return float(total) / max(float(count), 1.0)

    def attended(self, source: np.ndarray, target: np.ndarray) -> AttentionMap | None:
        """Where the decoder looks while it writes the target's token ids and the end; None without attention."""
        length, written = _round_up(max(len(source), len(target) + 1)), np.append(target, END_ID)
        tokens = np.full((2, 1, length), PAD_ID, np.int32)
        tokens[0, 0, : len(source)] = source
        tokens[1, 0, : len(written)] = [START_ID, *target]
        arrays = {"source": tokens[0], "lengths": np.array([len(source)], np.int32), "inputs": tokens[1]}
        weights = jax.device_get(self.steps.compiled(_attend)(self.params, arrays))
        if weights is None:
            return None
        return AttentionMap(weights[0, : len(written), : len(source)], *self.inputs.pieces(source, written))

    def answers(self, texts: Sequence[str], sources: Ragged, first_row: int = 0) -> Iterator[dict[str, Any]]:
        """For each text its translation, `config.n_best` hypotheses and, if `config.show_attention`, the attention."""
        config = self.config
        found = self.search(sources, n_best=config.n_best, first_row=first_row)
        for row, (text, hypotheses) in enumerate(zip(texts, found, strict=True)):
            listed = [
                {
                    "text": self.inputs.text(one.ids),
                    "score": round(one.score, 6),
                    "log_probability": round(one.log_prob, 6),
                }
                for one in hypotheses
            ]
            answer = {"source": text, "translation": listed[0]["text"] if listed else "", "hypotheses": listed}
            attended = self.attended(sources.row(row), hypotheses[0].ids) if config.show_attention and listed else None
            if attended is not None:
                answer["attention"] = attended._asdict() | {
                    "weights": attended.weights.astype(np.float64).round(4).tolist()
                }
            yield answer


class _Settings(NamedTuple):
    """What the compiled search depends on, without the numbers that are arguments of it."""

    num: int
    num_best: int
    seed: int
    ratio: float
    sampling: bool
    top_k: int
    cuts_by_probability: bool

    @classmethod
    def of(cls, config: Any, num_best: int) -> "_Settings":
        num = num_best if config.decoding == "sample" else config.beam_size
        common = (num, num_best, config.sampling_seed, config.max_length_ratio)
        if config.decoding != "sample":
            return cls(*common, sampling=False, top_k=0, cuts_by_probability=False)
        return cls(*common, True, config.top_k, config.top_p < 1)


def _numbers(config: Any) -> dict[str, np.float32]:
    return {name: np.float32(getattr(config, name)) for name in ("length_penalty", "temperature", "top_p")}


@functools.cache
def _decoder(settings: _Settings) -> Callable[[Seq2Seq, dict[str, Any]], Hypotheses]:
    def decode(model: Seq2Seq, arrays: dict[str, Any]) -> Hypotheses:
        numbers = arrays["numbers"]
        encoded = model.encode(arrays["source"], arrays["lengths"])

        limit = int(settings.ratio * arrays["source"].shape[1]) + MORE_TOKENS
        wanted = (settings.ratio * arrays["lengths"].astype(jnp.float32)).astype(jnp.int32) + MORE_TOKENS
        step, state = functools.partial(model.step, encoded), model.initial_state(encoded, settings.num)
        common: dict[str, Any] = {"start": START_ID, "end": END_ID, "max_lengths": wanted, "limit": limit}
        if settings.sampling:
            keys = jax.vmap(functools.partial(jax.random.fold_in, jax.random.key(settings.seed)))(arrays["rows"])
            # Cutting by probability sorts the vocabulary at every step: not where nothing is cut.
            top_p = numbers["top_p"] if settings.cuts_by_probability else 1.0
            cut: Any = {"temperature": numbers["temperature"], "top_k": settings.top_k, "top_p": top_p}
            return sample(step, state, keys, **common, **cut)
        if settings.num == 1:
            return greedy(step, state, **common, length_penalty=numbers["length_penalty"])
        ranking: Any = {"length_penalty": numbers["length_penalty"], "num_best": settings.num_best}
        return beam_search(step, state, **common, **ranking)

    return decode


def _attend(model: Seq2Seq, arrays: dict[str, jax.Array]) -> jax.Array | None:
    return model.read_out(model.encode(arrays["source"], arrays["lengths"]), arrays["inputs"]).weights


def _listed(found: Any, n_best: int) -> list[Translation]:
    """One example's rows of `Hypotheses`, as NumPy arrays."""
    rows = [k for k in range(len(found.scores)) if np.isfinite(found.scores[k])][:n_best]
    return [
        Translation(found.tokens[k, : found.lengths[k]], float(found.log_probs[k]), float(found.scores[k]))
        for k in rows
    ]


def _round_up(length: int) -> int:
    """The next power of two: the same length for most inputs, so that it is compiled once."""
    return 1 << max(length - 1, _SHORTEST - 1).bit_length()


__all__ = [
    "GREEDY",
    "MORE_TOKENS",
    "AttentionMap",
    "DecodingConfig",
    "Translation",
    "Translator",
    "require_sense",
    "search_settings",
]
