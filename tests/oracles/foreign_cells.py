"""Cells as users write them, with what the built-in ones do not have: images, pairs, tokens, residuals."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax import LSTM
from rnn_jax.cells import SplitCell


class DecayingSum:
    """A plain class, a dict of params, a tuple carry of two shapes that does not start at zero (written without the
    params), and an output wider than the state."""

    def __init__(self, hidden_size):
        self.hidden_size = hidden_size

    def init(self, key, input_size):
        key_in, key_rec = jax.random.split(key)
        return {
            "in": jax.random.normal(key_in, (input_size, self.hidden_size), jnp.float32),
            "rec": 0.3 * jax.random.normal(key_rec, (self.hidden_size, self.hidden_size), jnp.float32),
        }

    def initial_carry(self):
        return jnp.full(self.hidden_size, 0.5), jnp.ones(())

    def step(self, params, carry, x):
        h, energy = carry
        h = jnp.tanh(x @ params["in"].astype(x.dtype) + h.astype(x.dtype) @ params["rec"].astype(x.dtype))
        energy = (0.9 * energy.astype(x.dtype) + jnp.sum(h * h)).astype(x.dtype)
        return (h, energy), jnp.concatenate([h, jnp.broadcast_to(energy, h.shape)])


class ConvCarry(NamedTuple):
    h: jax.Array
    c: jax.Array


@dataclasses.dataclass(frozen=True)
class ConvLSTM(SplitCell):
    """Shi et al. (2015) without peepholes: images (height, width, channels) in place of vectors, 3 × 3 kernels."""

    hidden_size: int
    image: tuple[int, int]

    def init(self, key, input_size):
        *_, channels = input_size
        key_x, key_h = jax.random.split(key)
        draw = jax.nn.initializers.glorot_uniform(in_axis=2, out_axis=3)
        return {
            "x": draw(key_x, (3, 3, channels, 4 * self.hidden_size), jnp.float32),
            "h": draw(key_h, (3, 3, self.hidden_size, 4 * self.hidden_size), jnp.float32),
            "b": jnp.zeros(4 * self.hidden_size, jnp.float32),
        }

    def initial_carry(self, params):
        zeros = jnp.zeros((*self.image, self.hidden_size))
        return ConvCarry(zeros, zeros)

    def project(self, params, x):
        z = convolve(x, params["x"])
        return z + jnp.broadcast_to(params["b"].astype(x.dtype), z.shape)

    def preactivate(self, params, carry, z):
        return z + convolve(carry.h.astype(z.dtype), params["h"])

    def activate(self, params, carry, preactivations):
        i, f, g, o = jnp.split(preactivations, 4, axis=-1)
        c = jax.nn.sigmoid(f) * carry.c.astype(f.dtype) + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return ConvCarry(h, c), h


def convolve(image, kernel):
    dimensions = ("NHWC", "HWIO", "NHWC")
    kernel = kernel.astype(image.dtype)
    return jax.lax.conv_general_dilated(image[None], kernel, (1, 1), "SAME", dimension_numbers=dimensions)[0]


@dataclasses.dataclass(frozen=True)
class DecayGRU(SplitCell):
    """Irregular times: x is a pair of a vector and the time since the step before, for which h decays (the h-decay of
    Che et al. 2018), then a minimal gated step. The time enters the carry inside of `preactivate` and of `activate`."""

    hidden_size: int

    def init(self, key, input_size):
        size, (key_x, key_h, key_d) = input_size[0].shape[0], jax.random.split(key, 3)
        return {
            "w_x": 0.5 * jax.random.normal(key_x, (size, 2 * self.hidden_size), jnp.float32),
            "w_h": 0.5 * jax.random.normal(key_h, (self.hidden_size, 2 * self.hidden_size), jnp.float32),
            "decay": jax.random.normal(key_d, (self.hidden_size,), jnp.float32),
        }

    def initial_carry(self, params):
        return jnp.full(self.hidden_size, 0.25)

    def project(self, params, x):
        values, elapsed = x
        return values @ params["w_x"].astype(values.dtype), elapsed

    def _decayed(self, params, carry, elapsed):
        rate = jax.nn.softplus(params["decay"].astype(elapsed.dtype))
        return carry.astype(elapsed.dtype) * jnp.exp(-jnp.broadcast_to(jnp.abs(elapsed), rate.shape) * rate)

    def preactivate(self, params, carry, z):
        from_x, elapsed = z
        h = self._decayed(params, carry, elapsed)
        return from_x + h @ params["w_h"].astype(h.dtype), elapsed

    def activate(self, params, carry, preactivations):
        a, elapsed = preactivations
        gate, candidate = jnp.split(a, 2)
        gate = jax.nn.sigmoid(gate)
        h = (1 - gate) * self._decayed(params, carry, elapsed) + gate * jnp.tanh(candidate)
        return h, h


@dataclasses.dataclass(frozen=True)
class TokenLSTM:
    """x is a token, which the cell embeds itself; y is a scalar."""

    hidden_size: int
    vocabulary_size: int

    def init(self, key, input_size):
        del input_size
        table = jax.random.normal(key, (self.vocabulary_size, 4), jnp.float32)
        return {"table": table, "lstm": LSTM(self.hidden_size).init(key, 4)}

    def initial_carry(self, params):
        return LSTM(self.hidden_size).initial_carry(params["lstm"])

    def step(self, params, carry, x):
        carry, h = LSTM(self.hidden_size).step(params["lstm"], carry, params["table"][x])
        return carry, h.sum()


class ResidualLSTM(LSTM):
    """A built-in cell whose step does more than its parts say: y = h + x."""

    def step(self, params, carry, x):
        carry, h = super().step(params, carry, x)
        return carry, h + x


class FreestandingResidual:
    """As `ResidualLSTM`, without inheriting from anything: all of the parts, and a step that is more than they are."""

    def __init__(self, hidden_size):
        self._lstm = LSTM(hidden_size)
        self.init, self.initial_carry = self._lstm.init, self._lstm.initial_carry
        self.project, self.preactivate = self._lstm.project, self._lstm.preactivate

    def activate(self, params, carry, preactivations):
        return self._lstm.activate(params, carry, preactivations)

    def step(self, params, carry, x):
        carry, h = self._lstm.step(params, carry, x)
        return carry, h + x
