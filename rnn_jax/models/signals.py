"""Classification of signals: front end → (convolutions) → recurrent stack → pooling → (static features) → classes."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from rnn_jax.augmentation import Augmentation
from rnn_jax.dropout import dropout
from rnn_jax.layers.base import split_key
from rnn_jax.layers.pooling import max_pool, mean_pool
from rnn_jax.losses.cross_entropy import smoothed_cross_entropy
from rnn_jax.masking import lengths_to_mask
from rnn_jax.models.signal_front_ends import Convolutions
from rnn_jax.modules import RNN, Linear, Pooling
from rnn_jax.types import Array, Bool, Cell, Float, Int, Key, Layer

_NUM_STATISTICS = 5


class SignalClassifier(nnx.Module):
    """Class scores of signals.

    x_1 … x_T' = convolutions(front_end(signal))
    ys, last = encoder(x)                                       any layer or cell of ours
    z = dropout(pool(ys, last) ⊕ statistics(signal)) ⊕ static features   ⊕ joins
    logits = z W + b, or with a head relu(z V + d) W + b

    The augmentation and every dropout need a key; without one the model is deterministic. `label_smoothing` is the
    share of the target that the loss spreads over all classes in training.
    """

    LAYERS = (("output", "head", "pooling"), ("encoder",), ("convolutions",), ("front_end",))  # from the head down

    def __init__(
        self,
        encoder: Layer | Cell,
        front_end: Any,
        convolutions: Convolutions | None = None,
        *,
        num_classes: int,
        num_static: int = 0,
        num_numbers: int = 0,
        pooling: str = "last",
        statistics: bool = False,
        head_size: int = 0,
        output_dropout: float = 0.0,
        label_smoothing: float = 0.0,
        augmentation: Augmentation | None = None,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        self.front_end, self.output_dropout, self.label_smoothing = front_end, output_dropout, label_smoothing
        self.augmentation, self.statistics, self.dtype = augmentation or Augmentation(), statistics, dtype
        # nnx.data: NNX takes an attribute for a constant if its first value holds no arrays, as None does.
        self.convolutions: Convolutions | None = nnx.data(convolutions)
        self.encoder = RNN(encoder, (convolutions or front_end).output_size, rngs=rngs)
        self.pooling = Pooling(pooling, self.encoder.output_size, rngs=rngs)
        size = self.pooling.output_size + num_static + _NUM_STATISTICS * num_numbers * statistics
        self.head: Linear | None = nnx.data(Linear(size, head_size, rngs=rngs) if head_size else None)
        self.output = Linear(head_size or size, num_classes, rngs=rngs)

    def __call__(
        self,
        signal: Float[Array, "B T ..."],
        lengths: Int[Array, " B"],
        *,
        static: Float[Array, "B S"] | None = None,
        key: Key | None = None,
    ) -> Float[Array, "B C"]:
        """signal (B, T, *frame), lengths (B,) and static features (B, S) → logits (B, C) in float32."""
        keys = split_key(key, 3)
        if keys[0] is not None:
            signal = self.augmentation(signal, lengths, keys[0])
        xs, mask = self.vectors(signal, lengths)
        pooled = self.pooling(self.encoder.apply(xs, mask=mask, key=keys[1]), mask)
        if self.statistics:
            pooled = jnp.concatenate([pooled, statistics(signal, lengths).astype(pooled.dtype)], axis=-1)
        return self.classes(pooled, static, keys[2])

    def vectors(
        self, signal: Float[Array, "B T ..."], lengths: Int[Array, " B"]
    ) -> tuple[Float[Array, "B J F"], Bool[Array, "B J"]]:
        """What the recurrent stack reads, and which steps of it are real."""
        xs, lengths = self.front_end(signal, lengths)
        xs = xs.astype(self.dtype)
        if self.convolutions is not None:
            xs, lengths = self.convolutions(xs, lengths)
        return xs, lengths_to_mask(lengths, xs.shape[1])

    def classes(
        self, features: Float[Array, "B F"], static: Float[Array, "B S"] | None, key: Key | None = None
    ) -> Float[Array, "B C"]:
        """From the features of the signals, and the static ones, to logits in float32."""
        z = dropout(features, self.output_dropout, key)
        if static is not None:
            z = jnp.concatenate([z, static.astype(z.dtype)], axis=-1)
        if self.head is not None:
            z = jax.nn.relu(self.head(z))
        return self.output(z).astype(jnp.float32)

    def probabilities(self, batch: dict[str, Array]) -> Float[Array, "B C"]:
        """Of the classes, for the signals of a batch."""
        return jax.nn.softmax(self(batch["signal"], batch["lengths"], static=batch.get("static")))

    def loss(self, batch: dict[str, Array], key: Key | None) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Summed loss in nats, and its weight; smoothed with a key only."""
        logits = self(batch["signal"], batch["lengths"], static=batch.get("static"), key=key)
        smoothing = 0.0 if key is None else self.label_smoothing
        return smoothed_cross_entropy(logits, batch["labels"], batch["weights"], smoothing)


def statistics(signal: Float[Array, "B T ..."], lengths: Int[Array, " B"]) -> Float[Array, "B S"]:
    """Mean, deviation, largest, smallest and mean |x_t − x_{t−1}| of each number of a step: (B, 5 F)."""
    xs = signal.reshape(*signal.shape[:2], -1)
    mask = lengths_to_mask(lengths, xs.shape[1])
    mean = mean_pool(xs, mask)
    square = mean_pool((xs - jnp.broadcast_to(mean[:, None], xs.shape)) ** 2, mask)
    change = mean_pool(jnp.abs(xs[:, 1:] - xs[:, :-1]), mask[:, 1:])
    # √ has no gradient at 0, which a constant channel has.
    return jnp.concatenate([mean, jnp.sqrt(square + 1e-8), max_pool(xs, mask), -max_pool(-xs, mask), change], axis=-1)
