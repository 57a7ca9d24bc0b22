"""Gated recurrent units. Gates are stored in the order r z n (reset, update, candidate).

Sources: Cho et al. (2014) apply the reset gate before the recurrent matmul (`ResetBeforeGRU`); the usual library form
(cuDNN, torch.nn.GRU) applies it after, with a bias of its own (`GRU`). Weights of `GRU` move to and from torch.nn.GRU
by transposing, with b = b_ih + b_hh for r and z, b = b_in and b_hn kept apart for n. As in Cho et al. (eq. 7)
and torch, z keeps the old state where it is 1.
"""

import dataclasses
from typing import Any, ClassVar, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from rnn_jax.cells.base import DenseCell, accumulating, add_bias, layer_norm, times
from rnn_jax.types import Array, Float, InputSize, Key, Params


class GRUParams(NamedTuple):
    """Weights of the GRU; `b_hn` is the candidate's recurrent bias, inside the reset gate."""

    w_x: Float[Array, "D GH"]
    w_h: Float[Array, "H GH"]
    b: Float[Array, " GH"]
    b_hn: Float[Array, " H"]


class GRUCarry(NamedTuple):
    """The hidden state; it accumulates and so stays float32 when the inputs are bfloat16."""

    h: Float[Array, " H"]


class GRUGates(NamedTuple):
    """What the gates do at one step: r_t, z_t and the candidate n_t, each in (0, 1) or (−1, 1)."""

    reset: Float[Array, " H"]
    update: Float[Array, " H"]
    candidate: Float[Array, " H"]


class GRUPreactivations(NamedTuple):
    """What enters the two gates, and the two parts of what enters the candidate, kept apart for the reset gate.

    An array each: slices of one array are read inside of the loop number by number, which XLA does not vectorise.
    """

    reset: Float[Array, " H"]
    update: Float[Array, " H"]
    from_x: Float[Array, " H"]
    from_h: Float[Array, " H"]


Blocks: TypeAlias = tuple[Float[Array, " H"], Float[Array, " H"], Float[Array, " H"]]  # r z n


@dataclasses.dataclass(frozen=True)
class _GRUFamily(DenseCell):
    num_gates: ClassVar[int] = 3

    def initial_carry(self, params: Params) -> GRUCarry:
        """h_0 = 0."""
        del params
        return GRUCarry(jnp.zeros(self.hidden_size))

    def gates(self, params: Params, carry: GRUCarry, preactivations: Any) -> GRUGates:
        """r_t and z_t, and the candidate that r_t lets the past into."""
        del params, carry
        reset, update = (jax.nn.sigmoid(accumulating(gate)) for gate in preactivations[:2])
        from_x, from_h = accumulating(preactivations.from_x), accumulating(preactivations.from_h)
        return GRUGates(reset, update, jnp.tanh(from_x + reset * from_h))

    def activate(self, params: Params, carry: GRUCarry, preactivations: Any):
        """The new state between the candidate and the old one."""
        _, z, n = self.gates(params, carry, preactivations)
        h = (1 - z) * n + z * carry.h.astype(z.dtype)
        return GRUCarry(h), h.astype(jax.tree.leaves(preactivations)[0].dtype)


@dataclasses.dataclass(frozen=True)
class GRU(_GRUFamily):
    """Gated recurrent unit, reset gate after the recurrent matmul (as torch.nn.GRU).

    r_t, z_t = σ(x_t W_x + h_{t−1} W_h + b)
    n_t = tanh(x_t W_xn + b_n + r_t ⊙ (h_{t−1} W_hn + b_hn))
    h_t = (1 − z_t) ⊙ n_t + z_t ⊙ h_{t−1},  y_t = h_t
    """

    def init(self, key: Key, input_size: InputSize) -> GRUParams:
        """Draws w_x (D, 3H), w_h (H, 3H), b (3H,) and b_hn (H,), zeros."""
        return GRUParams(*self.draw_weights(key, input_size), b_hn=jnp.zeros(self.hidden_size, jnp.float32))

    def project(self, params: GRUParams, x: Float[Array, " D"]) -> Blocks:
        """The blocks of x W_x + b."""
        return _split(super().project(params, x))

    def preactivate(self, params: GRUParams, carry: GRUCarry, z: Blocks) -> GRUPreactivations:
        """From x_t W_x + b and h_{t−1} W_h."""
        from_h = _split(carry.h.astype(z[0].dtype) @ params.w_h.astype(z[0].dtype))
        return _add_parts(z, from_h, params.b_hn)


def _split(blocks: Float[Array, " GH"]) -> Blocks:
    reset, update, candidate = jnp.split(blocks, 3)
    return reset, update, candidate


def _add_parts(from_x: Blocks, from_h: Blocks, b_hn: Array) -> GRUPreactivations:
    return GRUPreactivations(from_x[0] + from_h[0], from_x[1] + from_h[1], from_x[2], add_bias(from_h[2], b_hn))


class ResetBeforeGRUParams(NamedTuple):
    """Weights of the GRU's 2014 form."""

    w_x: Float[Array, "D GH"]
    w_h: Float[Array, "H GH"]
    b: Float[Array, " GH"]


@dataclasses.dataclass(frozen=True)
class ResetBeforeGRU(_GRUFamily):
    """The GRU of Cho et al. (2014): the reset gate acts on the state before the recurrent matmul.

    n_t = tanh(x_t W_xn + b_n + (r_t ⊙ h_{t−1}) W_hn), all else as in `GRU`
    """

    # Its second matmul waits for the first one's sigmoid, and a deferred gradient computes both again: 0.82 of the
    # plain scan's speed at B T D H = 64 24 256 256, 1.01 at 32 200 128 128.
    defer_by_default: ClassVar[bool] = False

    def init(self, key: Key, input_size: InputSize) -> ResetBeforeGRUParams:
        """Draws w_x (D, 3H), w_h (H, 3H) and b (3H,)."""
        return ResetBeforeGRUParams(*self.draw_weights(key, input_size))

    def project(self, params: ResetBeforeGRUParams, x: Float[Array, " D"]) -> Blocks:
        """The blocks of x W_x + b."""
        return _split(super().project(params, x))

    def preactivate(self, params: ResetBeforeGRUParams, carry: GRUCarry, z: Blocks) -> GRUPreactivations:
        """Two matmuls in sequence: first the gates, then the candidate from the reset state."""
        h, w_h, size = carry.h.astype(z[0].dtype), params.w_h.astype(z[0].dtype), self.hidden_size
        reset, update = (of_x + of_h for of_x, of_h in zip(z, jnp.split(h @ w_h[:, : 2 * size], 2)))
        wide = jax.nn.sigmoid(accumulating(reset))
        reset_h = (wide * carry.h.astype(wide.dtype)).astype(h.dtype)
        return GRUPreactivations(reset, update, z[2], reset_h @ w_h[:, 2 * size :])

    def gates(self, params: ResetBeforeGRUParams, carry: GRUCarry, preactivations: GRUPreactivations) -> GRUGates:
        """r_t and z_t, and the candidate, whose recurrent part has seen r_t already."""
        del params, carry
        reset, update = (jax.nn.sigmoid(accumulating(gate)) for gate in preactivations[:2])
        from_x, from_h = accumulating(preactivations.from_x), accumulating(preactivations.from_h)
        return GRUGates(reset, update, jnp.tanh(from_x + from_h))


class LayerNormGRUParams(NamedTuple):
    """The GRU's weights and the scales of the two normalisations."""

    w_x: Float[Array, "D GH"]
    w_h: Float[Array, "H GH"]
    b: Float[Array, " GH"]
    b_hn: Float[Array, " H"]
    scale_x: Float[Array, " GH"]
    scale_h: Float[Array, " GH"]


@dataclasses.dataclass(frozen=True)
class LayerNormGRU(_GRUFamily):
    """The GRU with layer normalisation (LN) of x_t W_x and of h_{t−1} W_h, each over its 3H numbers.

    As `GRU`, with LN(x_t W_x) in place of x_t W_x and LN(h_{t−1} W_h) in place of h_{t−1} W_h. Deviation from Ba et
    al. (2016), who normalise gates and candidate apart: one normalisation each, as their LSTM has it.
    """

    def init(self, key: Key, input_size: InputSize) -> LayerNormGRUParams:
        """Draws the GRU's weights; scales are 1."""
        size = self.hidden_size
        scale_x, scale_h = jnp.ones(3 * size, jnp.float32), jnp.ones(3 * size, jnp.float32)
        zeros = jnp.zeros(size, jnp.float32)
        return LayerNormGRUParams(*self.draw_weights(key, input_size), zeros, scale_x, scale_h)

    def project(self, params: LayerNormGRUParams, x: Float[Array, " D"]) -> Blocks:
        """The blocks of LN(x_t W_x) + b."""
        return _split(add_bias(layer_norm(times(x, params.w_x), params.scale_x), params.b))

    def preactivate(self, params: LayerNormGRUParams, carry: GRUCarry, z: Blocks) -> tuple[Blocks, Array]:
        """z and h_{t−1} W_h, which is normalised by itself before they are added."""
        return z, carry.h.astype(z[0].dtype) @ params.w_h.astype(z[0].dtype)

    def gates(self, params: LayerNormGRUParams, carry: GRUCarry, preactivations: tuple[Blocks, Array]) -> GRUGates:
        """As the GRU's, with the recurrent part normalised."""
        z, from_h = preactivations
        return super().gates(params, carry, _add_parts(z, _split(layer_norm(from_h, params.scale_h)), params.b_hn))
