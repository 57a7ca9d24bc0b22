"""Log-mel spectrograms of sound, frame by frame: frame j sees nothing after sample (j + 1) · hop."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np

from rnn_jax.types import Array, Float, Static

_FLOOR = 1e-6  # of a band's energy, for samples in −1 … 1
_LINEAR_HZ, _LOG_FROM_HZ, _LOG_STEP = 200 / 3, 1000.0, math.log(6.4) / 27  # Slaney's Auditory Toolbox (1998)


@dataclasses.dataclass(frozen=True)
class LogMel(Static):
    """log(Σ_k M[m, k] |X_j[k]|² + 1e-6), X_j the Fourier transform of frame j under a periodic Hann window.

    Frame j holds the `window` samples that end at sample (j + 1) · hop; those before the first are zeros, and so are
    those that the last hop lacks. M: `mel_filters`. sample_rate in hertz; window, hop, fft_size in samples.
    """

    sample_rate: float
    num_mels: int
    window: int
    hop: int

    @property
    def fft_size(self) -> int:
        """The window's length, or the next power of two."""
        return 1 << (self.window - 1).bit_length()

    def num_frames(self, num_samples):
        """Of so many samples, the last hop may be incomplete: an integer, or an array of them."""
        return -(-num_samples // self.hop)

    def __call__(self, samples: Float[Array, "*B T"]) -> Float[Array, "*B J M"]:
        """samples (…, T) → (…, J, num_mels) in float32."""
        count = self.num_frames(samples.shape[-1])
        before = max(self.window - self.hop, 0)
        after = count * self.hop - samples.shape[-1]
        padded = jnp.pad(samples.astype(jnp.float32), [(0, 0)] * (samples.ndim - 1) + [(before, after)])
        starts = before + np.arange(1, count + 1) * self.hop - self.window
        frames = padded[..., starts[:, None] + np.arange(self.window)]
        hann = np.float32(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window))
        spectrum = jnp.fft.rfft(frames * jnp.broadcast_to(hann, frames.shape), n=self.fft_size)
        power = jnp.real(spectrum) ** 2 + jnp.imag(spectrum) ** 2
        filters = mel_filters(self.sample_rate, self.fft_size, self.num_mels).astype(np.float32)
        return jnp.log(power @ jnp.asarray(filters.T) + _FLOOR)


def mel_filters(sample_rate: float, fft_size: int, num_mels: int) -> np.ndarray:
    """(num_mels, fft_size // 2 + 1): triangles of area 1 hertz, evenly apart in mel from 0 to half the sample rate.

    Slaney's scale: linear below 1 kHz, logarithmic above (Auditory Toolbox, 1998); what librosa has as its default.
    """
    highest = _to_mel(np.array(sample_rate / 2))
    edges = _to_hertz(np.linspace(0, highest, num_mels + 2))
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = np.arange(fft_size // 2 + 1) * sample_rate / fft_size
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)


def _to_mel(hertz: np.ndarray) -> np.ndarray:
    linear = hertz / _LINEAR_HZ
    logarithmic = _LOG_FROM_HZ / _LINEAR_HZ + np.log(np.maximum(hertz, _LOG_FROM_HZ) / _LOG_FROM_HZ) / _LOG_STEP
    return np.where(hertz < _LOG_FROM_HZ, linear, logarithmic)


def _to_hertz(mel: np.ndarray) -> np.ndarray:
    turn = _LOG_FROM_HZ / _LINEAR_HZ
    return np.where(mel < turn, mel * _LINEAR_HZ, _LOG_FROM_HZ * np.exp(_LOG_STEP * (np.maximum(mel, turn) - turn)))
