"""Which rows of which series are trained on, chosen by, and scored; and the windows of the first."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from rnn_jax.data.anomaly.codec import AnomalyCodec, fit_anomaly_codec, read_like
from rnn_jax.data.anomaly.reading import marks_of, read_marked
from rnn_jax.data.anomaly.windows import NormalWindows, Window
from rnn_jax.data.anomaly_config import AnomalyConfig
from rnn_jax.data.datasets import split_names
from rnn_jax.data.memory import require_memory
from rnn_jax.data.parts import Data
from rnn_jax.data.series.series import Series, SeriesSet
from rnn_jax.data.series.spacing import counted
from rnn_jax.errors import UserError

_ROUNDING = 1e-9  # 0.15 of 20 rows are 3
_LEAST_ROWS = 2  # of a part: one to forecast from and one to be forecast, or two errors to fit a Gaussian to


class AnomalyPart(NamedTuple):
    """Series, whole, and which rows of them count: bounds[i, 0] … bounds[i, 1]. What lies before is read.

    normal: the part of normal rows, by whose errors baselines get their thresholds; None of that part itself.
    train_ends: of the series of a part of normal rows, where their training rows end; () where they have none.
    """

    name: str
    codec: AnomalyCodec
    series: tuple[Series, ...]
    bounds: np.ndarray
    normal: "AnomalyPart | None" = None
    train_ends: tuple[int, ...] = ()

    @property
    def has_marks(self) -> bool:
        """Are anomalous rows known?"""
        return all(one.past.shape[1] for one in self.series)


def read_anomalies(config: AnomalyConfig, window: Window, seed: int, known: AnomalyCodec | None) -> Data:
    """Reads all parts; the codec is fitted on the training rows, or a known one."""
    cut, notes = _read(config)
    codec, more = fit_anomaly_codec(cut.train, cut.train_ends, config.scaling, has_missing=cut.has_missing)
    if known is not None:
        codec, more = known, ()
    validation = cut.normal(codec)
    parts = {"validation": validation}
    if cut.test:
        parts["test"] = AnomalyPart("test", codec, cut.test, cut.test_bounds, validation)

    def source() -> NormalWindows:
        heads = [one.head(end) for one, end in zip(cut.train.series, cut.train_ends, strict=True)]
        encoded = [codec.encode_series(one) for one in heads]
        normal = [~marks_of(one) for one in heads]
        return NormalWindows(encoded, normal, window, config.batch_size, seed=seed)

    bounds = np.stack([np.zeros(len(cut.train_ends), np.int64), np.asarray(cut.train_ends)], axis=1)
    train_part: Callable[[], AnomalyPart] = lambda: AnomalyPart("train", codec, cut.train.series, bounds)  # noqa: E731
    return Data(functools.cache(source), parts, codec, (*notes, *more, _sizes(cut)), train_part=train_part)


def read_anomaly_part(config: AnomalyConfig, codec: AnomalyCodec, name: str) -> AnomalyPart:
    """One file or split, of which every row counts; the normal rows are the run's own."""
    data = read_like(name, codec, config)
    own, _ = _read(config)
    for one in data.series:
        codec.number_of(one.id)
    return AnomalyPart(name, codec, data.series, _whole(data.series), own.normal(codec))


class _Cut(NamedTuple):
    """What `_read` returns."""

    train: SeriesSet
    train_ends: tuple[int, ...]
    validation: tuple[Series, ...]
    validation_bounds: np.ndarray
    test: tuple[Series, ...]
    test_bounds: np.ndarray

    def normal(self, codec: AnomalyCodec) -> AnomalyPart:
        """The part that errors and thresholds are fitted to."""
        ends = self.train_ends if self.validation is self.train.series else ()
        return AnomalyPart("validation", codec, self.validation, self.validation_bounds, None, ends)

    @property
    def has_missing(self) -> bool:
        return any(np.isnan(one.values).any() for one in (*self.train.series, *self.validation, *self.test))


def _read(config: AnomalyConfig) -> tuple[_Cut, list[str]]:
    """Reads the parts that there are, and cuts the others from the training part."""
    files = {"train": config.train_file, "validation": config.validation_file, "test": config.test_file}
    names = files if config.train_file else {part: files[part] or split for part, split in _splits(config).items()}
    for dataset in config.dataset.split(",") if not config.train_file else ("",):
        splits = [name for part, name in names.items() if name and not files[part]]
        require_memory(filter(None, files.values()), dataset.strip(), splits, config.data_dir)
    train = read_marked(names["train"], config, needs_marks=not names["test"])
    like = dataclasses.replace(config, target=train.columns.target)
    if train.columns.past:
        like = dataclasses.replace(like, mark_column=train.columns.past[0])
    others = {
        part: read_marked(names[part], like, needs_marks=part == "test") if names[part] else None
        for part in ("validation", "test")
    }
    ids = {one.id for one in train.series}
    for other in filter(None, others.values()):
        if strange := [one.id for one in other.series if one.id not in ids and ids != {""}]:
            raise UserError(
                f"{other.name}: the series {strange[0]!r} is none of {train.name}, so that nothing is known of what is"
                " normal in it. Leave it out, or give normal rows of it."
            )
    lengths = np.array([len(one) for one in train.series])
    ends = lengths if others["test"] else _normal_rows(lengths, config)
    notes = [*train.notes, *(note for other in others.values() if other for note in other.notes)]
    notes = list(dict.fromkeys(notes))
    if inside := sum(int(marks_of(one)[:end].sum()) for one, end in zip(train.series, ends, strict=True)):
        notes.append(
            f"warning: {counted(inside, 'row')} marked as anomalous among the normal ones of {train.name}: left out of"
            " the loss, and of errors and thresholds."
        )
    train_ends, validation = ends, others["validation"]
    if validation is None:
        train_ends = ends - np.maximum(np.floor(ends * config.validation_fraction + _ROUNDING), _LEAST_ROWS).astype(int)
        _require_rows(train, train_ends, ends)
        chosen, chosen_bounds = train.series, np.stack([train_ends, ends], axis=1)
    else:
        chosen, chosen_bounds = validation.series, _whole(validation.series)
    if others["test"]:
        test, test_bounds = others["test"].series, _whole(others["test"].series)
    else:
        test, test_bounds = train.series, np.stack([ends, lengths], axis=1)
    return _Cut(train, tuple(map(int, train_ends)), chosen, chosen_bounds, test, test_bounds), notes


def _splits(config: AnomalyConfig) -> dict[str, str]:
    splits = {"train": config.train_split, "validation": config.validation_split, "test": config.test_split}
    for dataset in config.dataset.split(","):
        if splits["test"] == "test" and "test" not in split_names(dataset.strip(), config.data_dir):
            splits["test"] = ""
    return splits


def _normal_rows(lengths: np.ndarray, config: AnomalyConfig) -> np.ndarray:
    rows = np.floor(lengths * config.train_share + _ROUNDING).astype(int)
    return rows if config.max_train_rows is None else np.minimum(rows, config.max_train_rows)


def _require_rows(train: SeriesSet, train_ends: np.ndarray, ends: np.ndarray) -> None:
    short = np.flatnonzero(train_ends < _LEAST_ROWS)
    if len(short):
        one, rows = train.series[short[0]], int(ends[short[0]])
        raise UserError(
            f"{train.name}: {counted(rows, 'normal row')} of the series {one.id!r} ({counted(len(one), 'row')} in all)"
            " are too few to train on and to fit a threshold to. Leave the series out, or raise --train_share."
        )


def _whole(series: Sequence[Series]) -> np.ndarray:
    return np.array([(0, len(one)) for one in series])


def _sizes(cut: _Cut) -> str:
    """What is trained on, chosen by and scored, in words."""
    counts = {"train": sum(cut.train_ends), "validation": int(np.diff(cut.validation_bounds).sum())}
    if cut.test:
        counts["test"] = int(np.diff(cut.test_bounds).sum())
    said = ", ".join(f"{part} {counted(rows, 'row')}" for part, rows in counts.items())
    marked = sum(
        int(marks_of(one)[first:last].sum()) for one, (first, last) in zip(cut.test, cut.test_bounds, strict=True)
    )
    return f"{len(cut.train.series):,} series: {said}, of which {marked:,} are marked as anomalous."
