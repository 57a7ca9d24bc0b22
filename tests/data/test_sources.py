"""Sources: every row once an epoch, a pure function of (seed, step), and the batches that runs of before had."""

import itertools

import numpy as np
import pytest

from rnn_jax.data.batching import Ragged, Shapes, bucket_lengths, permutation
from rnn_jax.data.sources import Buckets, Rows, in_order, map_rows
from rnn_jax.errors import UserError


def fill(rows, length):
    return {"rows": rows, "length": np.full(len(rows), length), "weights": (rows >= 0).astype(np.float32)}


def buckets_of(lengths, seed=1, **options):
    shape = {"batch_size": 4, "num_buckets": 2, "multiple_of": 8} | options
    return Buckets(np.asarray(lengths), fill, content=(np.asarray(lengths),), seed=seed, **shape)


def rows_of(source, steps):
    return [(int(b["length"][0]), b["rows"].tolist()) for b in map(source.batch, steps)]


def batches_of_before(lengths, seed, epoch, *, batch_size, buckets, tokens_per_batch=None):
    """The batches of an epoch as earlier releases dealt them: recorded runs depend on them."""
    order = permutation(len(lengths), seed, epoch, 0)
    bucket_of = np.searchsorted(np.asarray(buckets), lengths, side="left")[order]
    size_of = lambda n: batch_size if tokens_per_batch is None else max(1, min(batch_size, tokens_per_batch // n))  # noqa: E731
    plans, rest = [], order[:0]
    for bucket, length in enumerate(buckets):
        rows, size = np.concatenate([rest, order[bucket_of == bucket]]), size_of(length)
        full = len(rows) // size
        plans += [(length, part) for part in rows[: full * size].reshape(full, size).tolist()]
        rest = rows[full * size :]
    if len(rest):
        plans.append((buckets[-1], [*rest.tolist(), *[-1] * (size_of(buckets[-1]) - len(rest))]))
    return [plans[i] for i in permutation(len(plans), epoch, 1)]


@pytest.mark.parametrize("tokens_per_batch", [None, 50])
def test_batches_are_those_of_before(tokens_per_batch):
    lengths = np.random.default_rng(0).integers(0, 40, 103)
    source = buckets_of(lengths, num_buckets=3, tokens_per_batch=tokens_per_batch)
    shapes = {"batch_size": 4, "buckets": bucket_lengths(lengths, 3, 8), "tokens_per_batch": tokens_per_batch}
    expected = [batch for epoch in range(3) for batch in batches_of_before(lengths, 1, epoch, **shapes)]
    assert source.steps_per_epoch * 3 == len(expected)
    assert rows_of(source, range(len(expected))) == expected
    # In any order, so that a resumed run sees the same ones.
    some = [len(expected) - 1, 0, 5, source.steps_per_epoch, 3]
    assert rows_of(source, some) == [expected[step] for step in some]


def test_seeds_have_other_rows_in_batches_of_the_same_shapes():
    lengths = np.random.default_rng(0).integers(0, 16, 50)
    one, other = (rows_of(buckets_of(lengths, seed), range(26)) for seed in (1, 2))
    assert one != other and [length for length, _ in one] == [length for length, _ in other]


def test_long_and_short_batches_are_mixed():
    lengths = [length for length, _ in rows_of(buckets_of([1] * 400 + [16] * 400), range(200))]
    changes = sum(a != b for a, b in itertools.pairwise(lengths))
    assert 70 < changes < 130  # 200 batches in random order: 100 on average


def test_the_longest_batch_is_known_before():
    batch = buckets_of([1, 2, 3, 9, 10], batch_size=2).longest()
    assert batch["length"].tolist() == [16, 16] and batch["rows"].tolist() == [4, -1]


def test_no_rows_are_refused():
    with pytest.raises(UserError, match="the training part is empty"):
        buckets_of([])
    with pytest.raises(UserError, match="the training part is empty"):
        Rows({"x": np.zeros((0, 3))}, 2, seed=0)


def test_digests_tell_rows_and_their_order_apart():
    digests = [buckets_of(lengths).digest() for lengths in ([1, 2, 3], [1, 2, 3], [3, 2, 1], [1, 2, 4])]
    assert digests[0] == digests[1] and len(set(digests)) == 3
    columns = {"x": np.arange(6.0).reshape(3, 2), "y": np.arange(3)}
    changed = columns | {"y": np.array([0, 2, 1])}
    assert (
        Rows(columns, 2, seed=0).digest()
        == Rows(dict(columns), 2, seed=1).digest()
        != Rows(changed, 2, seed=0).digest()
    )


def test_rows_of_any_rank_once_an_epoch():
    columns = {"image": np.arange(5 * 2 * 3).reshape(5, 2, 3), "label": np.arange(5, dtype=np.int32)}
    source = Rows(columns, 2, seed=0)
    assert source.steps_per_epoch == 3
    for epoch in range(2):
        batches = [source.batch(3 * epoch + i) for i in range(3)]
        labels = np.concatenate([b["label"][b["weights"] > 0] for b in batches])
        assert sorted(labels.tolist()) == [0, 1, 2, 3, 4]
        for batch in batches:
            assert batch["image"].shape == (2, 2, 3)
            real = batch["weights"] > 0
            np.testing.assert_array_equal(batch["image"][real], columns["image"][batch["label"][real]])
    assert batches[-1]["weights"].tolist() == [1, 0] and not batches[-1]["image"][1].any()
    assert [source.batch(i)["label"].tolist() for i in (4, 1)] == [source.batch(i)["label"].tolist() for i in (4, 1)]


def test_rows_are_mapped_in_their_order():
    lengths = np.array([3, 20, 0, 17, 5])
    seen = []

    def double(batch):
        seen.append((int(batch["length"][0]), len(batch["rows"])))
        return {"twice": 2 * batch["rows"], "length": batch["length"]}

    found = map_rows(lengths, fill, double, buckets=(16, 32, 40), batch_size=2)
    assert [row["twice"] for row in found] == [0, 2, 4, 6, 8]
    # Of 3, 0 and 5, the last does not fill a batch and moves up to 20; 17, left there, moves up to 40.
    assert [row["length"] for row in found] == [16, 32, 16, 40, 32]
    assert seen == [(16, 2), (32, 2), (40, 2)]
    one = map_rows(lengths[:1], fill, double, buckets=(16, 32, 40), batch_size=8)
    assert len(one) == 1 and seen[-1][1] == 1  # a single row is a batch of one
    assert map_rows(lengths[:0], fill, double, buckets=(16, 32, 40), batch_size=8) == []


def test_in_order_gives_rows_and_batch():
    ragged = Ragged.from_rows([[1], [2, 2], [3]])
    pairs = list(in_order(ragged.lengths, fill, Shapes((1, 2), 2)))
    assert [(rows.tolist(), batch["rows"].tolist()) for rows, batch in pairs] == [([0, 2], [0, 2]), ([1, -1], [1, -1])]
