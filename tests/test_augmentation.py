"""Augmentation: what it does to numbers that say where they came from."""

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.augmentation import Augmentation, mask_steps, scale_channels, time_warp

KEY = jax.random.key(0)
LENGTHS = jnp.array([20, 9, 1])
RAMP = jnp.broadcast_to(jnp.arange(24.0)[None, :, None], (3, 24, 2))


def test_a_warped_ramp_rises_at_other_paces():
    warped = np.asarray(time_warp(RAMP, LENGTHS, 0.8, KEY))
    for row, length in enumerate([20, 9, 1]):
        real = warped[row, :length]
        assert real[0, 0] == 0 and np.isclose(real[-1, 0], length - 1)
        assert (np.diff(real[:, 0]) > 0).all()
        np.testing.assert_array_equal(real[:, 0], real[:, 1])
    assert np.abs(warped[0, :20, 0] - np.arange(20)).max() > 0.5
    slopes = np.diff(warped[0, :20, 0])  # four pieces: the slope changes at three places
    assert (np.abs(np.diff(slopes)) > 1e-4).sum() <= 6
    np.testing.assert_allclose(time_warp(RAMP, LENGTHS, 0.0, KEY)[0, :20], RAMP[0, :20], atol=1e-5)


def test_channels_are_scaled_as_a_whole():
    xs = jax.random.normal(KEY, (3, 5, 4, 2))
    ratios = np.asarray(scale_channels(xs, 0.5, KEY) / xs)
    np.testing.assert_allclose(ratios, np.broadcast_to(ratios[:, :1, :1], ratios.shape), rtol=1e-4)
    assert len(np.unique(ratios[:, 0, 0].round(4))) == 6 and (ratios > 0).all()


def test_a_mask_is_one_span_within_the_row():
    xs = jnp.ones((200, 24, 1))
    lengths = jnp.full(200, 20)
    masked = np.asarray(mask_steps(xs, lengths, 0.5, KEY))[..., 0] == 0
    assert not masked[:, 20:].any()
    assert (np.abs(np.diff(masked.astype(int), axis=1)).sum(axis=1) <= 2).all()
    sizes = masked.sum(axis=1)
    assert sizes.max() <= 11 and 4 < sizes.mean() < 6  # a quarter on the average


def test_behind_the_lengths_are_zeros_and_the_key_decides():
    augment = Augmentation(jitter=0.1, scaling=0.1, time_warp=0.2, mask=0.3)
    once, again, other = (np.asarray(augment(RAMP, LENGTHS, key)) for key in (KEY, KEY, jax.random.key(1)))
    np.testing.assert_array_equal(once, again)
    assert not np.allclose(once, other)
    assert not once[0, 20:].any() and not once[1, 9:].any() and not once[2, 1:].any()
    np.testing.assert_array_equal(Augmentation()(RAMP, LENGTHS, KEY)[0, :20], RAMP[0, :20])
