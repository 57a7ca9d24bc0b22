"""N-grams of tokens as ids: the most frequent ones of the training data, looked up at every step.

An n-gram of order n at step t is (token_{t−n+1}, …, token_t). Id 0 is "none": an n-gram that is not in the vocabulary
or would begin before the text.
"""

import dataclasses
from pathlib import Path

import numpy as np

from rnn_jax.data.batching import Ragged
from rnn_jax.data.codec import Codec
from rnn_jax.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class NGrams(Codec):
    """The vocabulary: orders, the number of token ids, and per order the sorted codes with their ids."""

    orders: tuple[int, ...]
    num_tokens: int
    codes: tuple[np.ndarray, ...]
    ids: tuple[np.ndarray, ...]

    @property
    def size(self) -> int:
        """The number of ids, "none" included."""
        return 1 + sum(len(codes) for codes in self.codes)

    def lookup(self, tokens: np.ndarray) -> np.ndarray:
        """tokens (…, T) → ids (…, T, number of orders), int32."""
        found = np.zeros((*tokens.shape, len(self.orders)), np.int32)
        for column, (order, codes, ids) in enumerate(zip(self.orders, self.codes, self.ids, strict=True)):
            if not len(codes) or tokens.shape[-1] < order:
                continue
            seen = _encode(tokens, order, self.num_tokens)
            at = np.minimum(np.searchsorted(codes, seen), len(codes) - 1)
            found[..., order - 1 :, column] = np.where(codes[at] == seen, ids[at], 0)
        return found


def fit_ngrams(
    texts: Ragged, *, num_tokens: int, orders: tuple[int, ...], vocabulary_size: int, unknown_id: int
) -> NGrams:
    """The `vocabulary_size` most frequent n-grams of the orders together; ties go to the lower code.

    N-grams that contain the unknown word are left out.

    Raises:
      UserError: no order, or one for which token ids do not fit into 64-bit codes.
    """
    if not orders:
        raise UserError(
            "--ngram_orders is empty: give orders such as 2,3, or --ngram_vocabulary_size=0 for no n-grams."
        )
    codes, counts, columns = [], [], []
    for column, order in enumerate(orders):
        if order * np.log2(max(num_tokens, 2)) >= 63:
            raise UserError(
                f"--ngram_orders: {order}-grams of {num_tokens} words are too many to number; lower either."
            )
        seen = _encode(texts.values.astype(np.int64), order, num_tokens)
        unique, count = np.unique(seen[_inside(texts, order, unknown_id)], return_counts=True)
        codes.append(unique)
        counts.append(count)
        columns.append(np.full(len(unique), column))
    all_codes, all_columns = np.concatenate(codes), np.concatenate(columns)
    best = np.lexsort((all_codes, all_columns, -np.concatenate(counts)))[: vocabulary_size - 1]
    chosen_codes, chosen_ids = [], []
    for column in range(len(orders)):
        rank = np.flatnonzero(all_columns[best] == column)
        by_code = np.argsort(all_codes[best[rank]])
        chosen_codes.append(all_codes[best[rank]][by_code])
        chosen_ids.append((rank[by_code] + 1).astype(np.int32))
    return NGrams(tuple(orders), num_tokens, tuple(chosen_codes), tuple(chosen_ids))


def _encode(tokens: np.ndarray, order: int, num_tokens: int) -> np.ndarray:
    """One number for the n-gram that ends at each step from n − 1 on: its tokens as digits in base `num_tokens`."""
    steps = tokens.shape[-1] - order + 1
    code = np.zeros((*tokens.shape[:-1], max(steps, 0)), np.int64)
    for k in range(order):
        code = code * num_tokens + tokens[..., k : k + steps]
    return code


def _inside(texts: Ragged, order: int, unknown_id: int) -> np.ndarray:
    """For each window of the joined texts: does it lie within one text and hold known words only?"""
    if len(texts.values) < order:
        return np.zeros(0, bool)
    row = np.repeat(np.arange(texts.num_rows), texts.lengths)
    windows = np.lib.stride_tricks.sliding_window_view(texts.values, order)
    return (row[: len(row) - order + 1] == row[order - 1 :]) & ~(windows == unknown_id).any(axis=-1)


def load_earlier_ngrams(path: Path) -> NGrams:
    """Reads the ngrams.npz of earlier releases.

    Raises:
      UserError: the file is missing or unreadable.
    """
    try:
        with np.load(path) as file:
            orders = tuple(int(n) for n in file["orders"])
            codes = tuple(file[f"codes_{n}"] for n in orders)
            return NGrams(orders, int(file["num_tokens"]), codes, tuple(file[f"ids_{n}"] for n in orders))
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{path} is no n-gram vocabulary of a run: {error}. Train again in a new --workdir.") from error
