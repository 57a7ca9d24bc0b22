"""What the built-in cells share: the split of a step, the fields of dense gates, and the pieces of their equations."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.cells.contract import with_key
from rnn_jax.cells.initializers import check_spec, init_gates
from rnn_jax.numerics import check_integer
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
    `preactivate` that is cheap to repeat. A cell that draws takes `key=None` in `preactivate` or `activate`. `gates`
    may say what enters the carry through which gate, by name, given what `activate` is given.
    """

    splits: ClassVar[bool] = True
    defer_by_default: ClassVar[bool] = True
    recurrent_weights: ClassVar[tuple[str, ...]] = ()

    def project(self, params: Params, x: Inputs) -> Any:
        """The part of a step that needs no carry."""
        raise NotImplementedError(f"{type(self).__name__} is a SplitCell without `project`.")

    def preactivate(self, params: Params, carry: Carry, z: Any) -> Any:
        """What enters the activations, given what `project` returned: any pytree."""
        raise NotImplementedError(f"{type(self).__name__} is a SplitCell without `preactivate`.")

    def activate(self, params: Params, carry: Carry, preactivations: Any) -> tuple[Carry, Outputs]:
        """The next carry and y, given what `preactivate` returned."""
        raise NotImplementedError(f"{type(self).__name__} is a SplitCell without `activate`.")

    def step(self, params: Params, carry: Carry, x: Inputs, key: Key | None = None) -> tuple[Carry, Outputs]:
        """One time step of one example: x → the next carry and y; a key goes to those parts that take one."""
        z = self.project(params, x)
        preactivations = self.preactivate(params, carry, z, **with_key(self.preactivate, key))
        return self.activate(params, carry, preactivations, **with_key(self.activate, key))


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
        block_x, block_h = self.blocks(key, input_size)
        key_x, key_h, key_b = jax.random.split(key, 3)
        return (
            self.draw("w_x_init", key_x, block_x),
            self.draw("w_h_init", key_h, block_h),
            self.draw("b_init", key_b, (self.hidden_size,)),
        )

    def blocks(self, key: Key, input_size: InputSize) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The shapes of one gate's block of w_x and of w_h; errors as `check_init`."""
        return (check_init(key, input_size), self.hidden_size), (self.recurrent_size, self.hidden_size)

    def draw(self, field: str, key: Key, shape: tuple[int, ...]) -> Array:
        """The blocks of all gates, (…, G·H), by the initializer of that field.

        Raises:
          ValueError: the initializer is not one for this shape.
        """
        try:
            return init_gates(key, getattr(self, field), self.num_gates, shape)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{field}={getattr(self, field)!r} cannot draw the shape {shape}: {error}") from error

    def project(self, params: Params, x: Float[Array, " D"]) -> Any:
        """x W_x + b (G·H,)."""
        return add_bias(times(x, params.w_x), params.b)

    def preactivate(self, params: Params, carry: Carry, z: Any) -> Any:
        """z + h_{t−1} W_h."""
        return z + carry.h.astype(z.dtype) @ params.w_h.astype(z.dtype)


def check_size(name: str, size: Any) -> None:
    """ValueError where a number of units or features is no integer of at least 1."""
    check_integer(name, size, 1)


def check_key(argument: str, key: Any) -> None:
    """ValueError where something is not one random key, as from `jax.random.key` or `jax.random.PRNGKey`."""
    dtype, shape = getattr(key, "dtype", None), getattr(key, "shape", None)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    if not ((typed and shape == ()) or (dtype == jnp.uint32 and len(shape or ()) == 1)):
        given = repr(key) if shape is None else f"{dtype} of shape {shape}"
        raise ValueError(f"{argument} is one jax.random.key; got {given}.")


def check_init(key: Any, input_size: Any) -> int:
    """D, the number of features of a vector x.

    Raises:
      ValueError: `key` is no key, or `input_size` does not say the size of a vector; often they are swapped.
    """
    if isinstance(input_size, jax.ShapeDtypeStruct):
        input_size = input_size.shape
    if isinstance(input_size, tuple) and len(input_size) == 1:
        (input_size,) = input_size
    check_key("init(key, input_size): key", key)
    if isinstance(input_size, jax.Array):  # a key, usually
        raise ValueError(
            f"init(key, input_size): input_size is an integer of at least 1; got an array of {input_size.dtype}."
        )
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


def squash(preactivations: Float[Array, "*S GH"], activations: str) -> list[Float[Array, "*S H"]]:
    """Equal blocks of the last axis, each through its activation: "s" σ, "t" tanh; "sst" are three gates.

    At least in float32.

    σ(x) = ½ + ½ tanh(x/2), so that all blocks go through one tanh: one vectorised operation in place of several.
    In float32 it is exactly 0 from about x = −18 on, where e^x would go on.
    """
    wide = accumulating(preactivations)
    size = preactivations.shape[-1] // len(activations)
    scales = np.repeat([0.5 if kind == "s" else 1.0 for kind in activations], size).astype(wide.dtype)
    shifts = np.repeat([0.5 if kind == "s" else 0.0 for kind in activations], size).astype(wide.dtype)
    scale, shift = (jnp.broadcast_to(each, wide.shape) for each in (scales, shifts))
    return jnp.split(jnp.tanh(wide * scale) * scale + shift, len(activations), axis=-1)


def accumulating(x: Array) -> Array:
    """`x` in the dtype of carries that accumulate: float32, or float64 where the inputs are float64."""
    return x.astype(jnp.float64 if x.dtype == jnp.float64 else jnp.float32)


def add_bias(x: Float[Array, "*S F"], bias: Float[Array, " F"]) -> Float[Array, "*S F"]:
    """x + bias in x's dtype. Added in float32, so that the bias' derivative is summed over steps and batch in it."""
    wide = accumulating(x)
    return (wide + jnp.broadcast_to(bias.astype(wide.dtype), wide.shape)).astype(x.dtype)


def layer_norm(x: Float[Array, " F"], scale: Float[Array, " F"], epsilon: float = 1e-5) -> Float[Array, " F"]:
    """(x − mean) / √(variance + ε) · scale over the last axis, computed in at least float32 (Ba et al. 2016)."""
    wide = accumulating(x)
    centred = wide - jnp.mean(wide, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
    return (centred * jax.lax.rsqrt(variance + epsilon) * scale.astype(wide.dtype)).astype(x.dtype)
