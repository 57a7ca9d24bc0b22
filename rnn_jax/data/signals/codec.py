"""What a model reads signals with: class names, channels, and scales that are fitted on training data only."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np

from rnn_jax.data.batching import take
from rnn_jax.data.codec import Codec
from rnn_jax.data.moments import moments
from rnn_jax.data.signals.sequences import Sequences
from rnn_jax.data.signals.signals import Signals
from rnn_jax.data.signals_config import FrontEndConfig, SignalConfig
from rnn_jax.data.sources import Batch
from rnn_jax.errors import UserError
from rnn_jax.spectrogram import LogMel

_AT_ONCE = 1_000_000  # numbers
_MOST_SOUNDS = 500  # that the scale of a spectrogram is fitted on


@dataclasses.dataclass(frozen=True, eq=False)
class SignalCodec(Codec):
    """The classes, the form of a step, and the scales.

    divisor: of integers, their range. mean, deviation: of each channel, or with a spectrogram of each band, which the
    network scales. statics: of each static feature, after the ratios to groups.
    """

    label_names: tuple[str, ...]
    channels: tuple[str, ...]
    frame: tuple[int, ...]
    steps: int  # of all sequences; 0 where they differ
    longest: int  # in steps
    sample_rate: float
    divisor: float
    scaling: str
    mean: np.ndarray
    deviation: np.ndarray
    is_spectrogram: bool
    static_names: tuple[str, ...]
    static_mean: np.ndarray
    static_deviation: np.ndarray

    def batch(
        self, sequences: Sequences, labels: np.ndarray, statics: np.ndarray, rows: np.ndarray, length: int
    ) -> Batch:
        """What the network reads of these rows; −1 is a row that fills the batch, of label 0 and weight 0."""
        lengths = np.where(rows >= 0, sequences.lengths[rows], 0)
        steps = np.arange(length)
        at = sequences.starts[rows][:, None] + np.minimum(steps, np.maximum(lengths - 1, 0)[:, None])
        mask = (steps < lengths[:, None]).reshape(len(rows), length, *(1 for _ in self.frame))
        signal = np.where(mask, self.scaled(sequences.values[at], mask), np.float32(0))
        batch = {"signal": signal, "lengths": lengths.astype(np.int32), "labels": take(labels, rows)}
        batch["weights"] = (rows >= 0).astype(np.float32)
        if self.static_names:
            batch["static"] = take(statics, rows)
        return batch

    def scaled(self, values: Any, mask: Any, xp: Any = np) -> Any:
        """Values (B, T, *frame) in the network's units; the mask is True at real steps. xp: numpy, or jax.numpy."""
        values = values.astype(np.float32) / np.float32(self.divisor)
        if self.scaling == "sequence":
            axes, real = tuple(range(1, values.ndim - 1)), xp.broadcast_to(mask, values.shape)
            count = xp.maximum(real.sum(axes, keepdims=True), 1).astype(np.float32)
            mean = xp.where(real, values, np.float32(0)).sum(axes, keepdims=True) / count
            values = values - mean
            square = xp.where(real, values * values, np.float32(0)).sum(axes, keepdims=True) / count
            return values / xp.sqrt(xp.where(square > 0, square, np.float32(1)))
        if self.scaling == "none" or self.is_spectrogram:
            return values
        mean, deviation = (
            each.astype(np.float32).reshape(*(1 for _ in values.shape[:-1]), -1) for each in (self.mean, self.deviation)
        )
        return (values - mean) / deviation

    def static(self, values: np.ndarray) -> np.ndarray:
        """Static features (n, S) in the network's units; a missing one is the mean."""
        scaled = (values - self.static_mean) / self.static_deviation
        return np.where(np.isnan(scaled), 0, scaled).astype(np.float32)

    def require_same(self, signals: Signals, name: str) -> None:
        """UserError where other data has steps of another form than those that the model was trained on."""
        if signals.sequences.frame != self.frame:
            raise UserError(
                f"{name}: a step has the shape {signals.sequences.frame}, and the model reads steps of {self.frame}"
                f" (channels {', '.join(self.channels[:8])})."
            )
        rates = signals.form.sample_rate, self.sample_rate
        if all(rates) and rates[0] != rates[1]:
            raise UserError(f"{name} is sound of {rates[0]:g} Hz, and the model reads {rates[1]:g} Hz: convert it.")


def fit_signal_codec(
    config: SignalConfig, front_end: FrontEndConfig, train: Signals, statics: np.ndarray, label_names: tuple[str, ...]
) -> SignalCodec:
    """The codec of a training part, whose sequences may be windows.

    Raises:
      UserError: a spectrogram of what is no sound.
    """
    sequences, spectrogram = train.sequences, front_end.front_end == "log_mel"
    kind = sequences.values.dtype
    divisor = 1.0 if kind.kind == "f" else float(np.iinfo(kind).max) + (kind.kind == "i")
    size = sequences.frame[-1]
    mean, deviation = np.zeros(size), np.ones(size)
    lengths = np.unique(sequences.lengths)
    named = (*train.form.static_names, *(f"{name}_ratio" for name in train.form.static_names))
    steps = int(lengths[0]) if len(lengths) == 1 else 0
    codec = SignalCodec(
        label_names, train.form.channels, sequences.frame, steps, int(lengths[-1]),
        train.form.sample_rate, divisor, config.scaling, mean, deviation, spectrogram, named[: statics.shape[1]],
        *_fitted(statics) if len(statics) else (np.zeros(statics.shape[1]), np.ones(statics.shape[1])),
    )  # fmt: skip
    if spectrogram:
        mean, deviation = _of_bands(log_mel(codec, front_end), codec, sequences)
        if config.scaling == "none":
            mean, deviation = np.zeros_like(mean), np.ones_like(mean)
    elif config.scaling == "standard":
        mean, deviation = _of_channels(sequences.used().reshape(-1, size), divisor)
    return dataclasses.replace(codec, mean=mean, deviation=deviation)


def log_mel(codec: SignalCodec, config: FrontEndConfig) -> LogMel:
    """The spectrogram of the knobs.

    Raises:
      UserError: several channels, no known sample rate, or a window shorter than its hop.
    """
    if codec.frame != (1,):
        raise UserError(f"--front_end=log_mel: one channel of sound is needed; a step has the shape {codec.frame}.")
    if not codec.sample_rate:
        raise UserError("--front_end=log_mel: the data does not say its sample rate; give --sample_rate=HERTZ.")
    window, hop = (round(codec.sample_rate * ms / 1000) for ms in (config.mel_window_ms, config.mel_hop_ms))
    if not 1 <= hop <= window:
        raise UserError(f"--mel_hop_ms={config.mel_hop_ms}: a hop is at least a sample, and at most a window.")
    return LogMel(codec.sample_rate, config.num_mels, window, hop)


def _fitted(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean, deviation) of columns, missing ones left out; 1 for a column that does not vary."""
    mean, deviation = moments(values)
    return mean, np.where(deviation > 0, deviation, 1.0)


def _of_channels(values: np.ndarray, divisor: float) -> tuple[np.ndarray, np.ndarray]:
    """As `_fitted` of values (N, C) / divisor, without a copy of them all in float64."""
    count, size = values.shape
    at_once = max(_AT_ONCE // size, 1)
    pieces = [values[i : i + at_once] for i in range(0, count, at_once)]
    mean = sum(piece.sum(axis=0, dtype=np.float64) for piece in pieces) / count
    square = sum(((piece - mean) ** 2).sum(axis=0) for piece in pieces) / count
    return mean / divisor, np.where(square > 0, np.sqrt(square), divisor) / divisor


def _of_bands(spectrogram: LogMel, codec: SignalCodec, sequences: Sequences) -> tuple[np.ndarray, np.ndarray]:
    chosen = np.unique(np.linspace(0, len(sequences) - 1, min(len(sequences), _MOST_SOUNDS)).astype(int))
    longest = int(sequences.lengths[chosen].max())
    apply = jax.jit(functools.partial(LogMel.__call__, spectrogram))
    frames = []
    for i in chosen:
        batch = codec.batch(sequences, np.zeros(len(sequences), np.int32), np.zeros(0), np.array([i]), longest)
        frames.append(np.asarray(apply(batch["signal"][0, :, 0]))[: spectrogram.num_frames(int(sequences.lengths[i]))])
    return _fitted(np.concatenate(frames).astype(np.float64))
