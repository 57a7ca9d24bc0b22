"""The knobs of tagged sentences: where they come from, how they are read, how they become batches."""

import dataclasses

from rnn_jax.config import GIVEN, NOT_GIVEN, VOCABULARY, any_of, knob, when
from rnn_jax.data.parts_config import NO_FILE, PartsConfig

SCHEMES = ("iob1", "bio", "bioes")  # of `tagging.spans`; a test compares
IGNORED_TOKENS = ("keep", "drop")
OUTPUT_FORMATS = ("json", "conll")
FITTED = when(init_from=NOT_GIVEN)  # else the words are those of the other run


@dataclasses.dataclass(frozen=True)
class TaggedTextConfig(PartsConfig):
    """Where tagged sentences come from, and how their labels are read."""

    dataset: str = knob(
        "synthetic_tags",
        "TFDS name with a sequence of words and one of labels, as conll2003",
        only_if=NO_FILE,
        short=True,
    )
    train_file: str = knob("", "column file (CoNLL) to train on, instead of --dataset", short=True)
    columns: tuple[str, ...] = knob(
        (),
        "columns of the files: numbers of word and label from 0, as 0,3 or 1,-1; or names (default: first and last, of "
        "CoNLL-U form and upos)",
        only_if=any_of(*(when(**{file: GIVEN}) for file in ("train_file", "validation_file", "test_file", "part"))),
        short=True,
    )
    eval_columns: tuple[str, ...] = knob(
        (),
        "columns of the file that --part names, where they are others than --columns",
        identity=False,
        only_if=when(mode="eval", part=GIVEN),
    )
    token_field: str = knob("", "feature or column with the words (default: tokens or words, else the only one)")
    label_field: str = knob("", "feature or column with the labels (default: the only sequence of classes)")
    ignore_label: tuple[str, ...] = knob(("_",), "words with one of these labels count in no loss and no metric")
    ignored_tokens: str = knob(
        "keep",
        "leave words with an ignored label in the sentences as context, or drop them",
        choices=IGNORED_TOKENS,
    )
    span_scheme: str = knob("auto", "how the labels spell spans (none: they don't)", choices=("auto", "none", *SCHEMES))


@dataclasses.dataclass(frozen=True)
class WordsConfig:
    """How sentences become words, words characters, and both batches."""

    lowercase: bool = knob(False, "fold the case of words; their characters keep it", inherited=VOCABULARY)
    vocabulary_size: int = knob(
        50_000, "most frequent words of the training data that are kept", minimum=3, only_if=FITTED
    )
    min_count: int = knob(1, "rarer words of the training data are unknown", minimum=1, only_if=FITTED)
    max_characters: int = knob(
        20,
        "of longer words the first and last characters are read",
        minimum=2,
        only_if=when(character_encoder=("cnn", "bilstm")),
        inherited=VOCABULARY,
    )
    label_scheme: str = knob("same", "the model's own spelling of spans", choices=("same", *SCHEMES))
    tokens_per_batch: int = knob(1000, "most words in a batch, padding included", minimum=1, short=True)
    batch_size: int = knob(256, "most sentences in a batch", minimum=1)
    num_buckets: int = knob(12, "lengths that batches are padded to; each is compiled once", minimum=1)
    embeddings_file: str = knob(
        "",
        "text file of word vectors to start from (GloVe, word2vec, fastText; also .gz)",
        only_if=FITTED,
    )
    embeddings_words: int = knob(
        50_000,
        "first words of --embeddings_file known beside the training words",
        minimum=0,
        only_if=when(embeddings_file=GIVEN),
    )


@dataclasses.dataclass(frozen=True)
class TaggingAnswersConfig:
    """How a tagger answers."""

    pretokenized: bool = knob(
        False, "lines hold words between spaces, not raw text", identity=False, only_if=when(mode="predict")
    )
    output_format: str = knob(
        "json",
        "how answers are written; columns have room for one sequence",
        choices=OUTPUT_FORMATS,
        identity=False,
        only_if=any_of(when(mode="predict", num_best=1), when(mode="predict", output_format="json")),
    )
    num_best: int = knob(
        1,
        "most probable label sequences to list",
        minimum=1,
        identity=False,
        only_if=when(mode="predict", decoder="crf"),
    )
