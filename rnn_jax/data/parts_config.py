"""The knobs of where the parts of the data come from."""

import dataclasses

from rnn_jax.config import NOT_GIVEN, knob, when

NO_FILE = when(train_file=NOT_GIVEN)
NO_VALIDATION_FILE = when(train_file=NOT_GIVEN, validation_file=NOT_GIVEN)


@dataclasses.dataclass(frozen=True)
class PartsConfig:
    """Where the parts of the data come from."""

    dataset: str = knob("", "TFDS name, as glue/sst2", only_if=NO_FILE, short=True)
    data_dir: str = knob(
        "",
        "folder of prepared TFDS data (default: $TFDS_DATA_DIR)",
        identity=False,
        only_if=when(mode=("train", "eval"), train_file=NOT_GIVEN),
        short=True,
    )
    train_split: str = knob("train", "split to train on, slices such as train[:10%] included", only_if=NO_FILE)
    validation_split: str = knob(
        "", "split that chooses the checkpoint (default: the data's, else cut from train)", only_if=NO_VALIDATION_FILE
    )
    test_split: str = knob(
        "test",
        "split to score once at the end; ignored where it has no labels",
        only_if=when(train_file=NOT_GIVEN, test_file=NOT_GIVEN),
    )
    validation_fraction: float = knob(
        0.1,
        "share cut from train without a validation split",
        minimum=0.0,
        maximum=0.9,
        only_if=when(validation_split=NOT_GIVEN, validation_file=NOT_GIVEN),
    )
    train_file: str = knob("", "file to train on, instead of --dataset", short=True)
    validation_file: str = knob("", "file that chooses the checkpoint (default: cut from --train_file)")
    test_file: str = knob("", "file to score once at the end", short=True)

    @property
    def source(self) -> str:
        """What the user calls the data."""
        return self.train_file or self.dataset
