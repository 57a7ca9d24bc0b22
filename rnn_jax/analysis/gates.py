"""What the gates of a cell do at every step, by name, ready to plot."""

import dataclasses
from typing import Any

from rnn_jax.cells.base import SplitCell
from rnn_jax.cells.contract import check_cell, splits
from rnn_jax.cells.contract import start as start_of
from rnn_jax.cells.wrappers import Wrapper
from rnn_jax.scanning import scan_cell
from rnn_jax.types import Array, Bool, Carry, Cell, Float, Inputs, InputSize, Int, Params, Static


def gate_values(
    cell: Cell,
    params: Params,
    xs: Inputs,
    *,
    mask: Bool[Array, "*B T"] | Int[Array, "*B T"] | None = None,
    resets: Bool[Array, "*B T"] | Int[Array, "*B T"] | None = None,
    carry: Carry | None = None,
    start: Carry | None = None,
    reverse: bool = False,
    batched: bool | None = None,
) -> dict[str, Float[Array, "*B T H"]]:
    """The gates of every step: {"input": (B, T, H), "forget": …, "candidate": …, "output": …} of an LSTM.

    The other arguments are those of `scan_cell`. Padded steps are 0; what is random is at its expectation. Of a layer's
    cell: `gate_values(layer.cell, params, xs, reverse=layer.reverse)`.

        values = gate_values(cell, params, xs)
        plt.imshow(values["forget"][0].T, vmin=0, vmax=1, aspect="auto")

    A cell has gates if it has a method `gates(params, carry, a)`, which returns a NamedTuple or a dict of arrays; a is
    what `activate` is given for a `SplitCell`, and x for any other cell.

    Raises:
      ValueError: the cell has no gates.
    """
    check_cell("cell", cell)
    innermost: Any = cell
    while isinstance(innermost, Wrapper):
        innermost = innermost.cell
    if not hasattr(innermost, "gates"):
        raise ValueError(f"{type(innermost).__name__} has no gates to look at: it has no method `gates`.")
    options: dict[str, Any] = {"mask": mask, "resets": resets, "carry": carry, "start": start}
    options |= {"reverse": reverse, "batched": batched, "backend": "plain"}
    _, gates = scan_cell(_Watched(cell), params, xs, **options)
    return dict(gates) if isinstance(gates, dict) else gates._asdict()


@dataclasses.dataclass(frozen=True)
class _Watched(Static):
    """The cell, whose y is what its gates do."""

    cell: Any

    def init(self, key: Any, input_size: InputSize) -> Params:
        return self.cell.init(key, input_size)

    def initial_carry(self, params: Params) -> Carry:
        return start_of(self.cell, params)

    def step(self, params: Params, carry: Carry, x: Inputs) -> tuple[Carry, Any]:
        if splits(self.cell):
            cell: SplitCell = self.cell
            x = cell.preactivate(params, carry, cell.project(params, x))
            after, _ = cell.activate(params, carry, x)
        else:
            after, _ = self.cell.step(params, carry, x)
        return after, self.cell.gates(params, carry, x)
