"""Language models: tokens → embedding → recurrent stack → probabilities of the next token."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from rnn_jax.dropout import dropout, variational_dropout, word_dropout
from rnn_jax.layers.base import split_key
from rnn_jax.modules import RNN, Embedding, Linear
from rnn_jax.types import Array, Bool, Carry, Cell, Float, Int, Key, Layer

_MOST_NUMBERS = 2**22  # log probabilities that exist at once: 16 MiB


class Read(NamedTuple):
    """What a model makes of tokens: what the head reads, the outputs after dropout and before, the carry after them."""

    features: Float[Array, "B T F"]
    dropped: Float[Array, "B T H"]
    ys: Float[Array, "B T H"]
    carry: Carry


class LanguageModel(nnx.Module):
    """Probabilities of each token, given those before it.

    x_t = E[token_t]                     embedding; dropout of whole rows
    y_t, carry = stack(x_t, carry)       any layer or cell of ours
    f_t = dropout(y_t)                   (P, a projection to the size of the embeddings, where the head is tied)
    p(token_{t+1}) = head(f_t)           `language_heads`

    Every dropout needs a key; without one the model is deterministic.
    """

    LAYERS = (("head", "projection"), ("encoder",), ("embedding",))  # from the head down

    def __init__(
        self,
        stack: Layer | Cell,
        head: Any,
        *,
        vocabulary_size: int,
        embedding_size: int,
        projected_size: int = 0,
        word_dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        output_dropout: float = 0.0,
        variational_output: bool = False,
        activation_penalty: float = 0.0,
        temporal_penalty: float = 0.0,
        unknown_id: int = 1,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        self.word_dropout, self.output_dropout, self.variational_output = (
            word_dropout,
            output_dropout,
            variational_output,
        )
        self.activation_penalty, self.temporal_penalty = activation_penalty, temporal_penalty
        self.vocabulary_size, self.unknown_id, self.dtype = vocabulary_size, unknown_id, dtype
        self.embedding = Embedding(vocabulary_size, embedding_size, dropout=embedding_dropout, rngs=rngs)
        self.encoder = RNN(stack, embedding_size, rngs=rngs)
        size = self.encoder.output_size
        self.projection: Linear | None = nnx.data(None)
        if projected_size and projected_size != size:
            self.projection = Linear(size, projected_size, rngs=rngs)
        self.head = head(projected_size or size, rngs=rngs)

    def read(
        self,
        tokens: Int[Array, "B T"],
        *,
        carry: Carry | None = None,
        resets: Bool[Array, "B T"] | None = None,
        mask: Bool[Array, "B T"] | None = None,
        key: Key | None = None,
    ) -> Read:
        """tokens (B, T), going on from `carry` where it is given."""
        keys = split_key(key, 4)
        tokens = word_dropout(tokens, self.word_dropout, keys[0], unknown_id=self.unknown_id)
        xs = self.embedding(tokens, key=keys[1]).astype(self.dtype)
        out = self.encoder.apply(xs, carry=carry, resets=resets, mask=mask, key=keys[2])
        drop = variational_dropout if self.variational_output else dropout
        dropped = drop(out.ys, self.output_dropout, keys[3])
        features = dropped if self.projection is None else self.projection(dropped)
        return Read(features, dropped, out.ys, out.carry)

    def step(self, carry: Carry, tokens: Int[Array, " B"]) -> tuple[Carry, Float[Array, "B V"]]:
        """One token of each row → the carry after it and logits of the next: its probabilities are their softmax."""
        carry, ys = self.encoder.step(carry, self.embedding(tokens).astype(self.dtype))
        features = ys if self.projection is None else self.projection(ys)
        return carry, self.head.logits(features, self.embedding.table.get_value())

    def initial_carry(self, batch: int) -> Carry:
        """The carry before a text, of so many rows."""
        x = jax.ShapeDtypeStruct((self.encoder.input_size,), jnp.dtype(self.dtype))
        return self.encoder.initial_carry(batch, x=x)

    def log_probs(self, features: Float[Array, "*B F"]) -> Float[Array, "*B V"]:
        """log p of every token, in float32."""
        return self.head.log_probs(features, self.embedding.table.get_value())

    def of_each_step(self, function: Callable, features: Float[Array, "B T F"], *others: Array) -> Any:
        """function(log p of every token (B, V), in float32, *others (B, …)) of each step → its results, (B, T, …).

        The log probabilities of no more steps exist at once than memory allows, also where gradients are computed.
        """
        num_rows, num_steps, _ = features.shape
        at_once = max(_MOST_NUMBERS // (num_rows * self.vocabulary_size), 1)

        def of_step(step: tuple[Array, ...]) -> Any:
            return function(self.log_probs(step[0]), *step[1:])

        if at_once < num_steps:
            of_step = jax.checkpoint(of_step)
        steps = jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), (features, *others))
        found = jax.lax.map(of_step, steps, batch_size=min(at_once, num_steps))
        return jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), found)

    def nats(self, features: Float[Array, "B T F"], labels: Int[Array, "B T"]) -> Float[Array, "B T"]:
        """−log p of the labels."""
        return self.of_each_step(nats_of, features, labels)

    def loss(
        self, features: Float[Array, "B T F"], labels: Int[Array, "B T"], weights: Float[Array, "B T"], key: Key | None
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """(nats, weight) of the labels, as training computes them."""
        # As one axis of tokens: a gradient that contracts two axes is copied before it is multiplied.
        rows = features.reshape(-1, features.shape[-1])
        table = self.embedding.table.get_value()
        return self.head.loss(rows, labels.reshape(-1), weights.reshape(-1), table, key)

    @property
    def has_penalty(self) -> bool:
        """Whether what is minimised is more than nats."""
        return self.activation_penalty > 0 or self.temporal_penalty > 0

    def penalty(
        self, read: Read, weights: Float[Array, "B T"], resets: Bool[Array, "B T"] | None = None
    ) -> Float[Array, ""]:
        """α · mean (dropped y_t)² + β · mean (y_t − y_{t−1})², over the steps that count (AR, TAR; Merity et al. 2018).

        Dropped outputs are those that the head reads, or that are projected for it. Where `resets` say that another
        text begins, there is no y_{t−1}.
        """
        total = jnp.zeros((), jnp.float32)
        if self.activation_penalty:
            total += self.activation_penalty * _mean_square(read.dropped, weights)
        if self.temporal_penalty:
            change = read.ys[:, 1:] - read.ys[:, :-1]
            goes_on = weights[:, 1:] if resets is None else jnp.where(resets[:, 1:], 0, weights[:, 1:])
            total += self.temporal_penalty * _mean_square(change, goes_on)
        return total


def nats_of(log_probs: Float[Array, "*B V"], labels: Int[Array, "*B"]) -> Float[Array, "*B"]:
    """−log p of the labels."""
    return -jnp.take_along_axis(log_probs, labels[..., None], axis=-1)[..., 0]


def _mean_square(xs: Float[Array, "B T H"], weights: Float[Array, "B T"]) -> Float[Array, ""]:
    real = weights > 0
    squares = jnp.square(jnp.where(real[..., None], xs, 0).astype(jnp.float32)).mean(axis=-1)
    count = real.sum().astype(jnp.float32)
    return squares.sum() / jnp.where(count > 0, count, 1)
