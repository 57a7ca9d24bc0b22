"""The knobs of where labelled texts come from."""

import dataclasses

from rnn_jax.config import knob
from rnn_jax.data.parts_config import NO_FILE, PartsConfig


@dataclasses.dataclass(frozen=True)
class LabelledTextConfig(PartsConfig):
    """Where labelled texts come from."""

    dataset: str = knob(
        "synthetic_reviews",
        "TFDS name with one text feature and one class label, as glue/sst2; embedded: synthetic_reviews and, for long "
        "memories, synthetic_memory",
        only_if=NO_FILE,
        short=True,
    )
    train_file: str = knob("", "CSV, TSV or JSONL file to train on, instead of --dataset", short=True)
    text_field: str = knob("", "feature or column with the text (default: the only text feature)")
    label_field: str = knob("", "feature or column with the label (default: the only class label)")
