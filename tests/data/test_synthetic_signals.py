"""The embedded signals: their classes differ in order alone."""

from random import Random

import numpy as np

from rnn_jax.data.synthetic.signals import CHIRP, HIGH, LOW, record

RNG = Random(5)
LABELS, SIGNALS = zip(*(record(RNG) for _ in range(400)), strict=True)
LABELS = np.array(LABELS)


def test_statistics_tell_nothing():
    """The nearest class mean of standardised statistics and of the spectrum, on the half that did not make them."""

    def numbers(x):
        spectrum = np.abs(np.fft.rfft(x, 120))[:40]
        return [x.mean(), x.std(), x.max(), x.min(), np.abs(np.diff(x)).mean(), *spectrum]

    features = np.array([numbers(x) for x in SIGNALS])
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    centres = np.stack([features[:200][LABELS[:200] == label].mean(axis=0) for label in range(4)])
    found = ((features[200:, None] - centres) ** 2).sum(axis=-1).argmin(axis=1)
    assert (found == LABELS[200:]).mean() < 0.4


def test_the_order_is_to_be_heard():
    """Matched filters for a rise and a fall, of any phase: the two places that fit best."""
    sweep = 2 * np.pi * np.cumsum(LOW + (HIGH - LOW) * (np.arange(CHIRP) + 0.5) / CHIRP)
    rise = np.exp(1j * sweep) * np.sin(np.pi * (np.arange(CHIRP) + 0.5) / CHIRP)

    def label(x):
        fits = np.stack([np.abs(np.correlate(x.astype(complex), f, "valid")) for f in (rise, rise[::-1])])
        first, second = (int(i) for i in _two_best(fits.max(axis=0)))
        return 2 * int(fits[:, first].argmax()) + int(fits[:, second].argmax())

    found = np.array([label(x) for x in SIGNALS])
    assert (found == LABELS).mean() > 0.9


def _two_best(scores):
    places = [(scores[i] + scores[j], i, j) for i in range(len(scores)) for j in range(i + CHIRP, len(scores))]
    return max(places)[1:]
