"""The LSTM of images: convolutions in place of matrix products. Gates in the order i f g o.

Source: Shi et al. (2015), eq. 3, whose peepholes are a cell of their own here. The forget gate's bias starts at 1, as
that of our other LSTMs.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.cells.base import accumulating, add_bias, check_key, check_size, squash
from rnn_jax.cells.lstm import LSTMFamily
from rnn_jax.convolution import convolve
from rnn_jax.types import Array, Float, InputSize, Key, Params


class ConvLSTMParams(NamedTuple):
    """Kernels of K × K places, and a bias that all places share; G = 4 gates."""

    w_x: Float[Array, "K K D GH"]
    w_h: Float[Array, "K K H GH"]
    b: Float[Array, " GH"]


class ConvLSTMCarry(NamedTuple):
    """Hidden state h and memory c, an image each; c accumulates and so stays float32 when the inputs are bfloat16."""

    h: Float[Array, "Y X H"]
    c: Float[Array, "Y X H"]


class ConvLSTMGates(NamedTuple):
    """What the gates do at one step: i_t, f_t and o_t in (0, 1), and the candidate g_t in (−1, 1)."""

    input: Float[Array, "Y X H"]
    forget: Float[Array, "Y X H"]
    candidate: Float[Array, "Y X H"]
    output: Float[Array, "Y X H"]


@dataclasses.dataclass(frozen=True)
class ConvLSTM(LSTMFamily):
    """The LSTM of images (Y, X, D): each place reads those around it.

    i_t, f_t, o_t = σ(x_t ∗ W_x + h_{t−1} ∗ W_h + b)    g_t = tanh(…), each gate with its own block of the weights
    c_t = f_t ⊙ c_{t−1} + i_t ⊙ g_t
    h_t = o_t ⊙ tanh(c_t),  y_t = h_t

    `hidden_size` is the number of channels H of h, `image_size` is (Y, X); ∗ is a convolution with a kernel of
    `kernel_size` × `kernel_size` places, beyond the edges of an image are zeros.

    Raises:
      ValueError: `image_size` is no pair of sizes; `kernel_size` is even.
    """

    _: dataclasses.KW_ONLY
    image_size: tuple[int, int]
    kernel_size: int = 3

    def __post_init__(self):
        super().__post_init__()
        given: Any = self.image_size
        if not isinstance(given, tuple) or len(given) != 2:
            raise ValueError(f"image_size is a pair, (height, width); got {self.image_size!r}.")
        for size in self.image_size:
            check_size("image_size", size)
        check_size("kernel_size", self.kernel_size)
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is odd, so that a kernel has a middle; got {self.kernel_size}.")

    def initial_carry(self, params: Params) -> ConvLSTMCarry:  # type: ignore[override]
        """h_0 = c_0 = 0."""
        del params
        shape = (*self.image_size, self.hidden_size)
        return ConvLSTMCarry(jnp.zeros(shape), jnp.zeros(shape))

    def init(self, key: Key, input_size: InputSize) -> ConvLSTMParams:
        """Draws w_x (K, K, D, 4H), w_h (K, K, H, 4H) and b (4H,) for images (Y, X, D)."""
        return ConvLSTMParams(*self.draw_weights(key, input_size))

    def blocks(self, key: Key, input_size: InputSize) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """(K, K, D, H) and (K, K, H, H).

        Raises:
          ValueError: `key` is no key; `input_size` is not the shape (Y, X, D) of an image of `image_size`.
        """
        check_key("init(key, input_size): key", key)
        shape = tuple(getattr(input_size, "shape", input_size if isinstance(input_size, tuple) else (input_size,)))
        if len(shape) != 3 or shape[:2] != self.image_size:
            raise ValueError(
                f"init(key, input_size): input_size is the shape of one image, {self.image_size} and its channels; got"
                f" {input_size!r}."
            )
        square = (self.kernel_size, self.kernel_size)
        return (*square, shape[2], self.hidden_size), (*square, self.hidden_size, self.hidden_size)

    def project(self, params: Params, x: Float[Array, "Y X D"]) -> Float[Array, "Y X GH"]:
        """x ∗ W_x + b."""
        return add_bias(convolve(x, params.w_x), params.b)

    def preactivate(self, params: Params, carry: ConvLSTMCarry, z: Float[Array, "Y X GH"]) -> Float[Array, "Y X GH"]:
        """z + h_{t−1} ∗ W_h."""
        return z + convolve(carry.h.astype(z.dtype), params.w_h)

    def gates(self, params: Params, carry: ConvLSTMCarry, preactivations: Float[Array, "Y X GH"]) -> ConvLSTMGates:
        """The gates from x_t ∗ W_x + h_{t−1} ∗ W_h + b."""
        del params, carry
        return ConvLSTMGates(*squash(preactivations, "ssts"))

    def activate(self, params: Params, carry: ConvLSTMCarry, preactivations: Float[Array, "Y X GH"]):
        """The gates, then the new memory and output."""
        i, f, g, o = self.gates(params, carry, preactivations)
        c = f * carry.c.astype(f.dtype) + i * g
        h = (o * jnp.tanh(c)).astype(preactivations.dtype)
        return ConvLSTMCarry(h, c), h


class PeepholeConvLSTMParams(NamedTuple):
    """The kernels and the bias, and the peepholes p of the gates i, f and o: a weight for every number of c."""

    w_x: Float[Array, "K K D GH"]
    w_h: Float[Array, "K K H GH"]
    b: Float[Array, " GH"]
    p: Float[Array, "3 Y X H"]


@dataclasses.dataclass(frozen=True)
class PeepholeConvLSTM(ConvLSTM):
    """The `ConvLSTM` whose gates see the memory, as Shi et al. (2015) have it.

    i_t = σ(… + p_i ⊙ c_{t−1})    f_t = σ(… + p_f ⊙ c_{t−1})    o_t = σ(… + p_o ⊙ c_t)
    """

    def init(self, key: Key, input_size: InputSize) -> PeepholeConvLSTMParams:  # type: ignore[override]
        """Draws the ConvLSTM's weights, and p (3, Y, X, H) as zeros: it starts as a ConvLSTM without peepholes."""
        p = jnp.zeros((3, *self.image_size, self.hidden_size), jnp.float32)
        return PeepholeConvLSTMParams(*self.draw_weights(key, input_size), p=p)

    def gates(self, params: Params, carry: ConvLSTMCarry, preactivations: Float[Array, "Y X GH"]) -> ConvLSTMGates:
        """c_{t−1} is seen by i and f, and c_t by o."""
        i, f, g, o = jnp.split(accumulating(preactivations), 4, axis=-1)
        c, (p_i, p_f, p_o) = carry.c.astype(f.dtype), params.p.astype(f.dtype)
        i, f, g = jax.nn.sigmoid(i + p_i * c), jax.nn.sigmoid(f + p_f * c), jnp.tanh(g)
        return ConvLSTMGates(i, f, g, jax.nn.sigmoid(o + p_o * (f * c + i * g)))
