"""What the built-in cells share: the split of a step, the fields of dense gates, and the pieces of their equations."""

import dataclasses
import operator
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.cells.initializers import check_spec, init_gates
from rnn_jax.types import Array, Carry, Float, InitSpec, Inputs, InputSize, Key, Outputs, Params, Static

GateInit = InitSpec | tuple[InitSpec, ...]


class SplitCell(Static):
    """A cell whose step comes in three parts, so that its gradient can be deferred (see `rnn_jax.scanning.deferred`).

    step(carry, x) == activate(carry, preactivate(carry, project(x))). `project` has all that needs no carry, so that it
    may be computed for many steps at once. `preactivate` has the recurrent matmul; it is fastest if it is linear in the
    weights, so that its derivative needs no forward value. `activate` is what is left, number by number; what enters it
    is kept in the inputs' dtype.

    Subclasses give these three, `init` and `initial_carry`. One that overrides `step` itself is taken for a cell that
    does not split. `defer_by_default` is False for one whose deferred gradient was measured to be slower, for want of a
    `preactivate` that is cheap to repeat. A cell whose `step` has an argument `key` gets it in `preactivate` and
    `activate` as well. `gates` may say what enters the carry through which gate, by name, given what `activate` is.
    """

    splits: ClassVar[bool] = True
    defer_by_default: ClassVar[bool] = True
    recurrent_weights: ClassVar[tuple[str, ...]] = ()

    def project(self, params: Params, x: Inputs) -> Any:
        """The part of a step that needs no carry."""
        raise NotImplementedError

    def preactivate(self, params: Params, carry: Carry, z: Any) -> Any:
        """What enters the activations, given what `project` returned: any pytree."""
        raise NotImplementedError

    def activate(self, params: Params, carry: Carry, preactivations: Any) -> tuple[Carry, Outputs]:
        """The next carry and y, given what `preactivate` returned."""
        raise NotImplementedError

    def step(self, params: Params, carry: Carry, x: Inputs) -> tuple[Carry, Outputs]:
        """One time step of one example: x → the next carry and y."""
        return self.activate(params, carry, self.preactivate(params, carry, self.project(params, x)))


@dataclasses.dataclass(frozen=True)
class DenseCell(SplitCell):
    """A cell of `hidden_size` units with dense weights: w_x (D, G·H), w_h (H, G·H) and b (G·H,) for `num_gates` = G.

    The initializers are one for all gates, or a tuple with one a gate. Subclasses give `activate` and `initial_carry`.

    Raises:
      ValueError: the size is no integer of at least 1, or an initializer is none or not one a gate.
    """

    num_gates: ClassVar[int] = 1
    recurrent_weights: ClassVar[tuple[str, ...]] = ("w_h",)

    hidden_size: int
    _: dataclasses.KW_ONLY
    w_x_init: GateInit = "glorot_uniform"
    w_h_init: GateInit = "orthogonal"
    b_init: GateInit = "zeros"

    def __post_init__(self):
        check_size("hidden_size", self.hidden_size)
        for name in (field.name for field in dataclasses.fields(self) if field.name.endswith("_init")):
            check_spec(name, getattr(self, name), self.num_gates)

    @property
    def recurrent_size(self) -> int:
        """How many numbers of the carry the recurrent weights read: `hidden_size`, unless a cell says another."""
        return self.hidden_size

    def draw_weights(self, key: Key, input_size: InputSize) -> tuple[Array, Array, Array]:
        """w_x (D, G·H), w_h (H, G·H) and b (G·H,), every gate's block by itself."""
        num_features = check_init(key, input_size)
        size, (key_x, key_h, key_b) = self.hidden_size, jax.random.split(key, 3)
        w_x = init_gates(key_x, self.w_x_init, self.num_gates, (num_features, size))
        w_h = init_gates(key_h, self.w_h_init, self.num_gates, (self.recurrent_size, size))
        return w_x, w_h, init_gates(key_b, self.b_init, self.num_gates, (size,))

    def project(self, params: Params, x: Float[Array, " D"]) -> Any:
        """x W_x + b (G·H,)."""
        return add_bias(times(x, params.w_x), params.b)

    def preactivate(self, params: Params, carry: Carry, z: Any) -> Any:
        """z + h_{t−1} W_h."""
        return z + carry.h.astype(z.dtype) @ params.w_h.astype(z.dtype)


def check_size(name: str, size: Any) -> None:
    """ValueError where a number of units or features is no integer of at least 1."""
    try:
        fits = operator.index(size) >= 1 and not isinstance(size, bool)
    except TypeError:
        fits = False
    if not fits:
        raise ValueError(f"{name} is an integer of at least 1; got {size!r}.")


def check_init(key: Any, input_size: Any) -> int:
    """D, the number of features of a vector x.

    Raises:
      ValueError: `key` is no key, or `input_size` does not say the size of a vector; often they are swapped.
    """
    if isinstance(input_size, jax.ShapeDtypeStruct):
        input_size = input_size.shape
    if isinstance(input_size, tuple) and len(input_size) == 1:
        (input_size,) = input_size
    dtype = getattr(key, "dtype", None)
    is_key = dtype is not None and (jnp.issubdtype(dtype, jax.dtypes.prng_key) or dtype == jnp.uint32)
    if not is_key:
        raise ValueError(f"init(key, input_size): key is a jax.random.key; got {key!r}.")
    if isinstance(input_size, jax.Array):  # a key, usually
        raise ValueError(f"init(key, input_size): input_size is an integer of at least 1; got {input_size!r}.")
    check_size("input_size", input_size)
    return int(input_size)


def times(x: Float[Array, " D"], weights: Float[Array, "D F"]) -> Float[Array, " F"]:
    """x W in x's dtype.

    Raises:
      TypeError: x is not of floating-point numbers: in such a dtype all weights would be 0.
      ValueError: x is no vector of as many numbers as W has rows.
    """
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"x holds floating-point numbers; got {x.dtype}. Give xs.astype(jnp.float32), or embed ids.")
    if x.shape != weights.shape[:1]:
        raise ValueError(
            f"x has shape {x.shape} at one step of one example, but the params were made for vectors of "
            f"{weights.shape[0]} numbers: init's input_size is the last axis of xs."
        )
    return x @ weights.astype(x.dtype)


def squash(preactivations: Float[Array, " GH"], activations: str) -> list[Float[Array, " H"]]:
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
