"""Training, validation and test in time: every series is whole, and its parts are ranges of its rows.

A window of validation or test looks back into earlier parts; what it forecasts lies within its own.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from rnn_jax.data.datasets import split_names, splits_overlap
from rnn_jax.data.memory import require_memory
from rnn_jax.data.series.from_dataset import read_series_split
from rnn_jax.data.series.from_table import read_series_table
from rnn_jax.data.series.joining import Whole, join
from rnn_jax.data.series.series import SeriesSet
from rnn_jax.data.series.spacing import counted, shown
from rnn_jax.data.series_config import SeriesConfig
from rnn_jax.errors import UserError

PARTS = ("train", "validation", "test")
_VALIDATION_SPLITS = ("validation", "dev", "valid")
_ROUNDING = 1e-9  # 0.7 of 10 rows are 7, also where 0.7 is 1 − 0.1 − 0.2


class SeriesParts(NamedTuple):
    """The series, whole, and where their parts are: part p of series i has the rows bounds[i, p] … bounds[i, p + 1].

    bounds: (n, 4) int64, p as in PARTS; what is after bounds[i, 3] belongs to none.
    """

    data: SeriesSet
    bounds: np.ndarray
    notes: tuple[str, ...]

    def has(self, part: str) -> bool:
        """Does a series have rows of this part?"""
        p = PARTS.index(part)
        return bool((self.bounds[:, p + 1] > self.bounds[:, p]).any())


def read_series_parts(config: SeriesConfig) -> SeriesParts:
    """Reads the parts, from files or splits, and cuts in time those that the data does not have.

    Series of one id that are in several parts belong together, the test continuing the training part. A single series
    in each of them is joined as well where its times say that they adjoin.

    Raises:
      UserError: as the readers; parts overlap in time or differ in their columns; nothing to train or validate with.
    """
    train, validation, test = _read(config)
    notes = [*train.notes]
    if validation is None and test is None:
        parts = _cut(train, config)
    else:
        whole = Whole(train.series, np.stack([np.zeros(len(train.series), int), *[_lengths(train)] * 3], axis=1))
        for p, other in ((1, validation), (2, test)):
            if other is not None:
                whole, more = join(whole, other, p, train, config.gaps)
                notes += [note for note in (*other.notes, *more) if note not in notes]
        data = dataclasses.replace(train, series=whole.series)
        bounds = whole.bounds if validation is not None else _cut_validation(whole.bounds, config)
        parts = SeriesParts(data, bounds, ())
    if not parts.has("train"):
        raise UserError(f"{train.name}: there are no rows to train on.")
    if not parts.has("validation"):
        raise UserError(
            f"{train.name}: there are no rows for validation, which chooses the checkpoint: raise"
            " --validation_fraction, or lower --horizon."
        )
    if not parts.has("test"):
        notes.append(f"{config.source} comes without a test part: no test/… is reported.")
    return parts._replace(notes=(*notes, _ranges(parts)))


def read_series(name: str, config: SeriesConfig) -> SeriesSet:
    """Reads a file, or a split of the dataset, by itself."""
    is_split = config.dataset and not config.train_file and "." not in name.partition("[")[0]
    return read_series_split(name, config) if is_split else read_series_table(name, config)


def _read(config: SeriesConfig) -> tuple[SeriesSet, SeriesSet | None, SeriesSet | None]:
    files = {"train": config.train_file, "validation": config.validation_file, "test": config.test_file}
    splits = dict.fromkeys(PARTS, "") if config.train_file else _choose_splits(config, files)
    require_memory(filter(None, files.values()), config.dataset, filter(None, splits.values()), config.data_dir)

    def read(part: str, config: SeriesConfig) -> SeriesSet | None:
        if files[part]:
            return read_series_table(files[part], config)
        return read_series_split(splits[part], config) if splits[part] else None

    train = read("train", config)
    if train is None:
        raise UserError("No series to train on: give --dataset or --train_file.")
    like_train = dataclasses.replace(  # what was guessed for training holds for the others
        config, target=train.columns.target, frequency=train.frequency.text if train.frequency else ""
    )
    return train, read("validation", like_train), read("test", like_train)


def _choose_splits(config: SeriesConfig, files: dict[str, str]) -> dict[str, str]:
    """The split of each part; "" for one that comes from a file or is cut from the training split."""
    if not config.dataset:
        return dict.fromkeys(PARTS, "")
    available = split_names(config.dataset, config.data_dir)
    splits = {"train": config.train_split, "validation": config.validation_split, "test": config.test_split}
    splits = {part: "" if files[part] else split for part, split in splits.items()}
    if config.split_rows:
        return splits | {"validation": "", "test": ""}

    def overlaps(a: str, b: str) -> bool:
        return bool(a and b) and splits_overlap(config.dataset, config.data_dir, a, b)

    if splits["test"] == "test" and ("test" not in available or overlaps("test", splits["train"])):
        splits["test"] = ""
    if not splits["validation"] and not files["validation"]:
        found = (
            name
            for name in _VALIDATION_SPLITS
            if name in available and not overlaps(name, splits["train"]) and not overlaps(name, splits["test"])
        )
        splits["validation"] = next(found, "")
    return splits


def _lengths(data: SeriesSet) -> np.ndarray:
    return np.array([len(series) for series in data.series])


def _cut(data: SeriesSet, config: SeriesConfig) -> SeriesParts:
    lengths = _lengths(data)
    if config.split_rows:
        if len(config.split_rows) != len(PARTS):
            raise UserError(f"--split_rows={','.join(map(str, config.split_rows))}: three numbers are needed.")
        ends = np.minimum(np.cumsum(config.split_rows), lengths[:, None])
        if (short := lengths.max()) < sum(config.split_rows):
            raise UserError(
                f"--split_rows: {data.name} has {short:,} rows, and {sum(config.split_rows):,} are asked for."
            )
        return SeriesParts(data, np.concatenate([np.zeros((len(lengths), 1), int), ends], axis=1), ())
    test = np.floor(lengths * config.test_fraction + _ROUNDING).astype(int)
    test = np.maximum(test, config.horizon) if config.test_fraction else test
    train = np.floor(lengths * (1 - config.test_fraction - config.validation_fraction) + _ROUNDING).astype(int)
    if config.test_fraction + config.validation_fraction >= 1:
        raise UserError(
            f"--validation_fraction={config.validation_fraction} and --test_fraction={config.test_fraction} leave"
            " nothing to train on."
        )
    validation_end = np.maximum(lengths - test, 0)
    train = np.minimum(train, validation_end)
    if config.validation_fraction:
        train = np.minimum(train, np.maximum(validation_end - config.horizon, 0))
    return SeriesParts(data, np.stack([np.zeros_like(train), train, validation_end, lengths], axis=1), ())


def _cut_validation(bounds: np.ndarray, config: SeriesConfig) -> np.ndarray:
    """The last rows of the training part, of series whose training part is longer."""
    if not config.validation_fraction:
        return bounds
    lengths = bounds[:, 1]
    size = np.maximum(np.floor(lengths * config.validation_fraction + _ROUNDING).astype(int), config.horizon)
    bounds = bounds.copy()
    bounds[:, 1] = np.where(size < lengths, lengths - size, lengths)
    return bounds


def _ranges(parts: SeriesParts) -> str:
    """What is trained on, validated and tested with, in words."""
    sums = np.diff(parts.bounds, axis=1).sum(axis=0)
    if len(parts.data.series) > 1:
        rows = ", ".join(f"{part} {counted(int(n), 'row')}" for part, n in zip(PARTS, sums, strict=True) if n)
        return f"{len(parts.data.series):,} series: {rows}."
    (series,), bounds = parts.data.series, parts.bounds[0]
    said = []
    for p, part in enumerate(PARTS):
        if sums[p]:
            until = f" until {shown(series.times[bounds[p + 1] - 1])}" if series.times is not None else ""
            said.append(f"{part} {counted(int(sums[p]), 'row')}{until}")
    return f"In time: {', '.join(said)}."
