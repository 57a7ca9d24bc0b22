"""A tagger applied to sentences: words in, names of tags out."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from rnn_jax.data.batching import Batch
from rnn_jax.data.streaming import map_rows
from rnn_jax.data.tagging_inputs import EncodedSentences, TaggingInputs, WordsConfig
from rnn_jax.models.tagger import Tagger
from rnn_jax.tagging.spans import spans_of
from rnn_jax.training.devices import data_mesh, shard_batch
from rnn_jax.training.steps import Steps

_SHORTEST = 8  # sentences are padded to 8, 16, 32, … words
_MORE_TOKENS = 4  # without a backward pass there is room for larger batches


class Tagged(NamedTuple):
    """The tags of each sentence in the data's scheme, p of the model's labels (T, L), the mean loss in nats a word."""

    tags: list[list[str]]
    marginals: list[np.ndarray]
    loss: float


class TrainedTagger(NamedTuple):
    """Config, inputs, compiled functions, and parameters on all devices."""

    config: WordsConfig
    inputs: TaggingInputs
    steps: Steps
    params: Any

    def tag(self, encoded: EncodedSentences) -> Tagged:
        """The most probable tags of all sentences; the loss is 0 where they are not labelled."""
        sums: list[Any] = []

        def predict(arrays: Any) -> Any:
            batch_sums, tags = self.steps.predict(self.params, arrays)
            sums.append(batch_sums)
            return tags

        rows, lengths = self._map(predict, encoded), encoded.forms.lengths
        total, count = np.sum(jax.device_get(sums), axis=0) if sums else (0.0, 0.0)
        tags = [self.inputs.tags(row.labels[:length]) for row, length in zip(rows, lengths, strict=True)]
        marginals = [row.marginals[:length] for row, length in zip(rows, lengths, strict=True)]
        return Tagged(tags, marginals, float(total) / max(float(count), 1.0))

    def best_tags(self, encoded: EncodedSentences, n: int) -> list[list[tuple[list[str], float]]]:
        """The n most probable tag sequences of each sentence, and their probabilities (CRF only)."""
        compiled = self.steps.compiled(_best_paths(n))
        rows = self._map(lambda arrays: compiled(self.params, arrays), encoded)
        return [
            [(self.inputs.tags(path[:length]), float(p)) for path, p in zip(paths, probabilities) if p > 0]
            for (paths, probabilities), length in zip(rows, encoded.forms.lengths, strict=True)
        ]

    def answers(self, sentences: Sequence[Sequence[str]], num_best: int = 1) -> list[dict[str, Any]]:
        """For each sentence tokens, tags, the probability of each tag and, in a span scheme, the spans."""
        encoded, scheme = self.inputs.encode(sentences), self.inputs.scheme
        tagged, answers = self.tag(encoded), []
        for words, tags, marginals in zip(sentences, tagged.tags, tagged.marginals, strict=True):
            probabilities = self.inputs.probabilities(tags, marginals)
            answer = {"tokens": list(words), "tags": tags, "probabilities": probabilities}
            if scheme:
                spans = spans_of(tags, scheme)
                answer["spans"] = [span._asdict() | {"text": " ".join(words[span.start : span.end])} for span in spans]
            answers.append(answer)
        if num_best > 1:
            for answer, best in zip(answers, self.best_tags(encoded, num_best), strict=True):
                answer["best"] = [{"tags": tags, "probability": p} for tags, p in best]
        return answers

    def _map(self, function: Callable[[Any], Any], encoded: EncodedSentences) -> list[Any]:
        """function's row for each sentence; it gets the arrays of a batch."""
        mesh = data_mesh()

        def of_batch(batch: Batch) -> Any:
            return jax.device_get(function(shard_batch(self.inputs.batch_arrays(batch, encoded), mesh)))

        return map_rows(
            encoded.forms,
            of_batch,
            longest=1 << int(encoded.forms.lengths.max(initial=1) - 1).bit_length(),  # the same for most inputs
            shortest=_SHORTEST,
            batch_size=self.config.batch_size,
            tokens_per_batch=_MORE_TOKENS * self.config.tokens_per_batch,
            rows_multiple_of=mesh.size,
        )


@functools.cache
def _best_paths(n: int) -> Callable[[Tagger, dict[str, jax.Array]], Any]:
    def best_paths(model: Tagger, arrays: dict[str, jax.Array]) -> Any:
        emissions = model(arrays["words"], arrays["lengths"], characters=arrays["characters"])
        return model.best_paths(emissions, arrays["lengths"], n)

    return best_paths


__all__ = ["Tagged", "TrainedTagger"]
