"""Long short-term memory. Gates are stored in the order i f g o (input, forget, candidate, output).

Sources: Hochreiter & Schmidhuber (1997); forget gate: Gers et al. (2000); coupled gates (CIFG): Greff et al. (2017).
The other variants are in `lstm_variants`. The forget gate's bias starts at 1
(Jozefowicz et al. 2015), or by `chrono` where it is given. Weights move to and from torch.nn.LSTM by
transposing, with b = b_ih + b_hh.
"""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.cells.base import DenseCell, GateInit, squash
from rnn_jax.cells.initializers import Chrono
from rnn_jax.types import Array, Float, InputSize, Key, Params


class LSTMParams(NamedTuple):
    """Weights of the LSTM: G = 4 gates (3 in the coupled form)."""

    w_x: Float[Array, "D GH"]
    w_h: Float[Array, "H GH"]
    b: Float[Array, " GH"]


class LSTMCarry(NamedTuple):
    """Hidden state h and memory c; c accumulates and so stays float32 when the inputs are bfloat16."""

    h: Float[Array, " H"]
    c: Float[Array, " H"]


class LSTMGates(NamedTuple):
    """What the gates do at one step: i_t, f_t and o_t in (0, 1), and the candidate g_t in (−1, 1)."""

    input: Float[Array, " H"]
    forget: Float[Array, " H"]
    candidate: Float[Array, " H"]
    output: Float[Array, " H"]


@dataclasses.dataclass(frozen=True)
class LSTMFamily(DenseCell):
    """What all LSTMs share: the fields, the start, and the biases."""

    num_gates: ClassVar[int] = 4

    _: dataclasses.KW_ONLY
    b_init: GateInit = (0.0, 1.0, 0.0, 0.0)  # i f g o
    chrono: int = 0

    def __post_init__(self):
        super().__post_init__()
        if self.chrono:
            Chrono(self.chrono)  # an error now, not at init

    def initial_carry(self, params: Params) -> LSTMCarry:
        """h_0 = c_0 = 0."""
        del params
        return LSTMCarry(jnp.zeros(self.hidden_size), jnp.zeros(self.hidden_size))

    def draw_weights(self, key: Key, input_size: InputSize) -> tuple[Array, Array, Array]:
        """w_x (D, G·H), w_h (H, G·H) and b (G·H,), the biases of `chrono` where it is given."""
        w_x, w_h, b = super().draw_weights(key, input_size)
        if self.chrono:
            key_b = jax.random.fold_in(jax.random.split(key, 3)[2], self.num_gates)
            b_f = Chrono(self.chrono)(key_b, (self.hidden_size,))
            before = (-b_f, b_f) if self.num_gates == 4 else (b_f,)  # i f g o; or f g o: 1 − σ(b_f) is σ(−b_f)
            b = jnp.concatenate([*before, b[len(before) * self.hidden_size :]])
        return w_x, w_h, b


@dataclasses.dataclass(frozen=True)
class LSTM(LSTMFamily):
    """Long short-term memory with a forget gate.

    i_t, f_t, o_t = σ(x_t W_x + h_{t−1} W_h + b)    g_t = tanh(…), each gate with its own block of the weights
    c_t = f_t ⊙ c_{t−1} + i_t ⊙ g_t
    h_t = o_t ⊙ tanh(c_t),  y_t = h_t

    `chrono` = T_max, the longest dependency in steps, is for long memories: biases start at b_f = log U(1, T_max − 1)
    and b_i = −b_f, whatever `b_init` says of these two (0 = off; Tallec & Ollivier 2018). All variants have it.

    Raises:
      ValueError: `chrono` is 1 or negative.
    """

    def init(self, key: Key, input_size: InputSize) -> LSTMParams:
        """Draws w_x (D, 4H), w_h (H, 4H) and b (4H,)."""
        return LSTMParams(*self.draw_weights(key, input_size))

    def gates(self, params: LSTMParams, carry: LSTMCarry, preactivations: Float[Array, " GH"]) -> LSTMGates:
        """The gates from x_t W_x + h_{t−1} W_h + b."""
        del params, carry
        return LSTMGates(*squash(preactivations, "ssts"))

    def activate(self, params: LSTMParams, carry: LSTMCarry, preactivations: Float[Array, " GH"]):
        """The gates, then the new memory and output."""
        i, f, g, o = self.gates(params, carry, preactivations)
        c = f * carry.c.astype(f.dtype) + i * g
        h = (o * jnp.tanh(c)).astype(preactivations.dtype)
        return LSTMCarry(h, c), h


class CoupledGates(NamedTuple):
    """What the gates do at one step: f_t, which is 1 − i_t, the candidate g_t, and o_t."""

    forget: Float[Array, " H"]
    candidate: Float[Array, " H"]
    output: Float[Array, " H"]


@dataclasses.dataclass(frozen=True)
class CoupledLSTM(LSTMFamily):
    """The LSTM with coupled input and forget gates (CIFG): i_t = 1 − f_t. Gates in the order f g o.

    c_t = f_t ⊙ c_{t−1} + (1 − f_t) ⊙ g_t
    """

    num_gates: ClassVar[int] = 3

    _: dataclasses.KW_ONLY
    b_init: GateInit = (1.0, 0.0, 0.0)  # f g o

    def init(self, key: Key, input_size: InputSize) -> LSTMParams:
        """Draws w_x (D, 3H), w_h (H, 3H) and b (3H,)."""
        return LSTMParams(*self.draw_weights(key, input_size))

    def gates(self, params: LSTMParams, carry: LSTMCarry, preactivations: Float[Array, " GH"]) -> CoupledGates:
        """The gates from x_t W_x + h_{t−1} W_h + b."""
        del params, carry
        return CoupledGates(*squash(preactivations, "sts"))

    def activate(self, params: LSTMParams, carry: LSTMCarry, preactivations: Float[Array, " GH"]):
        """As the LSTM's, with one gate for keeping and writing."""
        f, g, o = self.gates(params, carry, preactivations)
        c = f * carry.c.astype(f.dtype) + (1 - f) * g
        h = (o * jnp.tanh(c)).astype(preactivations.dtype)
        return LSTMCarry(h, c), h
