"""Long short-term memory and its variants. Gates are stored in the order i f g o (input, forget, candidate, output).

Sources: Hochreiter & Schmidhuber (1997); forget gate: Gers et al. (2000); peepholes: Gers & Schmidhuber (2000);
coupled gates (CIFG): Greff et al. (2017); layer normalisation: Ba et al. (2016). The forget gate's bias starts at 1
(Jozefowicz et al. 2015), or by `chrono` where it is given. Weights move to and from torch.nn.LSTM by
transposing, with b = b_ih + b_hh.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.cells.base import GateInit, SplitCell, accumulating, add_bias, gates, layer_norm
from rnn_jax.cells.initializers import chrono as chrono_bias
from rnn_jax.cells.initializers import init_gates
from rnn_jax.types import Array, Float, Key


class LSTMParams(NamedTuple):
    """Weights of the LSTM: G = 4 gates (3 in the coupled form)."""

    w_x: Float[Array, "D GH"]
    w_h: Float[Array, "H GH"]
    b: Float[Array, " GH"]


class LSTMCarry(NamedTuple):
    """Hidden state h and memory c; c accumulates and so stays float32 when the inputs are bfloat16."""

    h: Float[Array, " H"]
    c: Float[Array, " H"]


@dataclasses.dataclass(frozen=True)
class _LSTMFamily(SplitCell):
    b_init: GateInit = (0.0, 1.0, 0.0, 0.0)  # i f g o
    chrono: int = 0

    def __post_init__(self):
        if self.chrono:
            chrono_bias(self.chrono)  # an error now, not at init

    def initial_carry(self) -> LSTMCarry:
        """h_0 = c_0 = 0."""
        return LSTMCarry(jnp.zeros(self.hidden_size), jnp.zeros(self.hidden_size))


@dataclasses.dataclass(frozen=True)
class LSTM(_LSTMFamily):
    """Long short-term memory with a forget gate.

    i_t, f_t, o_t = σ(x_t W_x + h_{t−1} W_h + b)    g_t = tanh(…), each gate with its own block of the weights
    c_t = f_t ⊙ c_{t−1} + i_t ⊙ g_t
    h_t = o_t ⊙ tanh(c_t),  y_t = h_t

    `chrono` = T_max, the longest dependency in steps, is for long memories: biases start at b_f = log U(1, T_max − 1)
    and b_i = −b_f, whatever `b_init` says of these two (0 = off; Tallec & Ollivier 2018). All variants have it.

    Raises:
      ValueError: `chrono` is 1 or negative.
    """

    def init(self, key: Key, input_size: int) -> LSTMParams:
        """Draws w_x (D, 4H), w_h (H, 4H) and b (4H,)."""
        return _init(self, key, input_size, num_gates=4)

    def activate(self, params: LSTMParams, carry: LSTMCarry, preactivations: Float[Array, " GH"]):
        """The gates from x_t W_x + h_{t−1} W_h + b, then the new memory and output."""
        del params
        i, f, g, o = gates(preactivations, "ssts")
        c = f * carry.c.astype(f.dtype) + i * g
        h = (o * jnp.tanh(c)).astype(preactivations.dtype)
        return LSTMCarry(h, c), h


def _init(cell: _LSTMFamily, key: Key, input_size: int, num_gates: int) -> LSTMParams:
    size, (key_x, key_h, key_b) = cell.hidden_size, jax.random.split(key, 3)
    return LSTMParams(
        w_x=init_gates(key_x, cell.w_x_init, num_gates, (input_size, size)),
        w_h=init_gates(key_h, cell.w_h_init, num_gates, (size, size)),
        b=_init_bias(cell, key_b, num_gates),
    )


def _init_bias(cell: _LSTMFamily, key: Key, num_gates: int) -> Float[Array, " GH"]:
    b = init_gates(key, cell.b_init, num_gates, (cell.hidden_size,))
    if not cell.chrono:
        return b
    b_f = chrono_bias(cell.chrono)(jax.random.fold_in(key, num_gates), (cell.hidden_size,))
    before = (-b_f, b_f) if num_gates == 4 else (b_f,)  # i f g o; or coupled, f g o: 1 − σ(b_f) is σ(−b_f)
    return jnp.concatenate([*before, b[len(before) * cell.hidden_size :]])


@dataclasses.dataclass(frozen=True)
class CoupledLSTM(_LSTMFamily):
    """The LSTM with coupled input and forget gates (CIFG): i_t = 1 − f_t. Gates in the order f g o.

    c_t = f_t ⊙ c_{t−1} + (1 − f_t) ⊙ g_t
    """

    b_init: GateInit = (1.0, 0.0, 0.0)  # f g o

    def init(self, key: Key, input_size: int) -> LSTMParams:
        """Draws w_x (D, 3H), w_h (H, 3H) and b (3H,)."""
        return _init(self, key, input_size, num_gates=3)

    def activate(self, params: LSTMParams, carry: LSTMCarry, preactivations: Float[Array, " GH"]):
        """As the LSTM's, with one gate for keeping and writing."""
        del params
        f, g, o = gates(preactivations, "sts")
        c = f * carry.c.astype(f.dtype) + (1 - f) * g
        h = (o * jnp.tanh(c)).astype(preactivations.dtype)
        return LSTMCarry(h, c), h


class PeepholeLSTMParams(NamedTuple):
    """The LSTM's weights and the peepholes p of the gates i, f and o."""

    w_x: Float[Array, "D GH"]
    w_h: Float[Array, "H GH"]
    b: Float[Array, " GH"]
    p: Float[Array, "3 H"]


@dataclasses.dataclass(frozen=True)
class PeepholeLSTM(_LSTMFamily):
    """The LSTM whose gates see the memory through diagonal weights.

    i_t = σ(… + p_i ⊙ c_{t−1})    f_t = σ(… + p_f ⊙ c_{t−1})    o_t = σ(… + p_o ⊙ c_t)
    """

    def init(self, key: Key, input_size: int) -> PeepholeLSTMParams:
        """Draws the LSTM's weights, and p (3, H) as zeros: it starts as an LSTM without peepholes."""
        p = jnp.zeros((3, self.hidden_size), jnp.float32)
        return PeepholeLSTMParams(*_init(self, key, input_size, num_gates=4), p=p)

    def project(self, params: PeepholeLSTMParams, x: Float[Array, " D"]) -> tuple[Float[Array, " H"], ...]:
        """The blocks of x W_x + b, each of which enters another expression (see `GRUPreactivations`)."""
        return tuple(jnp.split(super().project(params, x), 4))

    def preactivate(self, params: PeepholeLSTMParams, carry: LSTMCarry, z: tuple[Float[Array, " H"], ...]):
        """The blocks of z + h_{t−1} W_h."""
        from_h = jnp.split(carry.h.astype(z[0].dtype) @ params.w_h.astype(z[0].dtype), 4)
        return tuple(of_x + of_h for of_x, of_h in zip(z, from_h, strict=True))

    def activate(self, params: PeepholeLSTMParams, carry: LSTMCarry, preactivations: tuple[Float[Array, " H"], ...]):
        """As the LSTM's, with c_{t−1} seen by i and f, and c_t seen by o."""
        i, f, g, o = map(accumulating, preactivations)
        c, (p_i, p_f, p_o) = carry.c.astype(f.dtype), params.p.astype(f.dtype)
        c = jax.nn.sigmoid(f + p_f * c) * c + jax.nn.sigmoid(i + p_i * c) * jnp.tanh(g)
        h = (jax.nn.sigmoid(o + p_o * c) * jnp.tanh(c)).astype(preactivations[0].dtype)
        return LSTMCarry(h, c), h


class LayerNormLSTMParams(NamedTuple):
    """The LSTM's weights, the scales of the three normalisations, and the shift of the memory's."""

    w_x: Float[Array, "D GH"]
    w_h: Float[Array, "H GH"]
    b: Float[Array, " GH"]
    scale_x: Float[Array, " GH"]
    scale_h: Float[Array, " GH"]
    scale_c: Float[Array, " H"]
    b_c: Float[Array, " H"]


@dataclasses.dataclass(frozen=True)
class LayerNormLSTM(_LSTMFamily):
    """The LSTM with layer normalisation (LN) of what enters the gates and of the memory (Ba et al. 2016, eqs. 20–22).

    gates = LN(x_t W_x) + LN(h_{t−1} W_h) + b
    h_t = o_t ⊙ tanh(LN(c_t) + b_c)

    Each gate is normalised over all 4H numbers together, as in the paper. Shifts of the first two are in b.
    """

    def init(self, key: Key, input_size: int) -> LayerNormLSTMParams:
        """Draws the LSTM's weights; scales are 1 and the memory's shift 0."""
        size = self.hidden_size
        return LayerNormLSTMParams(
            *_init(self, key, input_size, num_gates=4),
            scale_x=jnp.ones(4 * size, jnp.float32),
            scale_h=jnp.ones(4 * size, jnp.float32),
            scale_c=jnp.ones(size, jnp.float32),
            b_c=jnp.zeros(size, jnp.float32),
        )

    def project(self, params: LayerNormLSTMParams, x: Float[Array, " D"]) -> Float[Array, " GH"]:
        """LN(x_t W_x) + b."""
        return add_bias(layer_norm(x @ params.w_x.astype(x.dtype), params.scale_x), params.b)

    def preactivate(self, params: LayerNormLSTMParams, carry: LSTMCarry, z: Float[Array, " GH"]):
        """z and h_{t−1} W_h, which is normalised by itself before they are added."""
        return z, carry.h.astype(z.dtype) @ params.w_h.astype(z.dtype)

    def activate(self, params: LayerNormLSTMParams, carry: LSTMCarry, preactivations: tuple[Array, Array]):
        """As the LSTM's, with the recurrent part and the memory normalised."""
        z, from_h = preactivations
        i, f, g, o = gates(z + layer_norm(from_h, params.scale_h), "ssts")
        c = f * carry.c.astype(f.dtype) + i * g
        squashed = jnp.tanh(layer_norm(c, params.scale_c) + params.b_c.astype(c.dtype))
        h = (o * squashed).astype(z.dtype)
        return LSTMCarry(h, c), h
