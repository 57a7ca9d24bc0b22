import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_jax import LSTM, scan_cell
from rnn_jax.masking import lengths_to_mask, reverse_resets, segment_ids_to_mask, segment_ids_to_resets


def pattern(array):
    return ["".join("01"[int(value)] for value in row) for row in np.asarray(array)]


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.int8])
def test_lengths_to_mask(dtype):
    """Lengths 0 and above the maximum included."""
    assert pattern(lengths_to_mask(jnp.asarray([3, 0, 4, 9], dtype), 4)) == ["1110", "0000", "1111", "1111"]


def test_lengths_to_mask_does_not_overflow_small_integers():
    assert lengths_to_mask(jnp.asarray([5, 100], jnp.int8), 300).sum(axis=1).tolist() == [5, 100]


def test_lengths_to_mask_of_one_row_and_of_a_grid():
    assert lengths_to_mask(jnp.asarray(2), 3).tolist() == [True, True, False]
    assert lengths_to_mask(jnp.asarray([[1, 2]]), 2).tolist() == [[[True, False], [True, True]]]


def test_lengths_to_mask_under_x64():
    with jax.enable_x64(True):
        assert pattern(lengths_to_mask(jnp.asarray([1, 2], jnp.int32), 3)) == ["100", "110"]
        assert pattern(lengths_to_mask(jnp.asarray([1, 2], jnp.int64), 3)) == ["100", "110"]


SEGMENTS = jnp.asarray([[1, 1, 2, 2, 3, 0], [1, 0, 0, 2, 2, 0], [0, 0, 0, 0, 0, 0]])


def test_segment_ids_to_mask():
    assert pattern(segment_ids_to_mask(SEGMENTS)) == ["111110", "100110", "000000"]


def test_segment_ids_to_resets():
    """At every first step of a sequence, never at padding."""
    assert pattern(segment_ids_to_resets(SEGMENTS)) == ["101010", "100100", "000000"]


def test_a_chunk_that_continues_a_sequence_starts_none():
    previous = jnp.array([1, 3, 0])
    assert pattern(segment_ids_to_resets(SEGMENTS, previous))[0] == "001010"


def test_a_packed_row_that_ends_in_padding_keeps_its_last_carry():
    segments = jnp.array([[1, 1, 2, 2, 0]])
    cell = LSTM(3)
    params, xs = cell.init(jax.random.key(0), 2), jax.random.normal(jax.random.key(1), (1, 5, 2))
    mask, resets = segment_ids_to_mask(segments), segment_ids_to_resets(segments)
    carry, ys = scan_cell(cell, params, xs, mask=mask, resets=resets)
    alone, _ = scan_cell(cell, params, xs[:, 2:4])
    np.testing.assert_allclose(carry.c, alone.c, rtol=1e-6)
    np.testing.assert_allclose(carry.h, ys[:, 3], rtol=1e-6)


def test_reverse_resets_mark_where_sequences_end():
    assert pattern(reverse_resets(segment_ids_to_resets(SEGMENTS))) == ["010100", "001000", "000000"]
