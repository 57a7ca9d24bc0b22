"""A trained tagger, applied to sentences: words in, names of tags out."""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from rnn_jax.data.batching import doubling_lengths
from rnn_jax.data.sources import map_rows
from rnn_jax.data.tagging_config import WordsConfig
from rnn_jax.metrics.means import mean_of
from rnn_jax.models.apply import Apply
from rnn_jax.models.tagger import Tagger
from rnn_jax.tagging.spans import spans_of
from rnn_jax.text.tagging_codec import EncodedSentences, TaggingCodec

_SHORTEST = 8  # sentences are padded to 8, 16, 32, … words
_MORE_TOKENS = 4  # without a backward pass there is room for larger batches


class Tagged(NamedTuple):
    """The tags of each sentence in the data's scheme, and the mean loss in nats a word; 0 where none is labelled."""

    tags: list[list[str]]
    loss: float


def emissions(tagger: Tagger, batch: dict[str, jax.Array], key: jax.Array | None = None) -> jax.Array:
    """Scores of all labels for every word."""
    return tagger(batch["words"], batch["lengths"], characters=batch["characters"], key=key)


def judge(tagger: Tagger, batch: dict[str, jax.Array]) -> Any:
    """(summed loss, number of labels), and the most probable tags."""
    scores = emissions(tagger, batch)
    loss = tagger.loss(scores, batch["labels"], batch["lengths"], batch["weights"])
    return loss, tagger.tags(scores, batch["lengths"])


def best_paths(tagger: Tagger, batch: dict[str, jax.Array], *, n: int) -> Any:
    """The n most probable sequences of labels."""
    return tagger.best_paths(emissions(tagger, batch), batch["lengths"], n)


def tag(apply: Apply, config: WordsConfig, codec: TaggingCodec, encoded: EncodedSentences) -> Tagged:
    """The most probable tags of all sentences."""
    sums: list[Any] = []

    def tags(batch: Any) -> Any:
        batch_sums, found = jax.device_get(apply(judge, batch))
        sums.append(batch_sums)
        return found.labels

    rows = _map(tags, config, codec, encoded)
    total, weight = np.sum(sums, axis=0) if sums else (0.0, 0.0)
    named = [codec.tags(row[:length]) for row, length in zip(rows, encoded.forms.lengths, strict=True)]
    return Tagged(named, mean_of(float(total), float(weight)))


def answers(
    apply: Apply, config: WordsConfig, codec: TaggingCodec, sentences: list[list[str]], num_best: int = 1
) -> Iterator[dict[str, Any]]:
    """For each sentence tokens, tags, the probability of each tag and, in a span scheme, the spans.

    With num_best > 1 also the most probable sequences of tags and their probabilities (CRF only).
    """
    encoded = codec.encode(sentences)
    found = _map(lambda batch: jax.device_get(apply(judge, batch)[1]), config, codec, encoded)
    several: Any = itertools.repeat(None)
    if num_best > 1:
        several = _map(lambda batch: jax.device_get(apply(best_paths, batch, n=num_best)), config, codec, encoded)
    for words, row, best in zip(sentences, found, several):
        tags = codec.tags(row.labels[: len(words)])
        answer: dict[str, Any] = {"tokens": list(words), "tags": tags}
        answer["probabilities"] = codec.probabilities(tags, row.marginals[: len(words)])
        if codec.scheme:
            spans = spans_of(tags, codec.scheme)
            answer["spans"] = [span._asdict() | {"text": " ".join(words[span.start : span.end])} for span in spans]
        if best is not None:
            paths = ((codec.tags(path[: len(words)]), float(p)) for path, p in zip(*best, strict=True) if p > 0)
            answer["best"] = [{"tags": path, "probability": p} for path, p in paths]
        yield answer


def _map(
    function: Callable[[Any], Any], config: WordsConfig, codec: TaggingCodec, encoded: EncodedSentences
) -> list[Any]:
    """function's row for each sentence; it gets a batch."""
    lengths = encoded.forms.lengths
    return map_rows(
        lengths,
        functools.partial(codec.batch, encoded),
        function,
        # Up to a power of two: the same for most inputs.
        buckets=doubling_lengths(1 << (int(lengths.max(initial=1)) - 1).bit_length(), _SHORTEST),
        batch_size=config.batch_size,
        tokens_per_batch=_MORE_TOKENS * config.tokens_per_batch,
    )
