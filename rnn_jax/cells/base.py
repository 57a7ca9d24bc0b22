"""What the built-in cells share: the split of a step, and a registry-friendly set of fields."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.types import Array, Carry, Float, InitSpec, Params

GateInit = InitSpec | tuple[InitSpec, ...]


@dataclasses.dataclass(frozen=True)
class GatedCell:
    """A cell with weights `w_x` (D, G·H), `w_h` (H, G·H) and bias `b` (G·H,), whose step splits in two.

    `step == recur(project(x))`: `project` holds everything that does not need the carry, so that an engine may compute
    it for many steps at once. Subclasses give `init`, `initial_carry`, `project` and `recur`.
    """

    hidden_size: int
    w_x_init: GateInit = "glorot_uniform"
    w_h_init: GateInit = "orthogonal"
    b_init: GateInit = "zeros"

    def project(self, params: Params, x: Float[Array, " D"]) -> Any:
        """The part of a step that needs no carry: x W_x + b (G·H,)."""
        return add_bias(x @ params.w_x.astype(x.dtype), params.b)

    def recur(self, params: Params, carry: Carry, z: Any) -> tuple[Carry, Float[Array, " H"]]:
        """The rest of a step, given what `project` returned."""
        raise NotImplementedError

    def step(self, params: Params, carry: Carry, x: Float[Array, " D"]) -> tuple[Carry, Float[Array, " H"]]:
        """One time step of one example: x (D,) → the next carry and y (H,)."""
        return self.recur(params, carry, self.project(params, x))


class SplitCell(GatedCell):
    """A cell whose `recur` splits once more, so that its gradient can be deferred (see `rnn_jax.scanning.deferred`).

    recur(carry, z) == activate(carry, preactivate(carry, z)). `preactivate` has the recurrent matmul; it is fastest
    if it is linear in the weights, so that its derivative needs no forward value. `activate` is what is left, number
    by number; what enters it is kept in the inputs' dtype. Subclasses give `init`, `initial_carry`, `activate`, and
    `preactivate` where it is more than a sum.
    """

    def preactivate(self, params: Params, carry: Carry, z: Any) -> Any:
        """What enters the activations: any pytree. Here z + h_{t−1} W_h."""
        return z + carry.h.astype(z.dtype) @ params.w_h.astype(z.dtype)

    def activate(self, params: Params, carry: Carry, preactivations: Any) -> tuple[Carry, Float[Array, " H"]]:
        """The next carry and y, given what `preactivate` returned."""
        raise NotImplementedError

    def recur(self, params: Params, carry: Carry, z: Any) -> tuple[Carry, Float[Array, " H"]]:
        """The rest of a step, given what `project` returned."""
        return self.activate(params, carry, self.preactivate(params, carry, z))


def gates(preactivations: Float[Array, " GH"], activations: str) -> list[Float[Array, " H"]]:
    """Equal blocks, each through its activation: "s" σ, "t" tanh; "sst" are three gates. At least float32.

    σ(x) = ½ + ½ tanh(x/2), so that all blocks go through one tanh: one vectorised operation in place of several.
    In float32 it is exactly 0 from about x = −18 on, where e^x would go on.
    """
    wide = accumulating(preactivations)
    size = preactivations.shape[-1] // len(activations)
    scale = np.repeat([0.5 if kind == "s" else 1.0 for kind in activations], size).astype(wide.dtype)
    shift = np.repeat([0.5 if kind == "s" else 0.0 for kind in activations], size).astype(wide.dtype)
    return jnp.split(jnp.tanh(wide * scale) * scale + shift, len(activations))


def accumulating(x: Array) -> Array:
    """`x` in the dtype of carries that accumulate: float32, or float64 where the inputs are float64."""
    return x.astype(jnp.float64 if x.dtype == jnp.float64 else jnp.float32)


def add_bias(x: Float[Array, " F"], bias: Float[Array, " F"]) -> Float[Array, " F"]:
    """x + bias in x's dtype. Added in float32, so that the bias' derivative is summed over steps and batch in it."""
    wide = accumulating(x)
    return (wide + bias.astype(wide.dtype)).astype(x.dtype)


def layer_norm(x: Float[Array, " F"], scale: Float[Array, " F"], epsilon: float = 1e-5) -> Float[Array, " F"]:
    """(x − mean) / √(variance + ε) · scale over the last axis, computed in at least float32 (Ba et al. 2016)."""
    wide = accumulating(x)
    centred = wide - jnp.mean(wide, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
    return (centred * jax.lax.rsqrt(variance + epsilon) * scale.astype(wide.dtype)).astype(x.dtype)
