"""Decoders that write all steps of the horizon at once: from the last state, or segment by segment."""

import jax
import jax.numpy as jnp
from flax import nnx

from rnn_jax.dropout import dropout
from rnn_jax.layers.base import split_key
from rnn_jax.models.forecast_windows import RowSizes, Windows, at_all_steps, past_inputs
from rnn_jax.modules import RNN, Embedding, Linear
from rnn_jax.types import Array, Float, Key, Layer


class DirectDecoder(nnx.Module):
    """ŷ_h = W_h s + b_h for h = 1 … H, s the last output of the recurrence over the past.

    Where features f_h of the future are known, + W_2 relu(W_1 [s; f_h] + b_1), the same for all h.
    """

    def __init__(self, stack: Layer, sizes: RowSizes, *, head_dropout: float = 0.0, rngs: nnx.Rngs):
        self.sizes, self.head_dropout = sizes, head_dropout
        self.encoder = RNN(stack, sizes.values + sizes.past_features + sizes.constants, rngs=rngs)
        size = self.encoder.output_size
        self.head = Linear(size, sizes.horizon * sizes.outputs_a_step, rngs=rngs)
        self.step_hidden: Linear | None = nnx.data(None)
        self.step_head: Linear | None = nnx.data(None)
        if sizes.future_features:
            self.step_hidden = nnx.data(Linear(size + sizes.future_features, size, rngs=rngs))
            self.step_head = nnx.data(Linear(size, sizes.outputs_a_step, rngs=rngs))

    def __call__(self, windows: Windows, *, key: Key | None = None) -> Float[Array, "R H C K"]:
        """The outputs of all steps."""
        sizes, (encoder_key, head_key, step_key) = self.sizes, split_key(key, 3)
        xs = past_inputs(windows, sizes.has_missing)
        xs = jnp.concatenate([xs, at_all_steps(windows.constants, sizes.context_length)], axis=-1)
        last = self.encoder.apply(xs, key=encoder_key).last
        outputs = self.head(dropout(last, self.head_dropout, head_key))
        outputs = outputs.reshape(-1, sizes.horizon, sizes.outputs_a_step)
        if self.step_hidden is not None and self.step_head is not None:
            joined = jnp.concatenate([at_all_steps(last, sizes.horizon), windows.future_features], axis=-1)
            hidden = jax.nn.relu(self.step_hidden(joined))
            outputs += self.step_head(dropout(hidden, self.head_dropout, step_key))
        return outputs.reshape(-1, sizes.horizon, sizes.columns, sizes.outputs)


class SegmentDecoder(nnx.Module):
    """SegRNN (Lin et al. 2023): the recurrence goes over segments of w steps; those of the horizon side by side.

    e_i = relu(W_e x_i + b_e)           x_i: the values of segment i, i = 1 … ⌈L / w⌉
    h_i = cell(e_i, h_{i−1})            any stack of cells; the paper's is one GRU
    o_j, _ = cell([p_j; c], h_n)        for each output segment j by itself: position ⊕ channel, half the size each
    ŷ_j = W_o dropout(o_j) + b_o        w values

    L is filled up on the left with zeros, the last segment of H is cut. Beyond the paper: covariates and constants join
    x_i, and a linear map of those of segment j is added to [p_j; c]. Joint columns have no channel: p_j has all of the
    size.
    """

    def __init__(
        self,
        stack: Layer,
        sizes: RowSizes,
        *,
        segment_length: int,
        embedding_size: int,
        num_channels: int,
        head_dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        self.sizes, self.segment_length, self.head_dropout = sizes, segment_length, head_dropout
        self.num_segments = -(-sizes.horizon // segment_length)
        size_of_channel = embedding_size // 2 if num_channels else 0
        read = segment_length * (sizes.values + sizes.past_features) + sizes.constants
        self.embedding = Linear(read, embedding_size, rngs=rngs)
        self.encoder = RNN(stack, embedding_size, rngs=rngs)
        self.positions = Embedding(self.num_segments, embedding_size - size_of_channel, scale=1.0, rngs=rngs)
        self.channels: Embedding | None = nnx.data(None)
        if num_channels:
            self.channels = nnx.data(Embedding(num_channels, size_of_channel, scale=1.0, rngs=rngs))
        extra = segment_length * sizes.future_features + sizes.constants
        self.extras: Linear | None = nnx.data(Linear(extra, embedding_size, rngs=rngs) if extra else None)
        self.head = Linear(self.encoder.output_size, segment_length * sizes.outputs_a_step, rngs=rngs)

    def __call__(self, windows: Windows, *, key: Key | None = None) -> Float[Array, "R H C K"]:
        """The outputs of all steps."""
        sizes, (encoder_key, head_key) = self.sizes, split_key(key, 2)
        segments = self._segments(past_inputs(windows, sizes.has_missing), windows.constants, at_end=False)
        embedded = jax.nn.relu(self.embedding(segments))
        carry = self.encoder.apply(embedded, key=encoder_key).carry
        carries = jax.tree.map(lambda leaf: jnp.repeat(leaf, self.num_segments, axis=0), carry)
        queries = self._queries(windows)
        queries = queries.reshape(-1, queries.shape[-1])
        # With the key of the past the dropped recurrent weights are the same.
        _, ys = self.encoder.step(carries, queries, key=encoder_key, step=embedded.shape[1])
        outputs = self.head(dropout(ys, self.head_dropout, head_key))
        outputs = outputs.reshape(-1, self.num_segments * self.segment_length, sizes.columns, sizes.outputs)
        return outputs[:, : sizes.horizon]

    def _queries(self, windows: Windows) -> Float[Array, "R N E"]:
        """What stands for each output segment."""
        rows = len(windows.channel)
        positions = self.positions.rows()
        queries = jnp.broadcast_to(positions[None], (rows, *positions.shape))
        if self.channels is not None:
            channels = at_all_steps(self.channels(windows.channel), self.num_segments)
            queries = jnp.concatenate([queries, channels], axis=-1)
        if self.extras is not None:
            queries += self.extras(self._segments(windows.future_features, windows.constants, at_end=True))
        return queries

    def _segments(
        self, xs: Float[Array, "R T D"], constants: Float[Array, "R S"], *, at_end: bool
    ) -> Float[Array, "R N WD"]:
        """Segments of w steps, filled up with zeros at one end, and the constants in each."""
        fill = -xs.shape[1] % self.segment_length
        xs = jnp.pad(xs, ((0, 0), (0, fill) if at_end else (fill, 0), (0, 0)))
        num = xs.shape[1] // self.segment_length
        xs = xs.reshape(len(xs), num, self.segment_length * xs.shape[-1])
        return jnp.concatenate([xs, at_all_steps(constants, num)], axis=-1)
