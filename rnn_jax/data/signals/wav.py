"""Sound files: WAV as real numbers in −1 … 1."""

import warnings
from pathlib import Path

import numpy as np
from etils import epy

from rnn_jax.errors import UserError

with epy.lazy_imports():
    from scipy.io import wavfile  # type: ignore[import-untyped]


def read_wav(path: str | Path) -> tuple[float, np.ndarray]:
    """(samples a second, float32 (T, channels)) of a WAV file of 8 to 32 bits a sample, or of real numbers.

    Raises:
      UserError: it cannot be read, or is no WAV file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks of its own that a recorder adds
            rate, samples = wavfile.read(path)
    except OSError as error:
        raise UserError(f"Cannot read the sound {path}: {error.strerror or error}.") from error
    except Exception as error:  # whatever a damaged header leads to
        raise UserError(f"{path} is damaged, or no WAV file: {error}. Other formats: convert them to WAV.") from error
    samples = samples[:, None] if samples.ndim == 1 else samples
    return float(rate), _fractions(samples)


def conversion(path: str, rate: float, channels: int) -> str:
    """A command that resamples a sound."""
    return f"`ffmpeg -i {path} -ar {rate:g} -ac {channels} converted.wav`"


def _fractions(samples: np.ndarray) -> np.ndarray:
    if samples.dtype == np.uint8:  # the one width that is unsigned
        return (samples.astype(np.float32) - 128) / 128
    if samples.dtype.kind == "i":
        return (samples / 2.0 ** (8 * samples.dtype.itemsize - 1)).astype(np.float32)
    return samples.astype(np.float32)
