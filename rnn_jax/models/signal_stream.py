"""A classifier of signals reads one that comes in bit by bit: the carry is kept, and a label is due at any time.

What it says after so many steps is what it says of these steps in one go.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.data.signals.codec import SignalCodec
from rnn_jax.data.signals.parts import SignalPart
from rnn_jax.data.signals.sequences import Sequences
from rnn_jax.errors import UserError
from rnn_jax.layers.base import LayerOutput
from rnn_jax.models.apply import Apply
from rnn_jax.models.signals import SignalClassifier
from rnn_jax.types import Array, Bool, Float


class Pooled(NamedTuple):
    """What any pooling needs to know of the steps so far, each (B, F) or (B, 1).

    weighted, weights: Σ exp(s_t − top) y_t and Σ exp(s_t − top), s the scores of attention and top the largest so far.
    """

    last: Array
    total: Array
    highest: Array
    number: Array
    top: Array
    weighted: Array
    weights: Array


class Reach(NamedTuple):
    """stride: steps that become one vector; context: how many before these it depends on, a multiple of the stride."""

    stride: int
    context: int


def reach(model: SignalClassifier) -> Reach:
    """How far a network looks.

    Raises:
      UserError: it cannot read a signal that comes in bit by bit.
    """
    flag = "--stream_every"
    if model.encoder.layer.reads_backwards:
        raise UserError(f"{flag}: a bidirectional network needs the whole signal; train one that reads forwards.")
    if model.front_end.stride is None:
        raise UserError(f"{flag}: an image is there as a whole; there is nothing to stream.")
    if model.statistics:
        raise UserError(f"{flag}: a network with --statistics needs the whole signal.")
    stride, context = model.front_end.stride, model.front_end.context
    if model.convolutions is not None:
        context += stride * model.convolutions.context
        stride *= model.convolutions.stride
    return Reach(stride, -(-context // stride) * stride)


def labels_as_it_comes(
    apply: Apply, model: SignalClassifier, codec: SignalCodec, part: SignalPart, row: int, every: int
) -> Iterator[tuple[int, np.ndarray]]:
    """(steps read, probabilities (C,)) after every `every` steps of a row of a part, and at its end.

    Raises:
      UserError: as `reach`; not a multiple of the stride; each sequence is scaled by all of its own steps.
    """
    if codec.scaling == "sequence":
        raise UserError(
            "--stream_every: with --scaling=sequence a signal is scaled by all of its steps; train without."
        )
    stride, context = reach(model)
    if every % stride:
        raise UserError(
            f"--stream_every={every}: the network reads {stride} steps as one; give a multiple of {stride}."
        )
    sequences, total = part.signals.sequences, int(part.lengths[row])
    state = None
    for first in range(0, total, every):
        start, end = max(first - context, 0), min(first + every, total)
        piece = Sequences(sequences.values, sequences.starts[[row]] + start, np.array([end - start]))
        batch = codec.batch(piece, part.labels[[row]], part.statics[[row]], np.zeros(1, int), context + every)
        given: dict[str, Any] = {name: batch[name] for name in ("signal", "lengths", "static") if name in batch}
        given["state"] = state or apply(begin, {"lengths": batch["lengths"]})
        state, probabilities = apply(advance, given, skip=(first - start) // stride)
        state = jax.tree.map(lambda leaf: leaf[:1], state)  # without rows that fill several devices
        yield end, np.asarray(probabilities[0])


def begin(model: SignalClassifier, batch: dict[str, Array]) -> Any:
    """(carry, Pooled) of rows of which nothing is read."""
    rows, size = len(batch["lengths"]), model.encoder.output_size
    zeros, zero, lowest = jnp.zeros((rows, size)), jnp.zeros((rows, 1)), jnp.full((rows, size), -jnp.inf)
    state = Pooled(zeros, zeros, lowest, zero, lowest[:, :1], zeros, zero)
    return model.encoder.initial_carry(rows), state


def advance(model: SignalClassifier, batch: dict[str, Any], *, skip: int) -> Any:
    """The state after some more steps, and the probabilities (B, C); `skip` vectors at the front were read before."""
    carry, pooled = batch["state"]
    xs, mask = model.vectors(batch["signal"], batch["lengths"])
    xs, mask = xs[:, skip:], mask[:, skip:]
    encoded = model.encoder.apply(xs, mask=mask, carry=carry)
    pooled = _add(model, pooled, encoded, mask)
    features = _vector(model.pooling.kind, pooled)
    return (encoded.carry, pooled), jax.nn.softmax(model.classes(features, batch.get("static")))


def _add(model: SignalClassifier, pooled: Pooled, encoded: LayerOutput, mask: Bool[Array, "B T"]) -> Pooled:
    ys = encoded.ys.astype(jnp.float32)
    any_real, real = mask.any(axis=1)[:, None], mask[..., None]
    last = jnp.where(any_real, encoded.last.astype(jnp.float32), pooled.last)
    highest = jnp.maximum(pooled.highest, jnp.where(real, ys, -jnp.inf).max(axis=1))
    number = pooled.number + mask.sum(axis=1, dtype=jnp.float32)[:, None]
    total = pooled.total + jnp.where(real, ys, 0).sum(axis=1)
    new = pooled._replace(last=last, total=total, highest=highest, number=number)
    if model.pooling.kind != "attention":
        return new
    scores = model.pooling.query(jnp.tanh(model.pooling.hidden(encoded.ys)))[..., 0].astype(jnp.float32)
    scores = jnp.where(mask, scores, -jnp.inf)
    top = jnp.maximum(pooled.top, scores.max(axis=1, keepdims=True))
    safe = jnp.where(jnp.isfinite(top), top, 0)
    before = jnp.exp(pooled.top - safe)
    shares = jnp.exp(scores - safe)
    weighted = before * pooled.weighted + (shares[..., None] * jnp.where(real, ys, 0)).sum(axis=1)
    return new._replace(top=top, weighted=weighted, weights=before * pooled.weights + shares.sum(axis=1, keepdims=True))


def _vector(kind: str, pooled: Pooled) -> Float[Array, "B F"]:
    """What `Pooling` makes of the steps so far."""
    mean = pooled.total / jnp.maximum(pooled.number, 1)
    highest = jnp.where(pooled.number > 0, pooled.highest, 0)
    parts = {
        "last": [pooled.last],
        "mean": [mean],
        "max": [highest],
        "mean_max": [mean, highest],
        "last_mean_max": [pooled.last, mean, highest],
        "attention": [pooled.weighted / jnp.where(pooled.weights > 0, pooled.weights, 1)],
    }
    return jnp.concatenate(parts[kind], axis=-1)
