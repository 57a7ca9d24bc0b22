"""The knobs of where numeric series come from, and of how they are read, cut in time, scaled and windowed."""

import dataclasses

from rnn_jax.config import GIVEN, NOT_GIVEN, any_of, knob, when
from rnn_jax.data.parts_config import NO_FILE, PartsConfig

A_FILE = any_of(when(train_file=GIVEN), when(validation_file=GIVEN), when(test_file=GIVEN), when(mode="predict"))
ID_OR_DATASET = any_of(when(id_column=GIVEN), NO_FILE)
NO_TIMES = "none"
TRANSFORMS = ("none", "log")
CALENDAR = ("auto", "minute", "hour", "weekday", "day", "week", "month", "yearday")


@dataclasses.dataclass(frozen=True)
class SeriesConfig(PartsConfig):
    """Where numeric series come from, and how they are read, cut in time, scaled and windowed."""

    dataset: str = knob(
        "synthetic_series",
        "TFDS name of series, as ett/h1 (one long series a split) or m4/hourly (one an example); embedded: "
        "synthetic_series",
        only_if=NO_FILE,
        short=True,
    )
    test_split: str = knob(
        "test",
        "split to score once at the end",
        only_if=when(train_file=NOT_GIVEN, test_file=NOT_GIVEN),
    )
    validation_fraction: float = knob(
        0.1,
        "share of the rows, the last before the test rows, that chooses the checkpoint; at least one horizon",
        minimum=0.0,
        maximum=0.9,
        only_if=when(validation_split=NOT_GIVEN, validation_file=NOT_GIVEN, split_rows=NOT_GIVEN),
    )
    test_fraction: float = knob(
        0.2,
        "share of the rows, the last ones, to score once at the end, where the data has no test part of its own; at "
        "least one horizon",
        minimum=0.0,
        maximum=0.9,
        only_if=when(validation_file=NOT_GIVEN, test_file=NOT_GIVEN, split_rows=NOT_GIVEN),
    )
    split_rows: tuple[int, ...] = knob(
        (),
        "rows of the training, validation and test parts, in time, as 8640,2880,2880, instead of shares; the rest is "
        "left out",
        minimum=0,
        only_if=when(validation_split=NOT_GIVEN, validation_file=NOT_GIVEN, test_file=NOT_GIVEN),
    )
    train_file: str = knob("", "CSV, TSV or Parquet table to train on, instead of --dataset", short=True)
    validation_file: str = knob("", "table that chooses the checkpoint (default: cut from --train_file)")

    time_column: str = knob(
        "", "column or feature with the times (default: the one that reads as times); none: rows are steps", short=True
    )
    id_column: str = knob(
        "", "column or feature that says which series a row belongs to (default: a dataset's only text)", short=True
    )
    value_field: str = knob("", "feature with the values (default: the only one of numbers)", only_if=NO_FILE)
    target: tuple[str, ...] = knob((), "columns to forecast (default: all of numbers that nothing else uses)")
    past_columns: tuple[str, ...] = knob((), "columns of numbers that help, and are known up to now only")
    known_future: tuple[str, ...] = knob((), "columns of numbers that help, and are known in advance")
    static_columns: tuple[str, ...] = knob(
        (), "columns of numbers or words that say something of a whole series", only_if=ID_OR_DATASET
    )
    calendar: tuple[str, ...] = knob(
        (),
        "features made of the times, each a sine and a cosine; auto: those that vary with the frequency",
        choices=CALENDAR,
    )

    frequency: str = knob("", "step of time, as 15min, h, D, B (weekdays), W, M, Q or Y (default: guessed, and said)")
    season: int | None = knob(
        None, "steps in a season, for the naive forecasts (default: from the frequency)", minimum=1
    )
    date_order: str = knob(
        "auto", "is 03/04 in dates day/month or month/day", choices=("auto", "day", "month"), only_if=A_FILE
    )
    sort: bool = knob(False, "sort rows by time; otherwise rows out of order are refused")
    duplicates: str = knob(
        "refuse", "what to do with several rows of one time of one series", choices=("refuse", "mean", "last")
    )
    gaps: str = knob(
        "refuse",
        "what to do with times that are left out; mask: take their values as missing",
        choices=("refuse", "mask"),
    )
    decimal: str = knob(
        "auto", "what is before the decimals of numbers", choices=("auto", "point", "comma"), only_if=A_FILE
    )
    delimiter: str = knob(
        "auto",
        "what is between the columns of a table",
        choices=("auto", "comma", "semicolon", "tab", "space"),
        only_if=A_FILE,
    )

    context_length: int = knob(96, "steps that a forecast looks back", minimum=1, short=True)
    horizon: int = knob(24, "steps to forecast", minimum=1, short=True)
    stride: int = knob(1, "steps from one training window to the next", minimum=1)
    pad_context: bool = knob(False, "windows may begin before their series does: what is before it counts as missing")
    batch_size: int = knob(32, "windows per update", minimum=1, short=True)
    transform: str = knob(
        "none",
        "of the target before it is scaled; log: forecast the logarithm, for positive values whose seasons and trends "
        "grow with their size (the point of a distribution is then its median)",
        choices=TRANSFORMS,
    )
    scaling: str = knob(
        "standard",
        "how columns are scaled, by their training rows: (x - mean) / standard deviation, x / mean of |x|, or not",
        choices=("standard", "mean_abs", "none"),
    )
    scale_by: str = knob(
        "column",
        "what has a scale of its own: each column, over all series, or each column of each series",
        choices=("column", "series"),
        only_if=when(scaling=("standard", "mean_abs")),
    )
