"""Decoders that write one step at a time and read what they wrote: one recurrence through both, or encoder–decoder.

Both have `forced`, which knows the values before each step, and `start` and `step`, which do not.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from rnn_jax.attention import Attention, Memory
from rnn_jax.dropout import dropout
from rnn_jax.layers.base import split_key
from rnn_jax.models.forecast_windows import RowSizes, Windows, as_inputs, at_all_steps, past_inputs
from rnn_jax.models.window_normalization import last_observed
from rnn_jax.modules import RNN, Linear, plain_arrays
from rnn_jax.scanning.carries import cast_like
from rnn_jax.types import Array, Bool, Carry, Float, Key, Layer


class Started(NamedTuple):
    """Before the first step of the horizon: the carry, the value before that step, and what is attended to."""

    carry: Carry
    value: Float[Array, "R C"]
    observed: Bool[Array, "R C"]
    memory: Memory | None


class Keys(NamedTuple):
    """What dropout draws from; None where nothing is dropped. The steps of one path and `forced` drop the same."""

    encoder: Key | None
    decoder: Key | None
    head: Key | None

    @classmethod
    def of(cls, key: Key | None) -> "Keys":
        """Three keys of one."""
        return cls(*split_key(key, 3))


class RecursiveDecoder(nnx.Module):
    """One recurrence through past and future: it predicts every step from the one before (Salinas et al. 2020).

    h_t = cell([z_{t−1}; x_t; s], h_{t−1})         z_0 = 0; x_t: features known ahead; s: constants
    outputs_t = W dropout(h_t) + b                 t = 1 … L + H
    """

    def __init__(self, stack: Layer, sizes: RowSizes, *, head_dropout: float = 0.0, rngs: nnx.Rngs):
        self.sizes, self.head_dropout = sizes, head_dropout
        self.encoder = RNN(stack, sizes.values + sizes.future_features + sizes.constants, rngs=rngs)
        self.head = Linear(self.encoder.output_size, sizes.outputs_a_step, rngs=rngs)

    def forced(
        self,
        windows: Windows,
        target: Float[Array, "R H C"],
        observed: Bool[Array, "R H C"],
        *,
        key: Key | None = None,
    ) -> Float[Array, "R LH C K"]:
        """The outputs of all steps, past and future, each given the true values before it."""
        keys = Keys.of(key)
        values = jnp.concatenate([windows.past, target[:, :-1]], axis=1)
        seen = jnp.concatenate([windows.observed, observed[:, :-1]], axis=1)
        features = jnp.concatenate([self._known(windows), windows.future_features], axis=1)
        ys = self.encoder(self._inputs(_after_zero(values), _after_zero(seen), features, windows), key=keys.encoder)
        return self._outputs(ys, keys)

    def start(self, windows: Windows, keys: Keys) -> Started:
        """After the past."""
        values, seen = (_after_zero(array[:, :-1]) for array in (windows.past, windows.observed))
        xs = self._inputs(values, seen, self._known(windows), windows)
        return Started(
            self.encoder.apply(xs, key=keys.encoder).carry, windows.past[:, -1], windows.observed[:, -1], None
        )

    def step(
        self, carry: Carry, x: Float[Array, "N D"], memory: Memory | None, keys: Keys, number: Array
    ) -> tuple[Carry, Float[Array, "N C K"]]:
        """One step of the horizon; x: value before it, features and constants."""
        del memory
        at = number + self.sizes.context_length
        carry, ys = self.encoder.step(carry, x, key=keys.encoder, step=at)
        return carry, self._outputs(ys[:, None], keys)[:, 0]

    def _known(self, windows: Windows) -> Float[Array, "R L F"]:
        return windows.past_features[..., : self.sizes.future_features]

    def _inputs(self, values: Array, seen: Array, features: Array, windows: Windows) -> Float[Array, "R T D"]:
        constants = at_all_steps(windows.constants, values.shape[1])
        return jnp.concatenate([as_inputs(values, seen, self.sizes.has_missing), features, constants], axis=-1)

    def _outputs(self, ys: Float[Array, "N T D"], keys: Keys) -> Float[Array, "N T C K"]:
        outputs = self.head(dropout(ys, self.head_dropout, keys.head, shared_axes=(1,)))
        return outputs.reshape(*ys.shape[:2], self.sizes.columns, self.sizes.outputs)


class AttentionDecoder(nnx.Module):
    """Encoder–decoder with attention (Bahdanau et al. 2015; Luong et al. 2015), fed what is known of the future.

    ms, e = encoder([z_t; x_t; s])                 t = 1 … L; x_t: all features of the past
    carry_0 = tanh(e W + b)                        a map for each of its parts
    h_t = decoder([z_{t−1}; f_t; s])               t = L + 1 … L + H; f_t: features known ahead
    c_t = attention(h_t, ms)
    outputs_t = W dropout(tanh(V [h_t; c_t] + b)) + b

    z_L is the last observed value.
    """

    def __init__(
        self,
        encoder: Layer,
        decoder: Layer,
        sizes: RowSizes,
        *,
        attention: Attention,
        head_dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        self.sizes, self.attention, self.head_dropout = sizes, attention, head_dropout
        self.encoder = RNN(encoder, sizes.values + sizes.past_features + sizes.constants, rngs=rngs)
        self.decoder = RNN(decoder, sizes.values + sizes.future_features + sizes.constants, rngs=rngs)
        memory_size, hidden_size = self.encoder.output_size, self.decoder.output_size
        params = attention.init(rngs.params(), hidden_size, memory_size)
        self.attention_params: Any = nnx.data(jax.tree.map(nnx.Param, params))
        carries = jax.tree.leaves(self.decoder.initial_carry(1))
        self.bridges = nnx.data([Linear(memory_size, leaf.shape[-1], rngs=rngs) for leaf in carries])
        self.readout = Linear(hidden_size + memory_size, hidden_size, rngs=rngs)
        self.head = Linear(hidden_size, sizes.outputs_a_step, rngs=rngs)

    def forced(
        self,
        windows: Windows,
        target: Float[Array, "R H C"],
        observed: Bool[Array, "R H C"],
        *,
        key: Key | None = None,
    ) -> Float[Array, "R H C K"]:
        """The outputs of the horizon's steps, each given the true values before it."""
        keys = Keys.of(key)
        started = self.start(windows, keys)
        values = jnp.concatenate([started.value[:, None], target[:, :-1]], axis=1)
        seen = jnp.concatenate([started.observed[:, None], observed[:, :-1]], axis=1)
        constants = at_all_steps(windows.constants, self.sizes.horizon)
        xs = [as_inputs(values, seen, self.sizes.has_missing), windows.future_features, constants]
        hs = self.decoder(jnp.concatenate(xs, axis=-1), carry=started.carry, key=keys.decoder)
        return self._outputs(hs, started.memory, keys)

    def start(self, windows: Windows, keys: Keys) -> Started:
        """After the past."""
        xs = past_inputs(windows, self.sizes.has_missing)
        xs = jnp.concatenate([xs, at_all_steps(windows.constants, self.sizes.context_length)], axis=-1)
        encoded = self.encoder.apply(xs, key=keys.encoder)
        everything = jnp.ones(encoded.ys.shape[:2], bool)
        memory = self.attention.remember(plain_arrays(self.attention_params), encoded.ys, everything)
        fresh = self.decoder.initial_carry(len(xs))
        given = [jnp.tanh(linear(encoded.last)) for linear in self.bridges]
        carry = cast_like(jax.tree.unflatten(jax.tree.structure(fresh), given), fresh)
        value = last_observed(windows.past, windows.observed)[:, 0]
        return Started(carry, value, windows.observed.any(axis=1), memory)

    def step(
        self, carry: Carry, x: Float[Array, "N D"], memory: Memory | None, keys: Keys, number: Array
    ) -> tuple[Carry, Float[Array, "N C K"]]:
        """One step of the horizon; x: value before it, features and constants. N is a multiple of the memory's rows."""
        assert memory is not None
        carry, hs = self.decoder.step(carry, x, key=keys.decoder, step=number)
        queries = hs.reshape(len(memory.mask), -1, hs.shape[-1])  # as if the paths of a row were steps of one
        outputs = self._outputs(queries, memory, keys)
        return carry, outputs.reshape(-1, *outputs.shape[2:])

    def _outputs(self, hs: Float[Array, "R T D"], memory: Memory | None, keys: Keys) -> Float[Array, "R T C K"]:
        assert memory is not None
        contexts, _ = self.attention.read(plain_arrays(self.attention_params), hs, memory)
        readouts = jnp.tanh(self.readout(jnp.concatenate([hs, contexts.astype(hs.dtype)], axis=-1)))
        outputs = self.head(dropout(readouts, self.head_dropout, keys.head, shared_axes=(1,)))
        return outputs.reshape(*hs.shape[:2], self.sizes.columns, self.sizes.outputs)


def inputs_of_step(
    value: Float[Array, "N C"], seen: Bool[Array, "N C"], features: Array, constants: Array, has_missing: bool
) -> Float[Array, "N D"]:
    """What `step` reads."""
    return jnp.concatenate([as_inputs(value, seen, has_missing), features, constants], axis=-1)


def _after_zero(array: Array) -> Array:
    """With a first step of zeros."""
    return jnp.pad(array, ((0, 0), (1, 0), (0, 0)))
