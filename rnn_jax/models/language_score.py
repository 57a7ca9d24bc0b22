"""How many nats a language model needs for texts: read from the first token to the last, the carry handed on."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from rnn_jax.data.batching import Ragged
from rnn_jax.data.lanes import Lanes
from rnn_jax.models.apply import Apply
from rnn_jax.models.language_model import LanguageModel
from rnn_jax.types import Array, Carry, Float

_LONGEST_WINDOW, _SHORTEST_WINDOW = 1024, 16

Batch = dict[str, np.ndarray]


class Reading(NamedTuple):
    """Of a window −log p of its labels, the features that the head read, and the carry after it."""

    nats: Float[Array, "B T"]
    features: Float[Array, "B T F"]
    carry: Carry


def document_nats(apply: Apply, documents: Ragged, batch_size: int, boundary: int) -> np.ndarray:
    """−log p of every token given all before it in its document, in the order of `documents.values`.

    Each document is read once, in order, from the boundary before it on; documents of like length side by side.
    """
    nats = np.zeros(len(documents.values), np.float32)
    for rows, windows in _side_by_side(documents, batch_size, boundary):
        places = documents.offsets[rows].copy()
        for batch, reading in readings(apply, windows):
            found = np.asarray(jax.device_get(reading.nats))
            for i, real in enumerate(batch["weights"][: len(rows)].sum(axis=1).astype(int)):
                nats[places[i] : places[i] + real] = found[i, :real]
                places[i] += real
    return nats


def lane_nats(apply: Apply, documents: Ragged, batch_size: int, boundary: int) -> float:
    """Σ −log p of all tokens, read as lanes: faster, and a little too much, as each lane begins knowing nothing."""
    batch_size = min(batch_size, max(len(documents.values), 1))
    lane = -(-len(documents.values) // batch_size)
    window = min(window_size(lane), lane // 2 or 1)
    lanes = Lanes(documents, batch_size, window, boundary=boundary, seed=0)
    windows = map(lanes.batch, range(lanes.steps_per_epoch))
    sums = [(reading.nats, batch["weights"]) for batch, reading in readings(apply, windows)]
    return float(sum((found[: len(real)] * real).sum(dtype=np.float64) for found, real in jax.device_get(sums)))


def readings(apply: Apply, windows: Iterable[Batch]) -> Iterator[tuple[Batch, Reading]]:
    """Each window as it is read, going on from the one before it."""
    carry = None
    for batch in windows:
        carry = apply(initial_carry, batch) if carry is None else carry
        reading = apply(read_labels, batch, carry)
        carry = reading.carry
        yield batch, reading


def initial_carry(model: LanguageModel, batch: dict[str, Any]) -> Any:
    """The carry before the first window."""
    return model.initial_carry(len(batch["tokens"]))


def read_labels(model: LanguageModel, batch: dict[str, Any], carry: Any) -> Reading:
    """A window, going on from the carry."""
    read = model.read(batch["tokens"], carry=carry, resets=batch["resets"], mask=batch["weights"] > 0)
    return Reading(model.nats(read.features, batch["labels"]), read.features, read.carry)


def stream_windows(documents: Ragged, size: int, boundary: int) -> Iterator[Batch]:
    """All documents in their order as one lane (1, T), a window of `size` steps at a time.

    Each begins with a reset, at which the boundary is read. documents: the number of the one that a label is of.
    """
    labels = documents.values
    first = documents.offsets[:-1][documents.lengths > 0]
    tokens, resets = np.roll(labels, 1), np.zeros(len(labels), bool)
    tokens[first], resets[first] = boundary, True
    numbers = np.repeat(np.arange(len(documents), dtype=np.int32), documents.lengths)
    lane = {"tokens": tokens, "labels": labels, "resets": resets, "documents": numbers}
    lane["weights"] = np.ones(len(labels), np.float32)
    for start in range(0, len(labels), size):
        window = {name: values[start : start + size] for name, values in lane.items()}
        yield {name: np.pad(values, (0, size - len(values)))[None] for name, values in window.items()}


def _side_by_side(documents: Ragged, batch_size: int, boundary: int) -> Iterator[tuple[np.ndarray, Iterator[Batch]]]:
    """Rows of documents, the longest first; and the windows of each such batch."""
    order = np.argsort(-documents.lengths, kind="stable")
    order = order[documents.lengths[order] > 0]
    batch_size = min(batch_size, max(len(order), 1))
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        yield rows, _windows(documents, rows, batch_size, boundary)


def _windows(documents: Ragged, rows: np.ndarray, batch_size: int, boundary: int) -> Iterator[Batch]:
    lengths = documents.lengths[rows]
    size = window_size(int(lengths.max()))
    for start in range(0, int(lengths.max()), size):
        tokens = np.zeros((batch_size, size + 1), np.int32)
        weights = np.zeros((batch_size, size), np.float32)
        for i, row in enumerate(rows):
            real = int(np.clip(lengths[i] - start, 0, size))
            document = documents.row(row)
            tokens[i, 0] = document[start - 1] if 0 < start <= lengths[i] else boundary
            tokens[i, 1 : real + 1] = document[start : start + real]
            weights[i, :real] = 1
        resets = np.zeros(weights.shape, bool)
        resets[:, 0] = start == 0
        yield {"tokens": tokens[:, :-1], "labels": tokens[:, 1:], "weights": weights, "resets": resets}


def window_size(longest: int) -> int:
    """Steps at once: a power of two, so that there are few shapes, no longer than needed."""
    return min(max(_SHORTEST_WINDOW, 1 << (longest - 1).bit_length()), _LONGEST_WINDOW)
