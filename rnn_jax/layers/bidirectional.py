"""`Bidirectional`: one cell from left to right and one from right to left."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.cells.base import check_key
from rnn_jax.cells.contract import check_cell, size_of
from rnn_jax.dropout import check_rate
from rnn_jax.layers.base import Carries, LayerBase, LayerOutput, Sequence, check_number, split_key
from rnn_jax.layers.recurrent import Recurrent
from rnn_jax.scanning import Backend, as_backend
from rnn_jax.scanning.backend import DEFAULT
from rnn_jax.types import Array, Carry, Cell, Inputs, InputSize, Key, Params

MERGES: dict[str, Callable[[Array, Array], Array]] = {
    "concat": lambda forward, backward: jnp.concatenate([forward, backward], axis=-1),
    "sum": jnp.add,
    "mean": lambda forward, backward: (forward + backward) / 2,
    "max": jnp.maximum,
}


class BidirectionalParams(NamedTuple):
    """The params of both directions."""

    forward: Params
    backward: Params


class BidirectionalCarry(NamedTuple):
    """The carries of both directions; None starts a direction at its cell's initial carry."""

    forward: Carry | None
    backward: Carry | None


@dataclasses.dataclass(frozen=True)
class Bidirectional(LayerBase):
    """One cell from left to right and one from right to left, each with its own params, merged step by step.

    `merge` is concat (on the last axis), sum, mean or max. `backward_cell` is another cell for the way back (by default
    the same one).

    Raises:
      ValueError: an unknown merge.
    """

    cell: Cell
    backward_cell: Cell | None = None
    merge: str = "concat"
    recurrent_dropout: float = 0.0
    backend: Backend | str = DEFAULT

    def __post_init__(self):
        check_cell("Bidirectional(cell)", self.cell)
        if self.backward_cell is not None:
            check_cell("Bidirectional(backward_cell)", self.backward_cell)
        check_rate("recurrent_dropout", self.recurrent_dropout)
        object.__setattr__(self, "backend", as_backend(self.backend))
        if self.merge not in MERGES:
            raise ValueError(f"No merge {self.merge!r}; there are: {', '.join(MERGES)}.")

    @property
    def directions(self) -> tuple[Recurrent, Recurrent]:
        """The layers of the way there and the way back."""
        forward = Recurrent(self.cell, recurrent_dropout=self.recurrent_dropout, backend=self.backend)
        return forward, dataclasses.replace(forward, cell=self.backward_cell or self.cell, reverse=True)

    @property
    def reads_backwards(self) -> bool:
        """Yes."""
        return True

    def init(self, key: Key, input_size: InputSize) -> BidirectionalParams:
        """Both directions' params, drawn apart."""
        check_key("key", key)
        self.output_size(input_size)  # an error now, not at the first batch
        keys = jax.random.split(key)
        return BidirectionalParams(*(d.init(k, input_size) for d, k in zip(self.directions, keys, strict=True)))

    def output_size(self, input_size: InputSize) -> InputSize:
        """The sum of both directions' sizes for concat, else the one size.

        Raises:
          ValueError: the directions differ in size and the merge is not concat, or in more than their last axis.
        """
        forward, backward = (direction.output_size(input_size) for direction in self.directions)
        if self.merge == "concat":
            if isinstance(forward, int) and isinstance(backward, int):
                return forward + backward
            if isinstance(forward, tuple) and isinstance(backward, tuple) and forward[:-1] == backward[:-1] != ():
                return (*forward[:-1], forward[-1] + backward[-1])
            raise ValueError(f"merge='concat' joins directions on the last axis; got outputs {forward} and {backward}.")
        if forward != backward:
            raise ValueError(f"merge={self.merge!r} needs directions of one size; got {forward} and {backward}.")
        return forward

    def initial_carry(
        self, params: BidirectionalParams, batch: int | None = None, *, x: Inputs | None = None
    ) -> BidirectionalCarry:
        """That of each direction, as `Recurrent.initial_carry`."""
        return BidirectionalCarry(*(d.initial_carry(p, batch, x=x) for d, p in zip(self.directions, params)))

    def run(
        self, params: BidirectionalParams, xs: Inputs, carries: Carries, key: Key | None, sequence: Sequence
    ) -> LayerOutput:
        """Both scans, merged; the carry is a pair, of each direction's last step."""
        check_number("params", params, 2)
        forward, backward = (
            direction.run(p, xs, c, k, sequence)
            for direction, p, c, k in zip(self.directions, params, carries.split(2), split_key(key, 2), strict=True)
        )
        merge = lambda *pair: jax.tree.map(MERGES[self.merge], *pair)  # noqa: E731
        carry = BidirectionalCarry(forward.carry, backward.carry)
        return LayerOutput(carry, merge(forward.ys, backward.ys), merge(forward.last, backward.last))

    def ends(self, ys: Array, sequence: Sequence) -> Array:
        """Both ends of ys, each direction's part from the end that it makes last.

        Where the directions were not joined but added, no part belongs to one of them: the mean of both ends.
        """
        last, first = (direction.ends(ys, sequence) for direction in self.directions)
        if self.merge != "concat":
            return (last + first) / 2
        x = jax.ShapeDtypeStruct(ys.shape[sequence.axis + 1 :], ys.dtype)  # ys are as wide as the layer's inputs here
        forward = self.directions[0].output_size(size_of(x))
        width = forward if isinstance(forward, int) else forward[-1]
        return jnp.concatenate([last[..., :width], first[..., width:]], axis=-1)
