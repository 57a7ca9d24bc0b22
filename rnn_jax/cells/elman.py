"""The Elman network (simple recurrent network), and its control without memory.

Source: Elman (1990), Finding structure in time. IRNN: activation "relu" with `w_h_init="identity"` (Le et al. 2015).
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.cells.base import DenseCell, SplitCell, add_bias, check_init, check_size, times
from rnn_jax.cells.initializers import check_spec, init_gates
from rnn_jax.types import Array, Float, InitSpec, InputSize, Key

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "sigmoid": jax.nn.sigmoid,
    "identity": lambda x: x,
}


class ElmanParams(NamedTuple):
    """Weights of the Elman cell."""

    w_x: Float[Array, "D H"]
    w_h: Float[Array, "H H"]
    b: Float[Array, " H"]


class ElmanCarry(NamedTuple):
    """The hidden state."""

    h: Float[Array, " H"]


@dataclasses.dataclass(frozen=True)
class Elman(DenseCell):
    """h_t = φ(x_t W_x + h_{t−1} W_h + b), y_t = h_t; φ is `activation`.

    Raises:
      ValueError: `activation` is not one of `ACTIVATIONS`.
    """

    _: dataclasses.KW_ONLY
    activation: str = "tanh"

    def __post_init__(self):
        super().__post_init__()
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"No activation {self.activation!r}; there are: {', '.join(ACTIVATIONS)}.")

    def init(self, key: Key, input_size: InputSize) -> ElmanParams:
        """Draws w_x (D, H), w_h (H, H) and b (H,)."""
        return ElmanParams(*self.draw_weights(key, input_size))

    def initial_carry(self, params: ElmanParams) -> ElmanCarry:
        """h_0 = 0."""
        del params
        return ElmanCarry(jnp.zeros(self.hidden_size))

    def activate(self, params: ElmanParams, carry: ElmanCarry, preactivations: Float[Array, " H"]):
        """φ of x_t W_x + b + h_{t−1} W_h."""
        del params, carry
        h = ACTIVATIONS[self.activation](preactivations)
        return ElmanCarry(h), h


class MemorylessParams(NamedTuple):
    """Weights of the control without memory."""

    w_x: Float[Array, "D H"]
    b: Float[Array, " H"]


@dataclasses.dataclass(frozen=True)
class Memoryless(SplitCell):
    """The control: y_t = tanh(x_t W_x + b), which sees one step only.

    Its carry holds y_t, so that it fits wherever an Elman cell does, but the next step never reads it.

    Raises:
      ValueError: the size is no integer of at least 1, or an initializer is none.
    """

    hidden_size: int
    _: dataclasses.KW_ONLY
    w_x_init: InitSpec = "glorot_uniform"
    b_init: InitSpec = "zeros"

    def __post_init__(self):
        check_size("hidden_size", self.hidden_size)
        check_spec("w_x_init", self.w_x_init, 1)
        check_spec("b_init", self.b_init, 1)

    def init(self, key: Key, input_size: InputSize) -> MemorylessParams:
        """Draws w_x (D, H) and b (H,)."""
        num_features, (key_x, key_b) = check_init(key, input_size), jax.random.split(key)
        return MemorylessParams(
            w_x=init_gates(key_x, self.w_x_init, 1, (num_features, self.hidden_size)),
            b=init_gates(key_b, self.b_init, 1, (self.hidden_size,)),
        )

    def initial_carry(self, params: MemorylessParams) -> ElmanCarry:
        """Zeros."""
        del params
        return ElmanCarry(jnp.zeros(self.hidden_size))

    def project(self, params: MemorylessParams, x: Float[Array, " D"]) -> Float[Array, " H"]:
        """x W_x + b."""
        return add_bias(times(x, params.w_x), params.b)

    def preactivate(self, params: MemorylessParams, carry: ElmanCarry, z: Float[Array, " H"]):
        """z, whatever the carry holds."""
        del params, carry
        return z

    def activate(self, params: MemorylessParams, carry: ElmanCarry, preactivations: Float[Array, " H"]):
        """tanh of x_t W_x + b."""
        del params, carry
        y = jnp.tanh(preactivations)
        return ElmanCarry(y), y
