"""The knobs of where the texts of a language model come from."""

import dataclasses

from rnn_jax.config import knob
from rnn_jax.data.parts_config import NO_FILE, PartsConfig

DOCUMENTS = ("texts", "lines", "paragraphs")


@dataclasses.dataclass(frozen=True)
class LanguageConfig(PartsConfig):
    """Where the texts of a language model come from."""

    dataset: str = knob(
        "synthetic_language",
        "TFDS name with one text feature: one long text a split, or a document an example; embedded: "
        "synthetic_language, whose entropy is known",
        only_if=NO_FILE,
        short=True,
    )
    train_file: str = knob("", "text or JSONL file to train on, also .gz, instead of --dataset", short=True)
    text_field: str = knob("", "feature or JSONL field with the text (default: the one named text, or the only one)")
    documents: str = knob(
        "texts",
        "what begins and ends by itself: a whole text (of a file, an example, a JSONL row), each of its lines, or each "
        "of its paragraphs; a single text has no end to be learned",
        choices=DOCUMENTS,
    )
