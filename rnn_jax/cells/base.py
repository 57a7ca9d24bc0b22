"""What the built-in cells share: the split of a step, and a registry-friendly set of fields."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

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
        return x @ params.w_x.astype(x.dtype) + params.b.astype(x.dtype)

    def recur(self, params: Params, carry: Carry, z: Any) -> tuple[Carry, Float[Array, " H"]]:
        """The rest of a step, given what `project` returned."""
        raise NotImplementedError

    def step(self, params: Params, carry: Carry, x: Float[Array, " D"]) -> tuple[Carry, Float[Array, " H"]]:
        """One time step of one example: x (D,) → the next carry and y (H,)."""
        return self.recur(params, carry, self.project(params, x))


def accumulating(x: Array) -> Array:
    """`x` in the dtype of carries that accumulate: float32, or float64 where the inputs are float64."""
    return x.astype(jnp.float64 if x.dtype == jnp.float64 else jnp.float32)


def layer_norm(x: Float[Array, " F"], scale: Float[Array, " F"], epsilon: float = 1e-5) -> Float[Array, " F"]:
    """(x − mean) / √(variance + ε) · scale over the last axis, computed in at least float32 (Ba et al. 2016)."""
    wide = accumulating(x)
    centred = wide - jnp.mean(wide, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
    return (centred * jax.lax.rsqrt(variance + epsilon)).astype(x.dtype) * scale.astype(x.dtype)
