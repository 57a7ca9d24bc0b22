"""`Recurrent`: one cell over time, in one direction."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.cells.contract import check_cell, draws, output_size, start
from rnn_jax.dropout import check_rate, recurrent_dropout
from rnn_jax.layers.base import Carries, LayerBase, LayerOutput, Sequence, end, split_key
from rnn_jax.masking import reverse_resets
from rnn_jax.scanning import Backend, as_backend, scan_cell
from rnn_jax.scanning.backend import DEFAULT
from rnn_jax.scanning.carries import typed_start
from rnn_jax.scanning.sequences import check_bool
from rnn_jax.types import Carry, Cell, Inputs, InputSize, Key, Layer, Params


@dataclasses.dataclass(frozen=True)
class Recurrent(LayerBase):
    """One cell over time.

    `recurrent_dropout` is DropConnect on the weights that the cell names in `recurrent_weights`; `backend` is
    `scan_cell`'s.
    """

    cell: Cell
    reverse: bool = False
    recurrent_dropout: float = 0.0
    backend: Backend | str = DEFAULT

    def __post_init__(self):
        check_cell("Recurrent(cell)", self.cell)
        check_bool("reverse", self.reverse)
        check_rate("recurrent_dropout", self.recurrent_dropout)
        object.__setattr__(self, "backend", as_backend(self.backend))

    @property
    def reads_backwards(self) -> bool:
        """`reverse`."""
        return self.reverse

    def init(self, key: Key, input_size: InputSize) -> Params:
        """The cell's params."""
        return self.cell.init(key, input_size)

    def output_size(self, input_size: InputSize) -> InputSize:
        """The size of the cell's y."""
        return output_size(self.cell, input_size)

    def initial_carry(self, params: Params, batch: int | None = None, *, x: Inputs | None = None) -> Carry:
        """The carry before the first step, of one example or of `batch` rows.

        Its dtypes are those for float32 inputs, or for inputs like the x of one example that is given (an array or
        `jax.ShapeDtypeStruct`s).
        """
        carry = start(self.cell, params) if x is None else typed_start(self.cell, params, x)
        rows = () if batch is None else (batch,)
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, rows + jnp.shape(leaf)), carry)

    def run(self, params: Params, xs: Inputs, carries: Carries, key: Key | None, sequence: Sequence) -> LayerOutput:
        """What `scan_cell` makes of the cell, and the output that it made last."""
        weights_key, cell_key = split_key(key, 2) if draws(self.cell) else (key, None)
        names = getattr(self.cell, "recurrent_weights", ("w_h",))
        params = recurrent_dropout(params, self.recurrent_dropout, weights_key, names=names)
        given = sequence
        if sequence.resets is not None and self.reverse:
            given = sequence._replace(resets=reverse_resets(sequence.resets))
        options: dict[str, Any] = {"key": cell_key, "reverse": self.reverse, "backend": self.backend}
        carry, ys = scan_cell(self.cell, params, xs, **options, **carries._asdict(), **given._asdict())
        return LayerOutput(carry, ys, self.ends(ys, sequence))

    def ends(self, ys: Any, sequence: Sequence) -> Any:
        """ys at the last real step, or at the first."""
        return end(ys, sequence, first=self.reverse)


def as_layer(layer: Layer | Cell) -> Any:
    """The layer itself, or `Recurrent(cell)` for a cell.

    Raises:
      TypeError: neither.
    """
    if isinstance(layer, type):
        raise TypeError(f"A layer or a cell; got the class {layer.__name__}: make one, as {layer.__name__}(…).")
    if isinstance(layer, Layer):
        return layer
    if isinstance(layer, Cell):
        return Recurrent(layer)
    if isinstance(layer, tuple | list):
        raise TypeError(f"Layers are given one by one, as Stack(a, b); got {layer!r}.")
    raise TypeError(f"A layer has init, output_size and apply, a cell init, initial_carry and step; got {layer!r}.")
