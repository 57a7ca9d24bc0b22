"""Labelled signals as batches to train on, and as parts to score."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from rnn_jax.data.batching import bucket_lengths
from rnn_jax.data.labelled import class_names_in, class_numbers, listed_classes
from rnn_jax.data.parts import Data, is_file, read_parts
from rnn_jax.data.signals.balanced import BalancedBuckets, class_weights, weighted
from rnn_jax.data.signals.codec import SignalCodec, fit_signal_codec
from rnn_jax.data.signals.from_dataset import read_signal_split
from rnn_jax.data.signals.from_files import read_signal_file
from rnn_jax.data.signals.groups import group_notes, train_and_validation
from rnn_jax.data.signals.signals import Signals
from rnn_jax.data.signals_config import FrontEndConfig, SignalConfig
from rnn_jax.data.sources import Buckets, MakeBatch
from rnn_jax.errors import UserError

_LENGTHS_MULTIPLE_OF = 8  # bucket lengths of sequences that differ: fewer programs, little more padding


class SignalPart(NamedTuple):
    """Windows, or whole sequences, with the numbers of their labels and what fills batches with them.

    recordings: which sequence of the data each is of. statics: in the network's units. buckets: lengths that they are
    padded to.
    """

    signals: Signals
    labels: np.ndarray
    recordings: np.ndarray
    statics: np.ndarray
    buckets: tuple[int, ...]
    make_batch: MakeBatch

    @property
    def lengths(self) -> np.ndarray:
        """Of each."""
        return self.signals.sequences.lengths

    @property
    def has_windows(self) -> bool:
        """Are several of one recording?"""
        return len(self.recordings) > len(np.unique(self.recordings))


def read_signals(config: SignalConfig, front_end: FrontEndConfig, seed: int, known: SignalCodec | None) -> Data:
    """Reads all parts; the codec is fitted on the training part, or a known one with the classes of this data.

    Raises:
      UserError: as `read_parts` and the readers; a label that training does not have; one class only.
    """
    read = read_parts(
        config,
        lambda path: read_signal_file(path, config).labelled(),
        lambda split: read_signal_split(split, config).labelled(),
    )
    train, validation = train_and_validation(read, config.validation_fraction, seed)
    parts = {"train": train, "validation": validation} | ({"test": read.test} if read.test else {})
    notes = [*train.notes, *read.notes, *group_notes(parts, was_cut=read.validation is None)]
    windows, _ = train.in_windows(config.window, config.window_step)
    label_names = class_names_in(windows.name, windows.labels, windows.form.class_names, "sequences")
    codec = known and dataclasses.replace(known, label_names=label_names)
    codec = codec or fit_signal_codec(config, front_end, windows, _statics(config, windows), label_names)
    part_of = functools.partial(signal_part, config, codec)
    scored = {name: part_of(part) for name, part in parts.items() if name != "train"}
    whole = functools.cache(lambda: part_of(train))
    sizes = f"{len(windows.labels):,} to train on, {len(scored['validation'].labels):,} to validate"
    shape = f"{' × '.join(map(str, codec.frame))} numbers a step"
    intro = f"{config.source}: {sizes}, {_steps(windows)} steps, {shape}, classes {listed_classes(label_names)}."
    source = functools.partial(_source, config, whole, seed)
    return Data(source, scored, codec, (*notes, intro, *_class_notes(windows, label_names)), train_part=whole)


def read_signal_part(config: SignalConfig, codec: SignalCodec, name: str) -> SignalPart:
    """One file or split, with the classes of the codec."""
    if is_file(name):
        return signal_part(config, codec, read_signal_file(name, config, _known_channels(config, codec)).labelled())
    return signal_part(config, codec, read_signal_split(name, config).labelled())


def signal_part(config: SignalConfig, codec: SignalCodec, signals: Signals, *, is_scored: bool = True) -> SignalPart:
    """Signals as the network reads them; those that are not scored all have the first label.

    Raises:
      UserError: steps of another form than the codec's, a label that it does not have, nothing to score.
    """
    codec.require_same(signals, signals.name)
    if not signals.labels:
        raise UserError(f"The labels of {signals.name} are hidden, so there is nothing to score; choose another split.")
    windows, recordings = signals.in_windows(config.window, config.window_step)
    labels = np.zeros(len(windows.labels), np.int32)
    if is_scored:
        labels = class_numbers(windows.labels, codec.label_names, windows.places.__getitem__)
    sequences, statics = windows.sequences, codec.static(_statics(config, windows))
    make_batch = functools.partial(codec.batch, sequences, labels, statics)
    return SignalPart(windows, labels, recordings, statics, _buckets(config, sequences.lengths), make_batch)


def to_predict(config: SignalConfig, codec: SignalCodec, path: str) -> SignalPart:
    """A file whose sequences need no labels; UserError as `signal_part`."""
    signals = read_signal_file(path, config, _known_channels(config, codec), need_labels=False)
    return signal_part(config, codec, signals._replace(step_labels=None), is_scored=False)


def _known_channels(config: SignalConfig, codec: SignalCodec) -> tuple[str, ...]:
    """The columns that the model was trained on; "0", "1", … are numbers that a dataset gave, and no names."""
    is_named = config.signal_field or any(name != str(i) for i, name in enumerate(codec.channels))
    return codec.channels if is_named and config.train_file else ()


def _source(config: SignalConfig, whole: Callable[[], SignalPart], seed: int) -> Buckets:
    part = whole()
    sequences = part.signals.sequences
    content = (sequences.values, sequences.starts, sequences.lengths, part.labels)
    options: dict[str, Any] = {
        "content": content,
        "batch_size": config.batch_size,
        "num_buckets": config.num_buckets,
        "seed": seed,
    }
    options |= {"multiple_of": _multiple_of(part.lengths)}
    if config.balanced_batches:
        return BalancedBuckets(part.lengths, part.make_batch, part.labels, **options)
    make_batch = part.make_batch
    if config.class_weights == "balanced":
        make_batch = weighted(make_batch, class_weights(part.labels, int(part.labels.max()) + 1))
    return Buckets(part.lengths, make_batch, **options)


def _multiple_of(lengths: np.ndarray) -> int:
    return _LENGTHS_MULTIPLE_OF if lengths.min() < lengths.max() else int(lengths[0])


def _buckets(config: SignalConfig, lengths: np.ndarray) -> tuple[int, ...]:
    return bucket_lengths(lengths, num_buckets=config.num_buckets, multiple_of=_multiple_of(lengths))


def _statics(config: SignalConfig, signals: Signals) -> np.ndarray:
    """Static features, and with --static_by_group their ratios to the means over their groups."""
    if not config.static_by_group or not signals.statics.size:
        return signals.statics
    _, group = np.unique(np.asarray(signals.groups), return_inverse=True)
    means = np.stack([signals.statics[group == one].mean(axis=0) for one in range(group.max() + 1)])[group]
    return np.concatenate([signals.statics, signals.statics / np.where(means == 0, 1, means)], axis=1)


def _steps(signals: Signals) -> str:
    shortest, longest = int(signals.sequences.lengths.min()), int(signals.sequences.lengths.max())
    return f"{longest:,}" if shortest == longest else f"{shortest:,} to {longest:,}"


def _class_notes(train: Signals, label_names: tuple[str, ...]) -> Iterator[str]:
    if absent := [name for name in label_names if name not in set(train.labels)]:
        yield f"No training example has the label {listed_classes(absent)}."
