"""Log-mel spectrograms against SciPy's Fourier transforms and filters computed triangle by triangle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal as scipy_signal

from rnn_jax.spectrogram import LogMel, mel_filters

RATE, WINDOW, HOP, MELS = 8000, 200, 80, 40
LOG_MEL = LogMel(RATE, MELS, WINDOW, HOP)


def mel_to_hertz(mel):
    """Slaney: 3 mel are 200 Hz up to 1 kHz (15 mel), above 27 mel are a factor of 6.4."""
    return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)


def triangles(rate, size, count):
    highest = 15 + 27 * np.log(rate / 2 / 1000) / np.log(6.4)
    edges = [mel_to_hertz(highest * i / (count + 1)) for i in range(count + 2)]
    filters = np.zeros((count, size // 2 + 1))
    for m in range(count):
        low, centre, high = edges[m : m + 3]
        for k in range(size // 2 + 1):
            hertz = k * rate / size
            if low < hertz < centre:
                filters[m, k] = (hertz - low) / (centre - low)
            elif centre <= hertz < high:
                filters[m, k] = (high - hertz) / (high - centre)
        filters[m] *= 2 / (high - low)
    return filters


def test_filters_are_triangles_of_equal_area():
    np.testing.assert_allclose(mel_filters(RATE, 256, MELS), triangles(RATE, 256, MELS), atol=1e-12)


def test_the_spectrogram_is_that_of_scipy():
    samples = np.random.default_rng(0).normal(size=1234).astype(np.float32) * 0.1
    before, after = WINDOW - HOP, -len(samples) % HOP
    padded = np.concatenate([np.zeros(before), samples, np.zeros(after)])
    hann = scipy_signal.get_window("hann", WINDOW)
    _, _, transform = scipy_signal.stft(
        padded, RATE, hann, WINDOW, WINDOW - HOP, nfft=256, boundary=None, padded=False, scaling="spectrum"
    )
    power = np.abs(transform * hann.sum()) ** 2
    expected = np.log(triangles(RATE, 256, MELS) @ power + 1e-6).T
    found = LOG_MEL(jnp.asarray(samples))
    assert found.shape == expected.shape == (16, MELS)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_a_frame_sees_nothing_of_the_future():
    samples = jnp.asarray(np.random.default_rng(1).normal(size=800).astype(np.float32))
    slope = jax.jacobian(lambda s: LOG_MEL(s)[3].sum())(samples)
    used = np.flatnonzero(np.asarray(slope))
    assert used.max() == 4 * HOP - 1 and used.min() >= 4 * HOP - WINDOW


@pytest.mark.parametrize("steps", [1, 80, 81])
def test_an_incomplete_hop_is_a_frame(steps):
    assert LOG_MEL(jnp.zeros((2, steps))).shape == (2, LOG_MEL.num_frames(steps), MELS)
    np.testing.assert_allclose(LOG_MEL(jnp.zeros((1, steps))), np.log(1e-6), rtol=1e-6)


def test_the_spectrogram_is_that_of_librosa():
    """Numbers of librosa 0.11.0: log(mel @ |stft|² + 1e-6), n_fft=256, win_length=200, hop_length=80, center=False, of
    the same samples behind 120 zeros (and 28 on either side, for librosa puts a window into the middle of n_fft)."""
    samples = np.sin(0.05 * np.arange(400) ** 1.3) * 0.5
    found = np.asarray(LOG_MEL(jnp.asarray(samples, jnp.float32)))
    np.testing.assert_allclose(found[0, ::8], [-0.64782, -6.43871, -9.381, -11.43446, -12.92262], atol=1e-3)
    np.testing.assert_allclose(found[2, ::8], [-9.57, -4.00941, -13.71343, -13.81436, -13.81548], atol=1e-3)
    np.testing.assert_allclose(found[4, ::8], [-13.3031, 1.3654, -13.62265, -13.8124, -13.81543], atol=1e-3)
    assert found.sum() == pytest.approx(-2086.332, abs=0.05)
