"""The knobs of where series with anomalies come from, what counts as normal, and how training reads it."""

import dataclasses

from rnn_jax.config import NOT_GIVEN, knob, knob_of, when
from rnn_jax.data.parts_config import NO_FILE, PartsConfig
from rnn_jax.data.series_config import A_FILE, SeriesConfig

NO_TEST_FILE = when(test_file=NOT_GIVEN)


@dataclasses.dataclass(frozen=True)
class AnomalyConfig(PartsConfig):
    """Where series come from, which rows are normal, and the windows that training reads of these."""

    dataset: str = knob(
        "synthetic_anomalies",
        "TFDS name of series, as telemanom/msl, or several with commas between; embedded: synthetic_anomalies",
        only_if=NO_FILE,
        short=True,
    )
    test_split: str = knob(
        "test",
        "split to score once at the end, whose series continue none; without one, --train_share cuts the series",
        only_if=when(train_file=NOT_GIVEN, test_file=NOT_GIVEN),
    )
    train_file: str = knob("", "CSV, TSV or Parquet table to train on, instead of --dataset", short=True)
    validation_file: str = knob("", "table of normal rows that chooses the checkpoint (default: cut from --train_file)")
    test_file: str = knob("", "table to score; without one, --train_share cuts --train_file", short=True)
    train_share: float = knob(
        0.15,
        "share of each series, its first rows, that is taken as normal; the rest is scored",
        above=0.0,
        below=1.0,
        only_if=NO_TEST_FILE,
    )
    max_train_rows: int | None = knob(
        None, "most rows of each series that are taken as normal (NAB: 750)", minimum=4, only_if=NO_TEST_FILE
    )
    validation_fraction: float = knob(
        0.2,
        "share of the normal rows of each series, the last ones, that chooses the checkpoint and to which errors and"
        " thresholds are fitted",
        above=0.0,
        maximum=0.9,
        only_if=when(validation_split=NOT_GIVEN, validation_file=NOT_GIVEN),
    )

    time_column: str = knob(
        "",
        "column of a table with the times (default: the one that reads as times); rows are steps all the same",
        only_if=A_FILE,
        short=True,
    )
    id_column: str = knob(
        "", "column or feature that says which series a row belongs to (default: a dataset's only text)", short=True
    )
    value_field: str = knob("", "feature with the values (default: the only one of floats)", only_if=NO_FILE)
    target: tuple[str, ...] = knob((), "columns to watch (default: all of numbers that nothing else uses)")
    mark_column: str = knob(
        "",
        "column or feature that marks anomalous rows with 1, others with 0 (default: the only one of zeros and ones"
        " with anomaly in its name); scored by, never trained on",
        short=True,
    )
    input_columns: tuple[str, ...] = knob((), "columns or features of numbers that are read, and not watched")
    sort: bool = knob_of(SeriesConfig, "sort")
    date_order: str = knob_of(SeriesConfig, "date_order")
    decimal: str = knob_of(SeriesConfig, "decimal")
    delimiter: str = knob_of(SeriesConfig, "delimiter")

    scaling: str = knob(
        "standard",
        "of each column of each series, by its training rows: (x - mean) / standard deviation, x / mean of |x|, or not",
        choices=("standard", "mean_abs", "none"),
    )
    bptt: int = knob(
        100, "steps of a training window of a forecaster", minimum=2, only_if=when(model="forecaster"), short=True
    )
    warm_up: int = knob(
        10, "first steps of a training window whose forecasts do not count", minimum=0, only_if=when(model="forecaster")
    )
    window_length: int = knob(
        32, "steps of a window of an autoencoder", minimum=2, only_if=when(model="autoencoder"), short=True
    )
    stride: int | None = knob(
        None,
        "steps from one window to the next (default: half a window of a forecaster, a quarter of an autoencoder's)",
        minimum=1,
    )
    batch_size: int = knob(32, "windows per update", minimum=1, short=True)

    def as_series(self, target: tuple[str, ...], marks: tuple[str, ...], inputs: tuple[str, ...]) -> SeriesConfig:
        """How the readers of series find these columns: marks as known of the past, inputs in advance."""
        return SeriesConfig(
            dataset=self.dataset, data_dir=self.data_dir, train_file=self.train_file, value_field=self.value_field,
            time_column="none", id_column=self.id_column, target=target, past_columns=marks, known_future=inputs,
        )  # fmt: skip
