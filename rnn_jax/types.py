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
Initializer = Callable[..., jax.Array]
InitSpec = str | float | Initializer
"""A named initializer, a constant, or a function of (key, shape, dtype)."""

__all__ = ["Array", "Bool", "Carry", "Cell", "Float", "InitSpec", "Initializer", "Int", "Key", "Layer", "Params"]


@runtime_checkable
class Cell(Protocol):
    """One time step of one example, as pure functions; hyperparameters are fields, arrays are `params`.

    Any class with these three methods is a cell; it needs no base class and no registration. A cell is hashable
    (a frozen dataclass), so that it can be closed over and compared.
    """

    def init(self, key: Key, input_size: int) -> Params:
        """Draws parameters for inputs of `input_size` numbers; any pytree of float32 arrays."""

    def initial_carry(self) -> Carry:
        """The carry before the first step: any pytree of arrays, the same structure that `step` returns."""

    def step(self, params: Params, carry: Carry, x: Float[Array, " D"]) -> tuple[Carry, Float[Array, " H"]]:
        """One step: x (D,) → the next carry and the output y (H,)."""


@runtime_checkable
class Layer(Protocol):
    """A map from a sequence to a sequence: what `Recurrent`, `Bidirectional` and `Stack` are."""

    def init(self, key: Key, input_size: int) -> Params:
        """Draws parameters for inputs of `input_size` numbers a step."""

    def output_size(self, input_size: int) -> int:
        """How many numbers a step the layer returns."""

    def run(
        self,
        params: Params,
        xs: Float[Array, "*B T D"],
        *,
        mask: Bool[Array, "*B T"] | None = None,
        resets: Bool[Array, "*B T"] | None = None,
        carry: Carry | None = None,
        key: Key | None = None,
    ) -> Any:
        """Runs over time; returns a `LayerOutput` (carry, ys, last). Without a `key` nothing is dropped."""
