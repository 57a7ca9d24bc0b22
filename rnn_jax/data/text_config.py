"""The knobs of labelled texts and of their tokens, shared by experiments on text, and the data that they describe."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from rnn_jax.config import knob
from rnn_jax.data.classification import ClassificationData, LabelledTexts, load_classification, load_labelled_split
from rnn_jax.data.files import SUFFIXES
from rnn_jax.data.ngrams import fit_ngrams
from rnn_jax.data.text_inputs import TextInputs
from rnn_jax.data.vocabulary import UNKNOWN_ID, encode, fit_tokenizer


@dataclasses.dataclass(frozen=True)
class LabelledTextConfig:
    """Where labelled texts come from."""

    dataset: str = knob("synthetic_reviews", "TFDS name with one text feature and one class label, as glue/sst2")
    data_dir: str = knob("", "folder of prepared TFDS data (default: $TFDS_DATA_DIR)", identity=False)
    text_field: str = knob("", "feature or column with the text (default: the only text feature)")
    label_field: str = knob("", "feature or column with the label (default: the only class label)")
    train_split: str = knob("train", "split to train on, slices such as train[:10%] included")
    validation_split: str = knob("", "split that chooses the checkpoint (default: the data's, else cut from train)")
    test_split: str = knob("test", "split to score once at the end; ignored where it has no labels")
    validation_fraction: float = knob(0.1, "share cut from train without a validation split", minimum=0.0, maximum=0.9)
    train_file: str = knob("", "CSV, TSV or JSONL file to train on, instead of --dataset")
    validation_file: str = knob("", "file that chooses the checkpoint (default: cut from --train_file)")
    test_file: str = knob("", "file to score once at the end")


@dataclasses.dataclass(frozen=True)
class TokenConfig:
    """How texts become tokens, and tokens batches."""

    tokenizer: str = knob("word", "unit of the vocabulary", choices=("word", "bpe", "char"))
    vocabulary_size: int = knob(30_000, "most frequent units of the training split that are kept", minimum=3)
    lowercase: bool = knob(True, "fold the case of all texts")
    max_tokens: int = knob(400, "longer texts are cut to this many tokens", minimum=1)
    truncation: str = knob("head", "which part of a long text is kept", choices=("head", "tail", "both"))
    ngram_vocabulary_size: int = knob(0, "most frequent n-grams that get embeddings (0 = none)", minimum=0)
    ngram_orders: tuple[int, ...] = knob((2, 3), "orders of the n-grams of --ngram_vocabulary_size", minimum=1)
    batch_size: int = knob(64, "texts in a batch", minimum=1)
    num_buckets: int = knob(6, "lengths that batches are padded to; each is compiled once", minimum=1)


def load_texts(config: LabelledTextConfig, seed: int) -> ClassificationData:
    """The training, validation and test parts; `seed` draws the validation part where it is cut from train."""
    knobs = {field.name: getattr(config, field.name) for field in dataclasses.fields(LabelledTextConfig)}
    return load_classification(**knobs, seed=seed)


def is_data_file(name: str) -> bool:
    """True for names such as reviews.csv, False for those of splits."""
    return Path(name).suffix.lower() in SUFFIXES


def load_part(config: LabelledTextConfig, name: str, label_names: tuple[str, ...]) -> LabelledTexts:
    """One split of the config's dataset, or one file, labelled with the classes of a trained model."""
    fields = {"text_field": config.text_field, "label_field": config.label_field}
    if is_data_file(name):
        return load_labelled_split(label_names=label_names, file=name, **fields)
    return load_labelled_split(
        label_names=label_names, dataset=config.dataset, data_dir=config.data_dir, split=name, **fields
    )


def fit_inputs(config: TokenConfig, texts: Sequence[str], label_names: tuple[str, ...]) -> TextInputs:
    """The tokenizer and, if the config wants them, the n-grams of the training texts."""
    tokenizer = fit_tokenizer(
        texts, kind=config.tokenizer, vocabulary_size=config.vocabulary_size, lowercase=config.lowercase
    )
    if not config.ngram_vocabulary_size:
        return TextInputs(tokenizer, label_names)
    ngrams = fit_ngrams(
        encode(tokenizer, texts, max_tokens=config.max_tokens, truncation=config.truncation),
        num_tokens=tokenizer.get_vocab_size(),
        orders=config.ngram_orders,
        vocabulary_size=config.ngram_vocabulary_size,
        unknown_id=UNKNOWN_ID,
    )
    return TextInputs(tokenizer, label_names, ngrams)
