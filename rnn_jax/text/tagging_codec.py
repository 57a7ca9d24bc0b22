"""From sentences of words to what a tagger reads, and back to the names of tags."""

import dataclasses
import functools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Int32

from rnn_jax.data.batching import Ragged, lengths_of, pad
from rnn_jax.data.codec import Codec
from rnn_jax.data.digest import digest_of
from rnn_jax.data.kept import kept
from rnn_jax.data.sources import Batch
from rnn_jax.data.tagging_config import WordsConfig
from rnn_jax.errors import UserError
from rnn_jax.metrics.tagging import UNLABELLED
from rnn_jax.tagging.spans import scheme_labels, to_scheme

PAD_ID, UNKNOWN_ID = 0, 1
NUM_SPECIAL = 2  # padding and the unknown word (or character) come before those that have names
_EARLIER_FILE = "tagging_inputs.json"


class EncodedSentences(NamedTuple):
    """n sentences as rows of forms, and what a form is: form 0 is padding, every other one a different spelling."""

    forms: Ragged
    word_ids: Int32[np.ndarray, " F"]
    characters: Int32[np.ndarray, "F C"]
    labels: Ragged | None  # of the model's labels; −1 where the word counts nowhere

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays."""
        labels = {} if self.labels is None else {"labels": self.labels.values}
        forms = {"forms": self.forms.values, "offsets": self.forms.offsets}
        return forms | {"word_ids": self.word_ids, "characters": self.characters} | labels

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> "EncodedSentences":
        """What has these arrays."""
        labels = Ragged(arrays["labels"], arrays["offsets"]) if "labels" in arrays else None
        forms = Ragged(arrays["forms"], arrays["offsets"])
        return cls(forms, arrays["word_ids"], arrays["characters"], labels)


@dataclasses.dataclass(frozen=True, eq=False)
class TaggingCodec(Codec):
    """Words, characters and labels of the training data.

    `label_names` and `scheme` are those of the data; the model's own may differ (BIOES in place of BIO).
    """

    words: tuple[str, ...]
    characters: tuple[str, ...]
    seen_words: tuple[str, ...]
    label_names: tuple[str, ...]
    scheme: str
    model_scheme: str
    lowercase: bool
    max_characters: int
    lowercase_unknown: bool = False  # look an unknown word up in lower case: with vectors, many words are known so only
    earlier_files: ClassVar = (_EARLIER_FILE,)

    @property
    def num_words(self) -> int:
        """Size of the word vocabulary, padding and the unknown word included."""
        return len(self.words) + NUM_SPECIAL

    @property
    def num_characters(self) -> int:
        """Size of the alphabet, padding and the unknown character included."""
        return len(self.characters) + NUM_SPECIAL

    @property
    def model_labels(self) -> tuple[str, ...]:
        """The labels that the model chooses from."""
        if self.model_scheme == self.scheme:
            return self.label_names
        return scheme_labels(self.label_names, self.model_scheme)

    def encode(
        self, tokens: Sequence[Sequence[str]], labels: Sequence[Sequence[str]] | None = None
    ) -> EncodedSentences:
        """Forms, and with `labels` the model's labels, of each sentence; of large data those that were made before."""
        said = [text for side in (tokens, labels or ()) for row in side for text in row]
        lengths = np.array([len(row) for row in tokens], np.int64)

        def make() -> dict[str, np.ndarray]:
            return self._encode(tokens, labels).arrays()

        found = kept(said, ("tagged", self.digest, digest_of(lengths), str(labels is None)), make)
        return EncodedSentences.of(found)

    def _encode(self, tokens: Sequence[Sequence[str]], labels: Sequence[Sequence[str]] | None) -> EncodedSentences:
        form_ids: dict[str, int] = {}
        rows = [[form_ids.setdefault(word, len(form_ids) + 1) for word in sentence] for sentence in tokens]
        word_of = _index(self.words, NUM_SPECIAL)
        word_ids = np.full(len(form_ids) + 1, PAD_ID, np.int32)
        for form, i in form_ids.items():
            fallback = word_of.get(form.lower(), UNKNOWN_ID) if self.lowercase_unknown else UNKNOWN_ID
            word_ids[i] = word_of.get(form.lower() if self.lowercase else form, fallback)
        label_rows = None if labels is None else Ragged.from_rows([self._label_ids(row) for row in labels])
        return EncodedSentences(Ragged.from_rows(rows), word_ids, self._spell(form_ids), label_rows)

    def _spell(self, forms: Iterable[str]) -> Int32[np.ndarray, "F C"]:
        """The characters of each form after a row of padding; of a long word its first and last ones."""
        id_of = _index(self.characters, NUM_SPECIAL)
        forms = list(forms)
        spelled = np.full((len(forms) + 1, self.max_characters), PAD_ID, np.int32)
        head = (self.max_characters + 1) // 2
        for i, form in enumerate(forms, start=1):
            if len(form) > self.max_characters:
                form = form[:head] + form[len(form) - (self.max_characters - head) :]
            spelled[i, : len(form)] = [id_of.get(character, UNKNOWN_ID) for character in form]
        return spelled

    def _label_ids(self, labels: Sequence[str]) -> list[int]:
        id_of = _index(self.model_labels)
        counted = [label for label in labels if label != UNLABELLED]
        if self.scheme:  # in the same scheme too: damaged spans would be impossible for a constrained CRF
            counted = to_scheme(counted, self.scheme, self.model_scheme, strict=False)
        ids = (id_of[label] for label in counted)
        return [-1 if label == UNLABELLED else next(ids) for label in labels]

    def tags(self, label_ids: Sequence[int] | np.ndarray) -> list[str]:
        """The model's labels of a sentence as tags in the scheme of the data; spans spelt wrongly are none."""
        names = self.model_labels
        tags = [names[i] for i in label_ids]
        return to_scheme(tags, self.model_scheme, self.scheme) if self.model_scheme != self.scheme else tags

    def probabilities(self, tags: Sequence[str], marginals: np.ndarray) -> list[float]:
        """The probability of each tag of a sentence, from those of the model's labels (T, L).

        Where the model spells spans in its own way, it is that of all labels which the data may spell so: of B-PER and
        S-PER in BIOES for B-PER in BIO.
        """
        of = functools.partial(_spelt_as, self.model_labels, self.model_scheme, self.scheme)
        return [float(row[of(tag)].sum()) for tag, row in zip(tags, marginals, strict=True)]

    def batch(self, encoded: EncodedSentences, rows: np.ndarray, length: int) -> Batch:
        """What the network reads of these rows; words that count nowhere, padding among them, have weight 0."""
        forms = pad(encoded.forms, rows, length)
        labels = np.full(forms.shape, -1, np.int32) if encoded.labels is None else pad(encoded.labels, rows, length, -1)
        return {
            "words": encoded.word_ids[forms],
            "characters": encoded.characters[forms],
            "lengths": lengths_of(encoded.forms, rows),
            "labels": np.maximum(labels, 0),
            "weights": (labels >= 0).astype(np.float32),
        }

    @classmethod
    def load_earlier(cls, directory: Path) -> "TaggingCodec":
        """Reads tagging_inputs.json."""
        try:
            document = json.loads((directory / _EARLIER_FILE).read_text(encoding="utf-8"))
            values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in document.items()}
            return cls(**values)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise UserError(f"{directory} has no readable codec.json or {_EARLIER_FILE}: {error}") from error


@functools.lru_cache(maxsize=16)
def _index(names: tuple[str, ...], first: int = 0) -> dict[str, int]:
    """Name → number, from `first` on; kept, as predicting asks for it with every few lines."""
    return {name: number for number, name in enumerate(names, start=first)}


_FIRST, _LATER = {"bio": "B", "bioes": "BS", "iob1": "IB"}, {"bio": "I", "bioes": "IE", "iob1": "I"}


@functools.lru_cache(maxsize=1024)
def _spelt_as(names: tuple[str, ...], model_scheme: str, scheme: str, tag: str) -> list[int]:
    """The model's labels that may become this tag of the data."""
    if model_scheme == scheme or tag == "O":
        return [names.index(tag)]
    letter, kind = tag[0], tag[2:]
    meant = "".join(of[model_scheme] for of in (_FIRST, _LATER) if letter in of[scheme])
    return [i for i, name in enumerate(names) if name[0] in meant and name[2:] == kind and name != "O"]


def fit_tagging_codec(
    config: WordsConfig,
    tokens: Sequence[Sequence[str]],
    label_names: tuple[str, ...],
    *,
    scheme: str,
) -> TaggingCodec:
    """The most frequent words (ties in alphabetic order) and all characters of the training sentences.

    Where the labels spell no spans (`scheme` is empty), the model's labels are the data's.
    """
    forms = Counter(word for sentence in tokens for word in sentence)
    counts: Counter[str] = Counter()
    for form, count in forms.items():
        counts[form.lower() if config.lowercase else form] += count
    kept = (word for word in counts if counts[word] >= config.min_count)
    frequent = sorted(kept, key=lambda word: (-counts[word], word))
    return TaggingCodec(
        words=tuple(frequent[: config.vocabulary_size - NUM_SPECIAL]),
        characters=tuple(sorted({character for form in forms for character in form})),
        seen_words=tuple(sorted(forms)),
        label_names=label_names,
        scheme=scheme,
        model_scheme=config.label_scheme if scheme and config.label_scheme != "same" else scheme,
        lowercase=config.lowercase,
        max_characters=config.max_characters,
    )
