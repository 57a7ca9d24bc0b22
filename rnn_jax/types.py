"""Names that every level shares: axis letters, array aliases, and what a cell and a layer are.

Axis letters in shapes: T time, B batch, D input, H hidden, F features, V vocabulary, S source length.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import jax

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Float, Int
else:
    try:
        from jaxtyping import Array, Bool, Float, Int
    except ImportError:  # `import rnn_jax` asks for nothing but jax: without jaxtyping, shapes are comments.
        Array = jax.Array

        class _Unchecked:
            def __class_getitem__(cls, _):
                return jax.Array

        Bool = Float = Int = _Unchecked

Key = jax.Array
Params = Any
Carry = Any
Inputs = Any
"""Any pytree of arrays: `x` is that of one step, `xs` has leading (T,) or (B, T) in every array."""
Outputs = Any
"""Likewise for what a step returns beside the carry, `y` and `ys`."""
InputSize = Any
"""One x as `init` wants to know it: an integer D for a vector of D numbers, a tuple for the shape of one float32 array,
or a pytree of `jax.ShapeDtypeStruct`s."""
Initializer = Callable[..., jax.Array]
InitSpec = str | float | Initializer
"""A named initializer, a constant, or a function of (key, shape, dtype)."""

__all__ = [
    "Array",
    "Bool",
    "Carry",
    "Cell",
    "Float",
    "InitSpec",
    "Initializer",
    "InputSize",
    "Inputs",
    "Int",
    "Key",
    "Layer",
    "Outputs",
    "Params",
    "Static",
]


class Static:
    """A description that holds no arrays: its subclasses are pytrees without leaves.

    So that a cell or a layer can be an argument of `jax.jit`, `jax.vmap` and the like; equal ones share programs.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        jax.tree_util.register_static(cls)


@runtime_checkable
class Cell(Protocol):
    """One time step of one example, as pure functions; hyperparameters are fields, arrays are `params`.

    Any class with these three methods is a cell; it needs no base class and no registration. A cell is hashable
    (a frozen dataclass), so that it can be closed over and compared.

    A cell that wants randomness at every step takes it as `step(params, carry, x, key=None)`, and computes the
    expectation where key is None. What else a cell may have: `recurrent_weights`, the names of the params that act on
    the carry (for recurrent dropout; `w_h` if it does not say); `gates(params, carry, x)`, a NamedTuple or dict of what
    its gates do (to look at). A cell whose step splits in parts derives from `rnn_jax.cells.base.SplitCell`.
    """

    def init(self, key: Key, input_size: InputSize) -> Params:
        """Draws parameters for an x of `input_size` numbers, or whatever the cell must know; a pytree of float32."""

    def initial_carry(self, params: Params) -> Carry:
        """The carry before the first step: any pytree of arrays, the same structure that `step` returns.

        It may be, or be made of, params: then it is learned. (A cell may also define it without the argument.)
        """

    def step(self, params: Params, carry: Carry, x: Inputs) -> tuple[Carry, Outputs]:
        """One step: x → the next carry and the output y; x and y are vectors or any other pytrees of arrays."""


@runtime_checkable
class Layer(Protocol):
    """A map from a sequence to a sequence: what `Recurrent`, `Bidirectional` and `Stack` are."""

    def init(self, key: Key, input_size: InputSize) -> Params:
        """Draws parameters for inputs of `input_size` numbers a step."""

    def output_size(self, input_size: InputSize) -> InputSize:
        """How many numbers a step the layer returns; where that is no vector, `jax.ShapeDtypeStruct`s of one y."""

    def apply(
        self,
        params: Params,
        xs: Inputs,
        *,
        mask: Bool[Array, "*B T"] | None = None,
        resets: Bool[Array, "*B T"] | None = None,
        carry: Carry | None = None,
        start: Carry | None = None,
        key: Key | None = None,
        first_step: int | Int[Array, ""] = 0,
        batched: bool | None = None,
    ) -> Any:
        """Runs over time; returns a `LayerOutput` (carry, ys, last). Without a `key` nothing is dropped."""
