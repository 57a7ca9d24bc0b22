"""Variants of the LSTM: peepholes, layer normalisation, a recurrent projection. Gates in the order i f g o.

Sources: peepholes: Gers & Schmidhuber (2000); layer normalisation: Ba et al. (2016); projection: Sak, Senior & Beaufays
(2014).
"""

import dataclasses
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from rnn_jax.cells.base import GateInit, accumulating, add_bias, check_size, layer_norm, squash, times
from rnn_jax.cells.initializers import init_gates
from rnn_jax.cells.lstm import LSTMCarry, LSTMFamily, LSTMGates
from rnn_jax.types import Array, Float, InputSize, Key


class PeepholeLSTMParams(NamedTuple):
    """The LSTM's weights and the peepholes p of the gates i, f and o."""

    w_x: Float[Array, "D GH"]
    w_h: Float[Array, "H GH"]
    b: Float[Array, " GH"]
    p: Float[Array, "3 H"]


Blocks: TypeAlias = tuple[Float[Array, " H"], ...]  # i f g o


@dataclasses.dataclass(frozen=True)
class PeepholeLSTM(LSTMFamily):
    """The LSTM whose gates see the memory through diagonal weights.

    i_t = σ(… + p_i ⊙ c_{t−1})    f_t = σ(… + p_f ⊙ c_{t−1})    o_t = σ(… + p_o ⊙ c_t)
    """

    def init(self, key: Key, input_size: InputSize) -> PeepholeLSTMParams:
        """Draws the LSTM's weights, and p (3, H) as zeros: it starts as an LSTM without peepholes."""
        p = jnp.zeros((3, self.hidden_size), jnp.float32)
        return PeepholeLSTMParams(*self.draw_weights(key, input_size), p=p)

    def project(self, params: PeepholeLSTMParams, x: Float[Array, " D"]) -> Blocks:
        """The blocks of x W_x + b, each of which enters another expression (see `GRUPreactivations`)."""
        return tuple(jnp.split(super().project(params, x), 4))

    def preactivate(self, params: PeepholeLSTMParams, carry: LSTMCarry, z: Blocks):
        """The blocks of z + h_{t−1} W_h."""
        from_h = jnp.split(carry.h.astype(z[0].dtype) @ params.w_h.astype(z[0].dtype), 4)
        return tuple(of_x + of_h for of_x, of_h in zip(z, from_h, strict=True))

    def gates(self, params: PeepholeLSTMParams, carry: LSTMCarry, preactivations: Blocks) -> LSTMGates:
        """c_{t−1} is seen by i and f, and c_t by o."""
        i, f, g, o = map(accumulating, preactivations)
        c, (p_i, p_f, p_o) = carry.c.astype(f.dtype), params.p.astype(f.dtype)
        i, f, g = jax.nn.sigmoid(i + p_i * c), jax.nn.sigmoid(f + p_f * c), jnp.tanh(g)
        return LSTMGates(i, f, g, jax.nn.sigmoid(o + p_o * (f * c + i * g)))

    def activate(self, params: PeepholeLSTMParams, carry: LSTMCarry, preactivations: Blocks):
        """The new memory and output, as the LSTM's."""
        i, f, g, o = self.gates(params, carry, preactivations)
        c = f * carry.c.astype(f.dtype) + i * g
        h = (o * jnp.tanh(c)).astype(preactivations[0].dtype)
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
class LayerNormLSTM(LSTMFamily):
    """The LSTM with layer normalisation (LN) of what enters the gates and of the memory (Ba et al. 2016, eqs. 20–22).

    gates = LN(x_t W_x) + LN(h_{t−1} W_h) + b
    h_t = o_t ⊙ tanh(LN(c_t) + b_c)

    Each gate is normalised over all 4H numbers together, as in the paper. Shifts of the first two are in b.
    """

    def init(self, key: Key, input_size: InputSize) -> LayerNormLSTMParams:
        """Draws the LSTM's weights; scales are 1 and the memory's shift 0."""
        size = self.hidden_size
        return LayerNormLSTMParams(
            *self.draw_weights(key, input_size),
            scale_x=jnp.ones(4 * size, jnp.float32),
            scale_h=jnp.ones(4 * size, jnp.float32),
            scale_c=jnp.ones(size, jnp.float32),
            b_c=jnp.zeros(size, jnp.float32),
        )

    def project(self, params: LayerNormLSTMParams, x: Float[Array, " D"]) -> Float[Array, " GH"]:
        """LN(x_t W_x) + b."""
        return add_bias(layer_norm(times(x, params.w_x), params.scale_x), params.b)

    def preactivate(self, params: LayerNormLSTMParams, carry: LSTMCarry, z: Float[Array, " GH"]):
        """z and h_{t−1} W_h, which is normalised by itself before they are added."""
        return z, carry.h.astype(z.dtype) @ params.w_h.astype(z.dtype)

    def gates(self, params: LayerNormLSTMParams, carry: LSTMCarry, preactivations: tuple[Array, Array]) -> LSTMGates:
        """As the LSTM's, with the recurrent part normalised."""
        del carry
        z, from_h = preactivations
        return LSTMGates(*squash(z + layer_norm(from_h, params.scale_h), "ssts"))

    def activate(self, params: LayerNormLSTMParams, carry: LSTMCarry, preactivations: tuple[Array, Array]):
        """As the LSTM's, with the memory normalised on its way out."""
        i, f, g, o = self.gates(params, carry, preactivations)
        c = f * carry.c.astype(f.dtype) + i * g
        squashed = jnp.tanh(layer_norm(c, params.scale_c) + params.b_c.astype(c.dtype))
        h = (o * squashed).astype(preactivations[0].dtype)
        return LSTMCarry(h, c), h


class ProjectedLSTMParams(NamedTuple):
    """The LSTM's weights, with w_h for the R projected numbers, and the projection."""

    w_x: Float[Array, "D GH"]
    w_h: Float[Array, "R GH"]
    b: Float[Array, " GH"]
    w_p: Float[Array, "H R"]


@dataclasses.dataclass(frozen=True)
class ProjectedLSTM(LSTMFamily):
    """The LSTM whose output is projected to R = `projection_size` numbers before the next step reads it.

    h_t = (o_t ⊙ tanh(c_t)) W_p,  y_t = h_t;  h has R numbers, c and the gates have `hidden_size`

    R is `hidden_size` by default, where it is not given. As torch.nn.LSTM with `proj_size`; deviations from Sak et al.
    (2014): no peepholes and no second projection that is not recurrent.
    """

    _: dataclasses.KW_ONLY
    projection_size: int | None = None
    w_p_init: GateInit = "glorot_uniform"

    def __post_init__(self):
        super().__post_init__()
        if self.projection_size is not None:
            check_size("projection_size", self.projection_size)

    @property
    def recurrent_size(self) -> int:
        """R."""
        return self.projection_size or self.hidden_size

    def init(self, key: Key, input_size: InputSize) -> ProjectedLSTMParams:
        """Draws w_x (D, 4H), w_h (R, 4H), b (4H,) and w_p (H, R)."""
        w_p = init_gates(jax.random.fold_in(key, 1), self.w_p_init, 1, (self.hidden_size, self.recurrent_size))
        return ProjectedLSTMParams(*self.draw_weights(key, input_size), w_p)

    def initial_carry(self, params: ProjectedLSTMParams) -> LSTMCarry:
        """h_0 = 0 (R,) and c_0 = 0 (H,)."""
        del params
        return LSTMCarry(jnp.zeros(self.recurrent_size), jnp.zeros(self.hidden_size))

    def gates(self, params: ProjectedLSTMParams, carry: LSTMCarry, preactivations: Float[Array, " GH"]) -> LSTMGates:
        """The gates from x_t W_x + h_{t−1} W_h + b."""
        del params, carry
        return LSTMGates(*squash(preactivations, "ssts"))

    def activate(self, params: ProjectedLSTMParams, carry: LSTMCarry, preactivations: Float[Array, " GH"]):
        """The LSTM's, and the projection of its output."""
        i, f, g, o = self.gates(params, carry, preactivations)
        c = f * carry.c.astype(f.dtype) + i * g
        h = (o * jnp.tanh(c)).astype(preactivations.dtype) @ params.w_p.astype(preactivations.dtype)
        return LSTMCarry(h, c), h
