"""Over depth and direction: Recurrent, Bidirectional and Stack, each a frozen dataclass with `init` and `apply`.

`apply(params, xs, mask=…, resets=…, carry=…, key=…) -> (carry, ys)` on xs (T, D) or (B, T, D). Without a key nothing
is dropped. Wherever a layer is expected a cell may stand, and means `Recurrent(cell)`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.dropout import dropout, recurrent_dropout, variational_dropout
from rnn_jax.layers.pooling import last_pool
from rnn_jax.masking import reverse_resets
from rnn_jax.scanning import scan
from rnn_jax.scanning.backend import DEFAULT, Backend, as_backend
from rnn_jax.types import Array, Bool, Carry, Cell, Float, Key, Layer, Params

MERGES: dict[str, Callable[[Array, Array], Array]] = {
    "concat": lambda forward, backward: jnp.concatenate([forward, backward], axis=-1),
    "sum": jnp.add,
    "mean": lambda forward, backward: (forward + backward) / 2,
    "max": jnp.maximum,
}


class LayerOutput(NamedTuple):
    """What a layer returns: the carry, the outputs of all steps, and the output of the step that it made last.

    `last` is ys at the last real step for a layer that reads from left to right, at the first one for a reverse
    layer, and both merged for a bidirectional one: the usual summary of a sequence. Zeros for a row of length 0.
    """

    carry: Carry
    ys: Float[Array, "*B T F"]
    last: Float[Array, "*B F"]


class _Applicable:
    def apply(self, params, xs, *, mask=None, resets=None, carry=None, key=None) -> tuple[Carry, Array]:
        """`run`, without `last`: (carry, ys)."""
        return self.run(params, xs, mask=mask, resets=resets, carry=carry, key=key)[:2]  # type: ignore[attr-defined]


@dataclasses.dataclass(frozen=True)
class Recurrent(_Applicable):
    """One cell over time.

    `recurrent_dropout` is DropConnect on the recurrent weights `w_h`; `backend` is `scan_cell`'s.
    """

    cell: Cell
    reverse: bool = False
    recurrent_dropout: float = 0.0
    backend: Backend | str = DEFAULT

    def __post_init__(self):
        object.__setattr__(self, "backend", as_backend(self.backend))

    def init(self, key: Key, input_size: int) -> Params:
        """The cell's params."""
        return self.cell.init(key, input_size)

    def output_size(self, input_size: int) -> int:
        """The size of the cell's y."""
        return scan.output_size(self.cell, input_size)

    def run(
        self,
        params: Params,
        xs: Float[Array, "*B T D"],
        *,
        mask: Bool[Array, "*B T"] | None = None,
        resets: Bool[Array, "*B T"] | None = None,
        carry: Carry | None = None,
        key: Key | None = None,
    ) -> LayerOutput:
        """`scan_cell`; `resets` mark where sequences start in reading order, also if `reverse`."""
        if resets is not None and self.reverse:
            resets = reverse_resets(resets)
        params = recurrent_dropout(params, self.recurrent_dropout, key)
        carry, ys = scan.scan_cell(
            self.cell, params, xs, mask=mask, resets=resets, carry=carry, reverse=self.reverse, backend=self.backend
        )
        real = jnp.ones(xs.shape[:-1], dtype=bool) if mask is None else mask
        return LayerOutput(carry, ys, last_pool(ys, real, first=self.reverse))


class BidirectionalParams(NamedTuple):
    """The params of both directions."""

    forward: Params
    backward: Params


class BidirectionalCarry(NamedTuple):
    """The carries of both directions; None starts a direction at its cell's initial carry."""

    forward: Carry | None
    backward: Carry | None


@dataclasses.dataclass(frozen=True)
class Bidirectional(_Applicable):
    """One cell from left to right and one from right to left, each with its own params, merged step by step.

    `merge` is concat, sum, mean or max. `backward_cell` is another cell for the way back (by default the same one).

    Raises:
      ValueError: an unknown merge.
    """

    cell: Cell
    backward_cell: Cell | None = None
    merge: str = "concat"
    recurrent_dropout: float = 0.0
    backend: Backend | str = DEFAULT

    def __post_init__(self):
        object.__setattr__(self, "backend", as_backend(self.backend))
        if self.merge not in MERGES:
            raise ValueError(f"No merge {self.merge!r}; there are: {', '.join(MERGES)}.")

    @property
    def directions(self) -> tuple[Recurrent, Recurrent]:
        """The layers of the way there and the way back."""
        forward = Recurrent(self.cell, recurrent_dropout=self.recurrent_dropout, backend=self.backend)
        return forward, dataclasses.replace(forward, cell=self.backward_cell or self.cell, reverse=True)

    def init(self, key: Key, input_size: int) -> BidirectionalParams:
        """Both directions' params, drawn apart."""
        keys = jax.random.split(key)
        return BidirectionalParams(*(d.init(k, input_size) for d, k in zip(self.directions, keys, strict=True)))

    def output_size(self, input_size: int) -> int:
        """The sum of both directions' sizes for concat, else the one size.

        Raises:
          ValueError: the directions differ in size and the merge is not concat.
        """
        forward, backward = (direction.output_size(input_size) for direction in self.directions)
        if self.merge == "concat":
            return forward + backward
        if forward != backward:
            raise ValueError(f"merge={self.merge!r} needs directions of one size; got {forward} and {backward}.")
        return forward

    def run(
        self,
        params: BidirectionalParams,
        xs: Float[Array, "*B T D"],
        *,
        mask: Bool[Array, "*B T"] | None = None,
        resets: Bool[Array, "*B T"] | None = None,
        carry: BidirectionalCarry | None = None,
        key: Key | None = None,
    ) -> LayerOutput:
        """Both scans, merged; the carry holds each direction's last step."""
        carries = carry if carry is not None else BidirectionalCarry(None, None)
        forward, backward = (
            direction.run(p, xs, mask=mask, resets=resets, carry=c, key=k)
            for direction, p, c, k in zip(self.directions, params, carries, _split(key, 2), strict=True)
        )
        merge = MERGES[self.merge]
        return LayerOutput(
            BidirectionalCarry(forward.carry, backward.carry),
            merge(forward.ys, backward.ys),
            merge(forward.last, backward.last),
        )


@dataclasses.dataclass(frozen=True)
class Stack(_Applicable):
    """Layers on top of each other, of any cells, widths and directions.

    `input_dropout` acts on xs and `dropout` between the layers (not after the last), on single numbers, or on the
    units of a whole sequence if `variational`. With `residual`, every layer but the first adds its input to its output.

    Raises:
      ValueError: no layer.
    """

    layers: tuple[Any, ...]  # layers; cells become layers
    dropout: float = 0.0
    input_dropout: float = 0.0
    variational: bool = False
    residual: bool = False

    def __post_init__(self):
        if not self.layers:
            raise ValueError("A stack needs at least one layer.")
        object.__setattr__(self, "layers", tuple(as_layer(layer) for layer in self.layers))

    @classmethod
    def of(
        cls,
        *layers: Layer | Cell,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        variational: bool = False,
        residual: bool = False,
    ) -> "Stack":
        """A stack of layers and cells, the first nearest to the input."""
        return cls(tuple(as_layer(layer) for layer in layers), dropout, input_dropout, variational, residual)

    def init(self, key: Key, input_size: int) -> tuple[Params, ...]:
        """One params a layer, each sized to the layer below.

        Raises:
          ValueError: `residual`, and a layer whose output is not the size of its input.
        """
        params = []
        for index, (layer, layer_key) in enumerate(
            zip(self.layers, jax.random.split(key, len(self.layers)), strict=True)
        ):
            params.append(layer.init(layer_key, input_size))
            size = layer.output_size(input_size)
            if self.residual and index > 0 and size != input_size:
                raise ValueError(f"residual: layer {index} maps {input_size} to {size} numbers; they must be equal.")
            input_size = size
        return tuple(params)

    def output_size(self, input_size: int) -> int:
        """The size of the last layer's output."""
        for layer in self.layers:
            input_size = layer.output_size(input_size)
        return input_size

    def run(
        self,
        params: tuple[Params, ...],
        xs: Float[Array, "*B T D"],
        *,
        mask: Bool[Array, "*B T"] | None = None,
        resets: Bool[Array, "*B T"] | None = None,
        carry: tuple[Carry | None, ...] | None = None,
        key: Key | None = None,
    ) -> LayerOutput:
        """Layer after layer; the carry has one entry a layer."""
        carries = carry if carry is not None else (None,) * len(self.layers)
        drop = variational_dropout if self.variational else dropout
        carries_out: list[Carry] = []
        ys, last = xs, xs[..., 0, :]
        for index, layer in enumerate(self.layers):
            drop_key, layer_key = _split(None if key is None else jax.random.fold_in(key, index), 2)
            below = drop(ys, self.dropout if index else self.input_dropout, drop_key)
            out = layer.run(params[index], below, mask=mask, resets=resets, carry=carries[index], key=layer_key)
            carries_out.append(out.carry)
            residual = self.residual and index > 0
            ys, last = (ys + out.ys, last + out.last) if residual else (out.ys, out.last)
        return LayerOutput(tuple(carries_out), ys, last)


def as_layer(layer: Layer | Cell) -> Layer:
    """The layer itself, or `Recurrent(cell)` for a cell.

    Raises:
      TypeError: neither.
    """
    if isinstance(layer, Layer):
        return layer
    if isinstance(layer, Cell):
        return Recurrent(layer)
    raise TypeError(f"A layer has init, output_size and run, a cell init, initial_carry and step; got {layer!r}.")


def _split(key: Key | None, num: int) -> tuple[Key | None, ...]:
    return (None,) * num if key is None else tuple(jax.random.split(key, num))
