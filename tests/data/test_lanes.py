"""Lanes: every token is a label once an epoch, windows go on where they ended, and what begins anew is said."""

import itertools
import tracemalloc
from collections import Counter

import numpy as np
import pytest

from rnn_jax.data.batching import Ragged
from rnn_jax.data.lanes import Lanes
from rnn_jax.errors import UserError

END = 2


def lanes_of(documents, batch_size=3, length=4, *, seed=0, **options):
    return Lanes(Ragged.from_rows(documents), batch_size, length, boundary=END, seed=seed, **options)


def epoch_of(source, epoch=0):
    return [source.batch(epoch * source.steps_per_epoch + step) for step in range(source.steps_per_epoch)]


def read(source, epoch=0):
    """Of each lane the (token, label, reset) of its real steps, one after the other."""
    lanes = None
    for batch in epoch_of(source, epoch):
        lanes = lanes or [[] for _ in batch["tokens"]]
        for lane, steps in enumerate(lanes):
            columns = (batch[name][lane].tolist() for name in ("tokens", "labels", "resets", "weights"))
            rows = list(zip(*columns, strict=True))
            real = [row for row in rows if row[3]]
            assert rows == real + [(0, 0, False, 0)] * (len(rows) - len(real))  # padding is behind, and empty
            steps += [row[:3] for row in real]
    return lanes


def read_by_hand(text, batch_size):
    """The same in plain Python, of a text that is one document."""
    bounds = [round(len(text) * lane / batch_size) for lane in range(batch_size + 1)]
    before = [END, *text]
    return [
        [(before[i], text[i], i == start or before[i] == END) for i in range(start, end)]
        for start, end in itertools.pairwise(bounds)
    ]


@pytest.mark.parametrize("varies", [False, True])
@pytest.mark.parametrize("size", [12, 13, 14, 20, 23, 24, 97])
@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_one_text_against_plain_python(size, batch_size, varies):
    text = list(range(100, 100 + size))
    source = lanes_of([text], batch_size, varies=varies)
    for epoch in range(3):
        lanes = read(source, epoch)
        assert lanes == read_by_hand(text, batch_size)
        assert [label for lane in lanes for _, label, _ in lane] == text


def test_two_lanes_by_hand():
    source = lanes_of([[5, 6, 7, 8, 9, 10, 11]], 2, 3)
    first, second = epoch_of(source)
    assert first["tokens"].tolist() == [[2, 5, 6], [8, 9, 10]] and second["tokens"].tolist() == [[7, 0, 0], [0, 0, 0]]
    assert first["labels"].tolist() == [[5, 6, 7], [9, 10, 11]] and second["labels"].tolist() == [[8, 0, 0], [0, 0, 0]]
    assert first["resets"].tolist() == [[True, False, False]] * 2 and not second["resets"].any()
    assert second["weights"].tolist() == [[1, 0, 0], [0, 0, 0]]
    kinds = {name: values.dtype.name for name, values in first.items()}
    assert kinds == {"tokens": "int32", "labels": "int32", "weights": "float32", "resets": "bool"}
    assert source.lane_length == 4 and source.notes == ("7 tokens to train on, as 2 lanes of 4.",)


DOCUMENTS = [[3, END], [4, 5, END], [6, 7, 8, END], [END], [9, 10, 11, 12, END], [13, 14, END], *([15, 16, END],) * 4]


@pytest.mark.parametrize("varies", [False, True])
def test_documents_come_in_another_order_every_epoch(varies):
    source = lanes_of(DOCUMENTS, 2, 5, varies=varies)
    orders = []
    for epoch in range(6):
        lanes = read(source, epoch)
        labels = [label for lane in lanes for _, label, _ in lane]
        orders.append(labels)
        assert Counter(labels) == Counter(token for row in DOCUMENTS for token in row)
        # Whole documents: what stands before each end is one of them.
        ended, row = [], []
        for label in labels:
            row.append(label)
            if label == END:
                ended.append(row)
                row = []
        assert not row and sorted(ended) == sorted(DOCUMENTS)
        for lane in lanes:
            tokens = [token for token, _, _ in lane]
            assert [label for _, label, _ in lane[:-1]] == tokens[1:]
            assert [reset for _, _, reset in lane] == [i == 0 or token == END for i, token in enumerate(tokens)]
        assert lanes[0][0][0] == END and lanes[1][0][0] == lanes[0][-1][1]
    assert len(set(map(str, orders))) == 6


def test_documents_in_one_order_only_where_there_is_one():
    source = lanes_of([[5, 6, 7, 8, END]], 1, 2)
    assert (
        read(source, 0)
        == read(source, 1)
        == [[(2, 5, True), (5, 6, False), (6, 7, False), (7, 8, False), (8, 2, False)]]
    )


@pytest.mark.parametrize("varies", [False, True])
def test_batches_are_a_function_of_seed_and_step(varies):
    source, again = (lanes_of(DOCUMENTS, 2, 5, seed=7, varies=varies) for _ in range(2))
    steps = 4 * source.steps_per_epoch
    in_order = [source.batch(step) for step in range(steps)]
    for step in np.random.default_rng(0).permutation(steps).tolist():
        for name, values in again.batch(step).items():
            np.testing.assert_array_equal(values, in_order[step][name])
    other = lanes_of(DOCUMENTS, 2, 5, seed=8, varies=varies)
    assert read(other) != read(source) and other.digest() == source.digest()


def test_a_batch_can_be_changed_without_harm():
    source = lanes_of([list(range(10, 40))])
    batch = source.batch(1)
    before = {name: values.copy() for name, values in batch.items()}
    for values in batch.values():
        values[...] = 1
    for name, values in source.batch(1).items():
        np.testing.assert_array_equal(values, before[name])
    assert read(source) == read_by_hand(list(range(10, 40)), 3)


def test_digests_tell_texts_and_their_ends_apart():
    rows = ([[5, 6], [7]], [[5, 6], [7]], [[5], [6, 7]], [[5, 6, 7]], [[5, 7, 6]])
    digests = [lanes_of(row, 1, 2).digest() for row in rows]
    assert digests[0] == digests[1] and len(set(digests)) == 4


def test_a_memory_map_is_read_by_windows(tmp_path):
    np.save(tmp_path / "ids.npy", np.arange(100, 1_000_100, dtype=np.int32))
    values = np.load(tmp_path / "ids.npy", mmap_mode="r")
    tracemalloc.start()
    source = Lanes(Ragged(values, np.array([0, 1_000_000])), 2, 50, boundary=END, seed=0)
    assert source.batch(1)["tokens"][1, :3].tolist() == [500_149, 500_150, 500_151]
    assert tracemalloc.get_traced_memory()[1] < 1_000_000  # bytes, of 4,000,000
    tracemalloc.stop()


def lengths_in(source, epoch):
    lengths = [batch["mask"].sum(axis=1) for batch in epoch_of(source, epoch)]
    return [int(each.max()) for each in lengths]


def test_windows_of_varying_lengths():
    source = lanes_of([list(range(10, 40_010))], 2, 50, seed=3, varies=True)
    lengths = [lengths_in(source, epoch) for epoch in range(3)]
    assert lengths[0] != lengths[1] != lengths[2]
    assert sorted(lengths[0]) == sorted(lengths[1]) == sorted(lengths[2]) and sum(lengths[0]) == 20_000
    # 95 % from N(50, 5²), 5 % from N(25, 5²): a mean of 48.75, whose error of 400 draws is 0.37; one window is cut.
    assert abs(np.mean(lengths[0]) - 48.75) < 1.2
    halves = np.mean(np.array(lengths[0]) < 37.5)
    assert 0.02 < halves < 0.09
    whole = [length for length in lengths[0] if length > 37.5]
    assert 4.3 < np.std(whole) < 5.7
    shapes = {batch[name].shape for batch in epoch_of(source) for name in batch if name != "scale"}
    assert shapes == {(2, max(lengths[0]))}
    for batch, length in zip(epoch_of(source), lengths[0], strict=True):
        np.testing.assert_allclose(batch["scale"], [length / 50] * 2, rtol=1e-6)
        np.testing.assert_array_equal(batch["mask"], batch["weights"] > 0)
        assert batch["mask"].dtype == bool
    other = lanes_of([list(range(10, 40_010))], 2, 50, seed=4, varies=True)
    # Runs with other seeds have the same lengths, in another order: they can share a program.
    assert lengths_in(other, 0) != lengths[0] and sorted(lengths_in(other, 0)) == sorted(lengths[0])


def test_short_windows_that_vary_have_five_steps():
    lengths = lengths_in(lanes_of([list(range(10, 2010))], 2, 2, varies=True), 0)
    assert sorted(lengths)[1] == 5 and sum(lengths) == 1000  # one window is cut


def test_many_windows():
    # Half an hour, were all lengths added up for each.
    source = Lanes(Ragged.from_rows([np.zeros(1_000_000, np.int32)]), 1, 6, boundary=END, seed=0, varies=True)
    assert source.steps_per_epoch > 100_000


def test_masks_only_where_lengths_vary():
    assert "mask" not in lanes_of([list(range(10, 40))]).batch(0)


@pytest.mark.parametrize("varies", [False, True])
@pytest.mark.parametrize(
    ("size", "batch_size", "length", "message"),
    [
        (0, 3, 4, "the training text has no tokens. Give another --train_file or --dataset"),
        (1, 3, 1, "--batch_size=3 is more lanes than the training text has tokens, 1"),
        (2, 3, 1, "--batch_size=3 is more lanes than the training text has tokens, 2"),
        (30, 3, 11, "--bptt=11 is longer than a lane: .* 30 tokens, which --batch_size=3 divides into lanes of 10"),
        (1, 1, 2, "--bptt=2 is longer than a lane: .* 1 tokens, which --batch_size=1 divides into lanes of 1"),
    ],
)
def test_texts_that_are_too_short(size, batch_size, length, message, varies):
    with pytest.raises(UserError, match=message):
        lanes_of([list(range(10, 10 + size))], batch_size, length, varies=varies)


@pytest.mark.parametrize(("size", "batch_size", "length"), [(1, 1, 1), (3, 3, 1), (30, 3, 10), (31, 3, 11)])
def test_texts_that_are_just_long_enough(size, batch_size, length):
    text = list(range(10, 10 + size))
    assert read(lanes_of([text], batch_size, length)) == read_by_hand(text, batch_size)


def test_empty_documents_are_no_labels():
    source = lanes_of([[], [5, 6], [], [7, 8, 9], []], 1, 5)
    for epoch in range(3):
        assert sorted(label for _, label, _ in read(source, epoch)[0]) == [5, 6, 7, 8, 9]
