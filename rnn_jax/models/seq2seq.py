"""Encoder–decoder with attention: a sequence → a sequence of another length."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rnn_jax.attention import Attention, Memory
from rnn_jax.dropout import variational_dropout, word_dropout
from rnn_jax.layers import Stack, as_layer
from rnn_jax.layers.base import split_key
from rnn_jax.losses import smoothed_cross_entropy
from rnn_jax.masking import lengths_to_mask
from rnn_jax.models.bridges import bridged, make_bridges
from rnn_jax.modules import RNN, Embedding, Linear, plain_arrays
from rnn_jax.types import Array, Carry, Cell, Float, Int, Key, Layer


class Encoded(NamedTuple):
    """What the decoder gets of the source: the memory that it attends to, and its initial carry."""

    memory: Memory | None
    carry: Carry


class DecoderState(NamedTuple):
    """What decoding carries from token to token, leaves (B, K, …): the stack's carry, and the last readout."""

    carry: Carry
    readout: Float[Array, "B K R"]


class Readouts(NamedTuple):
    """Of every target step: the readout (B, T, R), and the attention's weights (B, T, S) if there is attention."""

    readouts: Float[Array, "B T R"]
    weights: Float[Array, "B T S"] | None


class Seq2Seq(nnx.Module):
    """p(y | x) = Π_t p(y_t | y_{<t}, x) (Sutskever et al. 2014; Bahdanau et al. 2015; Luong et al. 2015).

    ms, s = encoder(E_x[x])                                any layers or cells; s: the last output of the top one
    carry_0 = bridge(s)                                    linear: tanh(s W + b); copy: the encoder's; zero
    h_t = decoder(E_y[y_{t−1}] (⊕ r_{t−1}))                ⊕: with `input_feeding`
    c_t = attention(h_t, ms)                               none: left out
    r_t = tanh([h_t; c_t] W_r + b_r)                       readout
    p(y_t) = softmax(dropout(r_t) W_o + b_o)               W_o = E_yᵀ if the output is tied

    The query is the decoder's output of the same step, as in Luong et al.; Bahdanau et al. ask with the one before.
    Without input feeding nothing is fed back when the target is given, so attention and readouts of all steps are
    computed at once, after the scan. Every dropout needs a key; without one the model is deterministic.

    `label_smoothing` is the share of the target that the loss spreads over all tokens in training.
    `forbidden` tokens (padding, say) are never generated, in decoding and in scheduled sampling.

    Raises:
      ValueError: sizes that a kind of attention, a bridge or tied embeddings cannot join; a decoder that reads
        backwards.
    """

    LAYERS = (  # from the head down
        ("output", "output_bias", "readout"),
        ("decoder", "attention_params"),
        ("bridges",),
        ("encoder",),
        ("source_embedding", "target_embedding"),
    )

    def __init__(
        self,
        encoder: Layer | Cell,
        decoder: Stack,
        *,
        source_vocabulary_size: int,
        target_vocabulary_size: int,
        embedding_size: int,
        attention: Attention | None,
        bridge: str = "linear",
        input_feeding: bool = False,
        readout_size: int = 0,
        tie_embeddings: bool = False,
        tie_output: bool = False,
        word_dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        output_dropout: float = 0.0,
        label_smoothing: float = 0.0,
        unknown_id: int = 1,
        forbidden: tuple[int, ...] = (),
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        readout_size = readout_size or embedding_size
        if tie_output and readout_size != embedding_size:
            raise ValueError(
                f"A tied output needs readouts of the embeddings' size; got {readout_size} and {embedding_size}."
            )
        if tie_embeddings and source_vocabulary_size != target_vocabulary_size:
            raise ValueError("Tied embeddings need one vocabulary for source and target.")
        if as_layer(decoder).reads_backwards:
            raise ValueError(f"A decoder reads from left to right only; got {decoder!r}.")
        self.attention, self.bridge, self.input_feeding = attention, bridge, input_feeding
        self.word_dropout, self.output_dropout, self.label_smoothing = word_dropout, output_dropout, label_smoothing
        self.unknown_id, self.forbidden, self.dtype = unknown_id, forbidden, dtype
        scale = embedding_size**-0.5 if tie_output else 0.1

        def embedding(size: int) -> Embedding:
            return Embedding(size, embedding_size, dropout=embedding_dropout, scale=scale, rngs=rngs)

        self.target_embedding = embedding(target_vocabulary_size)
        self.source_embedding: Embedding | None = nnx.data(None)
        if not tie_embeddings:
            self.source_embedding = nnx.data(embedding(source_vocabulary_size))
        self.encoder = RNN(encoder, embedding_size, rngs=rngs)
        memory_size = self.encoder.output_size
        self.decoder = RNN(decoder, embedding_size + readout_size * input_feeding, rngs=rngs)
        hidden_size = self.decoder.output_size
        self.attention_params: Any = nnx.data(None)
        if attention is not None:
            params = attention.init(rngs.params(), hidden_size, memory_size)
            self.attention_params = nnx.data(jax.tree.map(nnx.Param, params))
        self.readout = Linear(hidden_size + (memory_size if attention else 0), readout_size, rngs=rngs)
        self.readout_size = readout_size
        self.output: Linear | None = nnx.data(None)
        self.output_bias: nnx.Param | None = nnx.data(None)
        if tie_output:
            self.output_bias = nnx.data(nnx.Param(jnp.zeros(target_vocabulary_size, jnp.float32)))
        else:
            self.output = nnx.data(Linear(readout_size, target_vocabulary_size, rngs=rngs))
        self.bridges: Any = nnx.data(make_bridges(bridge, self.encoder, self._initial_carry(1), dtype, rngs))

    def encode(self, source: Int[Array, "B S"], lengths: Int[Array, " B"], *, key: Key | None = None) -> Encoded:
        """Memory and initial carry: tokens (B, S), lengths (B,)."""
        keys = split_key(key, 3)
        mask = lengths_to_mask(lengths, source.shape[-1])
        embedding = self.source_embedding or self.target_embedding
        tokens = word_dropout(source, self.word_dropout, keys[0], unknown_id=self.unknown_id)
        encoded = self.encoder.apply(embedding(tokens, key=keys[1]).astype(self.dtype), mask=mask, key=keys[2])
        memory = None
        if self.attention is not None:
            memory = self.attention.remember(plain_arrays(self.attention_params), encoded.ys, mask)
        return Encoded(memory, bridged(self.bridge, self.bridges, encoded, self._initial_carry(len(lengths))))

    def read_out(
        self,
        encoded: Encoded,
        inputs: Int[Array, "B T"],
        *,
        teacher_forcing: Float[Array, " B"] | None = None,
        key: Key | None = None,
    ) -> Readouts:
        """Readouts of all steps: inputs (B, T) are the tokens before each of them.

        With `teacher_forcing` and a key, each of these but the first is kept with that probability, and otherwise
        replaced by one drawn from the model's own distribution of the step before (scheduled sampling, Bengio et al.
        2015); no gradient passes through the draw.
        """
        word_key, row_key, stack_key, sampling_key = split_key(key, 4)
        table = self.target_embedding.rows(key=row_key)  # the same rows are dropped at every step
        embed = lambda tokens: jnp.take(table, tokens, axis=0).astype(self.dtype)  # noqa: E731
        dropped = word_dropout(inputs[:, 1:], self.word_dropout, word_key, unknown_id=self.unknown_id)
        given = jnp.concatenate([inputs[:, :1], dropped], axis=1)  # the start token stays
        if not self.input_feeding and (teacher_forcing is None or key is None):
            hs = self.decoder(embed(given), carry=encoded.carry, key=stack_key)
            return Readouts(*self._readout(hs, encoded.memory))

        def body(state: tuple[Carry, Array, Array], now: tuple[Array, Array]):
            (carry, readout, drawn), (t, tokens) = state, now
            if sampling_key is not None and teacher_forcing is not None:
                keep_key, draw_key = jax.random.split(jax.random.fold_in(sampling_key, t))
                keep = jax.random.bernoulli(keep_key, teacher_forcing) | (t == 0)
                tokens = jnp.where(keep, tokens, drawn)
            x = embed(tokens)
            if self.input_feeding:
                x = jnp.concatenate([x, readout], axis=-1)
            carry, h = self.decoder.step(carry, x, key=stack_key, step=t)
            readouts, weights = self._readout(h[:, None], encoded.memory)
            readout = readouts[:, 0]
            if sampling_key is not None and teacher_forcing is not None:
                logits = self._permitted(self.logits(jax.lax.stop_gradient(readout)))
                drawn = jax.random.categorical(draw_key, logits).astype(jnp.int32)
            return (carry, readout, drawn), (readout, None if weights is None else weights[:, 0])

        batch, num_steps = inputs.shape
        first = (encoded.carry, jnp.zeros((batch, self.readout_size), self.dtype), jnp.zeros(batch, jnp.int32))
        steps = jnp.arange(num_steps, dtype=jnp.int32)
        _, outputs = jax.lax.scan(body, first, (steps, jnp.moveaxis(given, 1, 0)))
        return Readouts(*jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), outputs))

    def logits(self, readouts: Float[Array, "*B R"], *, key: Key | None = None) -> Float[Array, "*B V"]:
        """Scores of all target tokens, in float32; a `key` drops units, the same ones at every step."""
        readouts = variational_dropout(readouts, self.output_dropout, key)
        if self.output is not None:
            return self.output(readouts).astype(jnp.float32)
        assert self.output_bias is not None
        scores = readouts @ self.target_embedding.table.get_value().astype(readouts.dtype).T
        return (scores + jnp.broadcast_to(self.output_bias.get_value().astype(scores.dtype), scores.shape)).astype(
            jnp.float32
        )

    def loss(self, batch: dict[str, Array], *, key: Key | None = None) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """(Σ −log p of the target tokens in nats, their number); with a key, smoothed and with dropout.

        batch: source (B, S), lengths (B,), inputs, labels and weights (B, T); teacher_forcing (B,), where it is not 1.
        """
        keys = split_key(key, 3)
        encoded = self.encode(batch["source"], batch["lengths"], key=keys[0])
        given = batch.get("teacher_forcing")
        readouts = self.read_out(encoded, batch["inputs"], teacher_forcing=given, key=keys[1]).readouts
        logits = self.logits(readouts, key=keys[2])
        smoothing = 0.0 if key is None else self.label_smoothing
        return smoothed_cross_entropy(logits, batch["labels"], batch["weights"], smoothing)

    def initial_state(self, encoded: Encoded, num_hypotheses: int) -> DecoderState:
        """The state before the first token, the same for all K hypotheses of an example."""

        def repeat(leaf: Array) -> Array:
            return jnp.broadcast_to(leaf[:, None], (leaf.shape[0], num_hypotheses, *leaf.shape[1:]))

        batch = len(jax.tree.leaves(encoded.carry)[0])
        return DecoderState(
            jax.tree.map(repeat, encoded.carry), jnp.zeros((batch, num_hypotheses, self.readout_size), self.dtype)
        )

    def step(
        self, encoded: Encoded, state: DecoderState, tokens: Int[Array, "B K"]
    ) -> tuple[DecoderState, Float[Array, "B K V"]]:
        """One token of K hypotheses of each example: the next state and the scores of the tokens after it."""
        batch, beams = tokens.shape
        xs = self.target_embedding(tokens).astype(self.dtype)
        if self.input_feeding:
            xs = jnp.concatenate([xs, state.readout], axis=-1)
        merge = lambda leaf: leaf.reshape(batch * beams, *leaf.shape[2:])  # noqa: E731
        split = lambda leaf: leaf.reshape(batch, beams, *leaf.shape[1:])  # noqa: E731
        carry, h = self.decoder.step(jax.tree.map(merge, state.carry), merge(xs))
        readout, _ = self._readout(split(h), encoded.memory)
        return DecoderState(jax.tree.map(split, carry), readout), self._permitted(self.logits(readout))

    def _permitted(self, logits: Float[Array, "*B V"]) -> Float[Array, "*B V"]:
        """−∞ for tokens that are never generated."""
        forbidden = np.isin(np.arange(logits.shape[-1]), self.forbidden)
        return jnp.where(jnp.broadcast_to(forbidden, logits.shape), -jnp.inf, logits)

    def _readout(self, hs: Float[Array, "B T H"], memory: Memory | None) -> tuple[Array, Array | None]:
        weights = None
        if memory is not None:
            assert self.attention is not None
            contexts, weights = self.attention.read(plain_arrays(self.attention_params), hs, memory)
            hs = jnp.concatenate([hs, contexts], axis=-1)
        return jnp.tanh(self.readout(hs)), weights

    def _initial_carry(self, batch: int) -> Carry:
        return self.decoder.initial_carry(batch, x=jax.ShapeDtypeStruct((self.decoder.input_size,), self.dtype))
