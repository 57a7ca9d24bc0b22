"""N-gram vocabularies against a dictionary count."""

import collections

import numpy as np
import pytest

from rnn_jax.data.batching import Ragged
from rnn_jax.errors import UserError
from rnn_jax.text.ngrams import NGrams, fit_ngrams, load_earlier_ngrams

UNKNOWN = 1


def ragged(*rows):
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return Ragged(np.array([token for row in rows for token in row], np.int32), offsets)


def counted(rows, orders):
    counts = collections.Counter()
    for row in rows:
        for order in orders:
            for start in range(len(row) - order + 1):
                gram = tuple(row[start : start + order])
                if UNKNOWN not in gram:
                    counts[gram] += 1
    return counts


def test_the_most_frequent_are_kept_and_found_where_they_end():
    rng = np.random.default_rng(0)
    rows = [list(map(int, rng.integers(1, 6, size))) for size in (0, 1, 2, 30, 40, 3)]
    ngrams = fit_ngrams(ragged(*rows), num_tokens=6, orders=(2, 3), vocabulary_size=21, unknown_id=UNKNOWN)
    counts = counted(rows, (2, 3))
    assert ngrams.size == 21
    found = collections.Counter()
    id_of = {}
    for row in rows:
        ids = ngrams.lookup(np.array(row, np.int32))
        for column, order in enumerate((2, 3)):
            assert (ids[: order - 1, column] == 0).all()
            for end in range(order - 1, len(row)):
                gram = tuple(row[end - order + 1 : end + 1])
                if ids[end, column]:
                    found[gram] += 1
                    assert id_of.setdefault(gram, ids[end, column]) == ids[end, column]
    assert len(id_of) == len(set(id_of.values())) == 20 and max(id_of.values()) == 20
    assert all(found[gram] == counts[gram] for gram in found)
    left_out = max((count for gram, count in counts.items() if gram not in found), default=0)
    assert min(found.values()) >= left_out


def test_an_ngram_never_crosses_two_texts():
    ngrams = fit_ngrams(ragged([2, 3], [4, 5]), num_tokens=6, orders=(2,), vocabulary_size=10, unknown_id=UNKNOWN)
    assert ngrams.lookup(np.array([3, 4], np.int32)).tolist() == [[0], [0]]
    assert ngrams.lookup(np.array([[2, 3], [4, 5]], np.int32))[:, 1, 0].tolist() != [0, 0]


def test_saving_and_loading(tmp_path):
    ngrams = fit_ngrams(ragged([2, 3, 4, 2, 3]), num_tokens=6, orders=(2, 3), vocabulary_size=4, unknown_id=UNKNOWN)
    arrays = {"codes_2": ngrams.codes[0], "codes_3": ngrams.codes[1], "ids_2": ngrams.ids[0], "ids_3": ngrams.ids[1]}
    with (tmp_path / "n.npz").open("wb") as file:  # as earlier releases kept them
        np.savez_compressed(file, orders=(2, 3), num_tokens=ngrams.num_tokens, **arrays)
    ngrams.save(tmp_path)
    tokens = np.array([[2, 3, 4, 2, 3], [5, 5, 2, 3, 4]], np.int32)
    for again in (NGrams.load(tmp_path), load_earlier_ngrams(tmp_path / "n.npz")):
        np.testing.assert_array_equal(again.lookup(tokens), ngrams.lookup(tokens))
        assert again.size == ngrams.size == 4 and again == ngrams
    (tmp_path / "n.npz").write_bytes(b"no zip")
    with pytest.raises(UserError, match="no n-gram vocabulary"):
        load_earlier_ngrams(tmp_path / "n.npz")


def test_orders_that_cannot_be_numbered_are_refused():
    with pytest.raises(UserError, match="--ngram_orders"):
        fit_ngrams(ragged([2, 3]), num_tokens=30_000, orders=(5,), vocabulary_size=10, unknown_id=UNKNOWN)
