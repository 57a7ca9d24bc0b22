"""Buckets and batches: every row once, the same order everywhere, and the cost that is promised."""

import itertools

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from rnn_jax.data.batching import (
    Ragged,
    bucket_lengths,
    epoch_batches,
    num_batches,
    ordered_batches,
    padding_waste,
    permutation,
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


shapes = st.fixed_dictionaries(
    {
        "batch_size": st.integers(1, 9),
        "tokens_per_batch": st.none() | st.integers(1, 200),
    }
)


@hypothesis.given(st.lists(st.integers(0, 40), max_size=60), shapes, st.integers(1, 4), st.integers(0, 5))
def test_every_row_is_seen_once_as_it_is(lengths, shape, rows_multiple_of, epoch):
    ragged = ragged_of(lengths)
    buckets = bucket_lengths(ragged.lengths, 3, 8)
    options = {**shape, "buckets": buckets, "rows_multiple_of": rows_multiple_of}
    for batches in (
        list(epoch_batches(ragged, seed=3, epoch=epoch, **options)),
        list(ordered_batches(ragged, **options)),
    ):
        assert len(batches) == num_batches(ragged.lengths, buckets=buckets, **shape)
        seen = np.concatenate([batch.indices[batch.indices >= 0] for batch in batches] or [np.zeros(0, int)])
        assert sorted(seen) == list(range(len(lengths)))
        partial = 0
        for batch in batches:
            rows, length = batch.tokens.shape
            most = shape["batch_size"]
            if shape["tokens_per_batch"]:
                most = max(1, min(most, shape["tokens_per_batch"] // length))
            real = int(batch.weights.sum())
            partial += real < most
            assert length in buckets
            assert real <= most
            assert rows == -(-most // rows_multiple_of) * rows_multiple_of
            for tokens, count, index, weight in zip(*batch, strict=True):
                expected = np.zeros(length, np.int32)
                if index >= 0:
                    expected[: lengths[index]] = index + 1
                assert tokens.tolist() == expected.tolist()
                assert count == (lengths[index] if index >= 0 else 0)
                assert weight == (index >= 0)
        assert partial <= 1  # the rest of a bucket moves up instead of making a batch of fillers
        dtypes = [{array.dtype for array in arrays} for arrays in zip(*batches, strict=True)]
        assert dtypes in ([], [{np.dtype(d)} for d in ("int32", "int32", "int32", "float32")])


def test_the_rest_of_a_bucket_moves_up():
    ragged = ragged_of([1, 2, 3, 9, 10])
    batches = list(ordered_batches(ragged, batch_size=2, buckets=(4, 16)))
    assert [batch.tokens.shape for batch in batches] == [(2, 4), (2, 16), (2, 16)]
    assert [batch.indices.tolist() for batch in batches] == [[0, 1], [2, 3], [4, -1]]
    assert [batch.weights.tolist() for batch in batches] == [[1, 1], [1, 1], [1, 0]]


def test_padding_waste_counted_by_hand_and_in_batches():
    lengths = np.array([1, 2, 3, 9, 10])
    # 2·4 + 2·16 + 2·16 positions for 25 tokens
    assert padding_waste(lengths, batch_size=2, buckets=(4, 16)) == pytest.approx(1 - 25 / 72)
    assert padding_waste(lengths[:0], batch_size=2, buckets=(4, 16)) == 0
    many = np.random.default_rng(0).integers(0, 50, 333)
    shape = {"batch_size": 8, "buckets": (8, 24, 56), "tokens_per_batch": 200}
    batches = list(epoch_batches(ragged_of(many), seed=0, epoch=0, **shape))
    positions = sum(batch.tokens.size for batch in batches)
    assert padding_waste(many, **shape) == pytest.approx(1 - many.sum() / positions)


def order_of(ragged, seed, epoch, **options):
    shape = {"batch_size": 4, "buckets": (8, 16)} | options
    return [
        batch.indices[batch.indices >= 0].tolist() for batch in epoch_batches(ragged, seed=seed, epoch=epoch, **shape)
    ]


def test_the_order_depends_on_seed_and_epoch_alone():
    ragged = ragged_of(np.random.default_rng(0).integers(0, 16, 50))
    order = order_of(ragged, 1, 0)
    assert order == order_of(ragged, 1, 0)
    others = [order_of(ragged, 1, 1), order_of(ragged, 0, 1), order_of(ragged, 2, 0), order_of(ragged, -1, 0)]
    assert all(other != order for other in others)
    assert len({str(other) for other in others}) == 4
    # The same rows share a batch whatever the number of devices, and a resumed run skips what it has seen.
    assert order_of(ragged, 1, 0, rows_multiple_of=8) == order
    assert order_of(ragged, 1, 0, skip=5) == order[5:]


def test_long_and_short_batches_are_mixed():
    ragged = ragged_of([1] * 400 + [16] * 400)
    lengths = [batch.tokens.shape[1] for batch in epoch_batches(ragged, batch_size=4, buckets=(8, 16), seed=0, epoch=0)]
    changes = sum(a != b for a, b in itertools.pairwise(lengths))
    assert 70 < changes < 130  # 200 batches in random order: 100 on average


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


def test_rows_longer_than_the_buckets_are_refused():
    with pytest.raises(ValueError, match="A row of 9 tokens is longer than the longest bucket, 8"):
        next(epoch_batches(ragged_of([9]), batch_size=2, buckets=(8,), seed=0, epoch=0))
    with pytest.raises(ValueError, match="positive and increasing"):
        num_batches(np.array([1]), batch_size=2, buckets=(8, 4))
