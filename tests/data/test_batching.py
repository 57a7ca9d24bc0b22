"""Buckets and batches: every row once, the same order everywhere, and the cost that is promised."""

import itertools

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from rnn_jax.data.batching import (
    Batches,
    Ragged,
    Shapes,
    batch_counts,
    bucket_lengths,
    lengths_of,
    pad,
    padding_waste,
    permutation,
    take,
)


def ragged_of(lengths):
    """Row i holds i + 1 in every position."""
    return Ragged.from_rows([np.full(length, i + 1, np.int32) for i, length in enumerate(lengths)])


def padded_tokens(lengths, buckets):
    return sum(min(bucket for bucket in buckets if bucket >= length) for length in lengths)


def test_ragged():
    ragged = Ragged.from_rows([[1, 2], [], np.array([3])])
    assert ragged.values.tolist() == [1, 2, 3]
    assert ragged.values.dtype == np.int32
    assert ragged.offsets.tolist() == [0, 2, 2, 3]
    assert ragged.lengths.tolist() == [2, 0, 1]
    assert [ragged.row(i).tolist() for i in range(len(ragged))] == [[1, 2], [], [3]]
    assert len(Ragged.from_rows([])) == 0


@hypothesis.given(
    st.lists(st.integers(0, 70), min_size=1, max_size=30), st.integers(1, 4), st.sampled_from([1, 4, 8, 16])
)
def test_buckets_waste_the_least(lengths, num_buckets, multiple_of):
    buckets = bucket_lengths(np.array(lengths), num_buckets, multiple_of)
    assert len(buckets) <= num_buckets
    assert all(bucket % multiple_of == 0 for bucket in buckets)
    grid = sorted({max(-(-length // multiple_of), 1) * multiple_of for length in lengths})
    assert buckets[-1] == grid[-1]
    if len(grid) <= 10:  # every choice of that many buckets, by brute force
        best = min(
            padded_tokens(lengths, chosen)
            for size in range(1, num_buckets + 1)
            for chosen in itertools.combinations(grid, min(size, len(grid)))
            if chosen[-1] == grid[-1]
        )
        assert padded_tokens(lengths, buckets) == best


def test_buckets_at_the_edges():
    assert bucket_lengths(np.array([], np.int64)) == (8,)
    assert bucket_lengths(np.array([0, 0])) == (8,)
    assert bucket_lengths(np.array([8, 80])) == (8, 80)  # no buckets without rows
    assert bucket_lengths(np.array([5, 9, 17]), 8, 8) == (8, 16, 24)
    lengths = np.array([*range(1, 200), 100_000])  # a long row: a coarse grid, but a quick answer
    buckets = bucket_lengths(lengths)
    assert buckets[0] < 1000
    assert 100_000 <= buckets[-1] < 100_400
    with pytest.raises(ValueError, match="must be positive"):
        bucket_lengths(lengths, 0)


shapes = st.builds(Shapes, st.none(), st.integers(1, 9), st.none() | st.integers(1, 200))


@hypothesis.given(st.lists(st.integers(0, 40), max_size=60), shapes, st.integers(0, 5))
def test_every_row_is_in_one_batch(lengths, shape, seed):
    lengths = np.array(lengths, np.int64)
    shape = shape._replace(buckets=bucket_lengths(lengths, 3, 8))
    for order in (np.arange(len(lengths)), permutation(len(lengths), seed)):
        batches = Batches(lengths, order, shape)
        assert len(batches) == sum(count for _, _, count in batch_counts(lengths, shape))
        seen = np.concatenate([rows[rows >= 0] for _, rows in batches] or [np.zeros(0, int)])
        assert sorted(seen) == list(range(len(lengths)))
        partial = 0
        for length, rows in batches:
            most = shape.batch_size
            if shape.tokens_per_batch:
                most = max(1, min(most, shape.tokens_per_batch // length))
            assert length in shape.buckets and len(rows) == most
            assert (lengths[rows[rows >= 0]] <= length).all()
            partial += bool((rows < 0).any())
        assert partial <= 1  # the rest of a bucket moves up instead of making a batch of fillers


def test_the_rest_of_a_bucket_moves_up():
    batches = Batches(np.array([1, 2, 3, 9, 10]), np.arange(5), Shapes((4, 16), 2))
    assert [(length, rows.tolist()) for length, rows in batches] == [(4, [0, 1]), (16, [2, 3]), (16, [4, -1])]
    assert len(Batches(np.zeros(0, np.int64), np.arange(0), Shapes((8,), 2))) == 0


def test_rows_are_padded_and_taken_as_they_are():
    ragged, rows = ragged_of([2, 0, 3]), np.array([2, -1, 0, 1])
    assert pad(ragged, rows, 4).tolist() == [[3, 3, 3, 0], [0] * 4, [1, 1, 0, 0], [0] * 4]
    assert pad(ragged, rows, 3, fill=-1).tolist() == [[3, 3, 3], [-1] * 3, [1, 1, -1], [-1] * 3]
    assert lengths_of(ragged, rows).tolist() == [3, 0, 2, 0]
    assert take(np.array([5, 6, 7]), rows).tolist() == [7, 0, 5, 6]
    assert pad(ragged, rows, 4).dtype == lengths_of(ragged, rows).dtype == np.int32
    for most, expected in ((None, [[3, 3, 3], [1, 1], [3, 3, 3], []]), (2, [[3, 3], [1, 1], [3, 3], []])):
        taken = ragged.take(np.array([2, 0, 2, 1]), most)
        assert [taken.row(i).tolist() for i in range(4)] == expected and taken.values.dtype == np.int32
    assert len(ragged.take(np.array([], np.int64))) == 0


def test_padding_waste_counted_by_hand_and_in_batches():
    lengths = np.array([1, 2, 3, 9, 10])
    # 2·4 + 2·16 + 2·16 positions for 25 tokens
    assert padding_waste(lengths, Shapes((4, 16), 2)) == pytest.approx(1 - 25 / 72)
    assert padding_waste(lengths[:0], Shapes((4, 16), 2)) == 0
    many, shape = np.random.default_rng(0).integers(0, 50, 333), Shapes((8, 24, 56), 8, 200)
    positions = sum(len(rows) * length for length, rows in Batches(many, np.arange(333), shape))
    assert padding_waste(many, shape) == pytest.approx(1 - many.sum() / positions)


def test_the_permutation_is_the_same_on_every_platform_and_version():
    # Written down once: a change would give every resumed run other batches.
    assert permutation(8, 0, 0, 0).tolist() == [3, 2, 1, 6, 0, 7, 4, 5]
    assert permutation(0, 1).tolist() == []


def test_permutations_are_uniform():
    counts = np.zeros((3, 3))
    for seed in range(3000):
        counts[np.arange(3), permutation(3, seed, 7)] += 1
    # standard deviation of a count: √(3000 · 1/3 · 2/3) ≈ 26
    np.testing.assert_allclose(counts, 1000, atol=130)


@pytest.mark.parametrize("num_values", [1, 5, 2**40, 2**64 - 1])
@pytest.mark.parametrize("n", [1, 2, 255, 256, 1000])
def test_a_permutation_is_the_stable_order_of_the_random_numbers(monkeypatch, n, num_values):
    """However many of them agree, in all bits or in the first ones."""
    bits = np.random.default_rng(0).integers(0, num_values, n, dtype=np.uint64)

    class Generator:
        def __init__(self, seeds):
            pass

        def random_raw(self, size):
            return bits[:size]

    monkeypatch.setattr(np.random, "PCG64", Generator)
    assert permutation(n, 0).tolist() == np.argsort(bits, kind="stable").tolist()


def test_a_bucket_longer_than_memory_costs_nothing_where_no_row_needs_it():
    """As of --max_tokens=2e9, and texts of a few words."""
    assert [length for length, _ in Batches(np.array([3, 8]), np.arange(2), Shapes((8, 2**31 - 1), 2))] == [8]


def test_rows_longer_than_the_buckets_are_refused():
    with pytest.raises(ValueError, match="A row of 9 tokens is longer than the longest bucket, 8"):
        Batches(np.array([9]), np.arange(1), Shapes((8,), 2))
    with pytest.raises(ValueError, match="positive and increasing"):
        list(batch_counts(np.array([1]), Shapes((8, 4), 2)))
