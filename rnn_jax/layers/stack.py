"""`Stack`: layers on top of each other, with dropout between them and residuals around them."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.cells.base import check_key
from rnn_jax.dropout import check_rate
from rnn_jax.layers.base import Carries, LayerBase, LayerOutput, Sequence, check_number, drop_steps, end, split_key
from rnn_jax.layers.recurrent import as_layer
from rnn_jax.scanning.sequences import check_bool
from rnn_jax.types import Carry, Cell, Inputs, InputSize, Key, Layer, Params


@dataclasses.dataclass(frozen=True, init=False, repr=False)
class Stack(LayerBase):
    """Layers on top of each other, of any cells, widths and directions: Stack(LSTM(256), GRU(128), dropout=0.5).

    The first is nearest to the input; cells become layers. `input_dropout` acts on xs and `dropout` between the layers
    (not after the last), on single numbers, or on the units of a whole sequence if `variational`. With `residual`,
    every layer but the first adds its input to its output.

    Raises:
      ValueError: no layer.
      TypeError: what is neither a layer nor a cell.
    """

    layers: tuple[Any, ...]
    dropout: float
    input_dropout: float
    variational: bool
    residual: bool

    def __init__(
        self,
        *stacked: Layer | Cell,
        layers: tuple[Layer | Cell, ...] = (),  # the same by name, as dataclasses.replace gives them
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        variational: bool = False,
        residual: bool = False,
    ):
        if not (*stacked, *layers):
            raise ValueError("A stack needs at least one layer.")
        object.__setattr__(self, "layers", tuple(as_layer(layer) for layer in (*stacked, *layers)))
        check_rate("dropout", dropout)
        check_rate("input_dropout", input_dropout)
        check_bool("variational", variational)
        check_bool("residual", residual)
        object.__setattr__(self, "dropout", dropout)
        object.__setattr__(self, "input_dropout", input_dropout)
        object.__setattr__(self, "variational", variational)
        object.__setattr__(self, "residual", residual)

    def __repr__(self) -> str:
        fields = [field.name for field in dataclasses.fields(self) if field.name != "layers"]
        options = [f"{name}={getattr(self, name)!r}" for name in fields]
        return f"Stack({', '.join([*map(repr, self.layers), *options])})"

    @property
    def reads_backwards(self) -> bool:
        """Whether any of the layers does, or does not say."""
        return any(getattr(layer, "reads_backwards", True) for layer in self.layers)

    def init(self, key: Key, input_size: InputSize) -> tuple[Params, ...]:
        """One params a layer, each sized to the layer below.

        Raises:
          ValueError: `residual`, and a layer whose output is not the size of its input.
        """
        check_key("key", key)
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

    def output_size(self, input_size: InputSize) -> InputSize:
        """The size of the last layer's output."""
        for layer in self.layers:
            input_size = layer.output_size(input_size)
        return input_size

    def initial_carry(
        self, params: tuple[Params, ...], batch: int | None = None, *, x: Inputs | None = None
    ) -> tuple[Carry, ...]:
        """That of each layer, as `Recurrent.initial_carry`."""
        carries = []
        for layer, layer_params in zip(self.layers, params, strict=True):
            carries.append(layer.initial_carry(layer_params, batch, x=x))
            if x is not None:  # what the next layer reads, in its dtype
                x = jax.eval_shape(lambda p, x, layer=layer: _first_output(layer, p, x), layer_params, x)
        return tuple(carries)

    def run(
        self, params: tuple[Params, ...], xs: Inputs, carries: Carries, key: Key | None, sequence: Sequence
    ) -> LayerOutput:
        """Layer after layer; the carry has one entry a layer."""
        check_number("params", params, len(self.layers))
        inside = carries.split(len(self.layers))
        carries_out: list[Carry] = []
        ys, last = xs, None
        for index, layer in enumerate(self.layers):
            drop_key, layer_key = split_key(None if key is None else jax.random.fold_in(key, index), 2)
            rate = self.dropout if index else self.input_dropout
            below = drop_steps(ys, rate, drop_key, sequence, variational=self.variational)
            options = {**inside[index]._asdict(), **sequence._asdict()}
            out = layer.apply(params[index], below, key=layer_key, **options)
            carries_out.append(out.carry)
            if self.residual and index > 0:
                ys, last = jax.tree.map(jnp.add, (ys, _ends(layer, ys, sequence)), (out.ys, out.last))
            else:
                ys, last = out.ys, out.last
        return LayerOutput(tuple(carries_out), ys, last)

    def ends(self, ys: Any, sequence: Sequence) -> Any:
        """As its last layer."""
        return _ends(self.layers[-1], ys, sequence)


def _ends(layer: Any, ys: Any, sequence: Sequence) -> Any:
    """What is added to a layer's outputs, where these end; a user's layer that does not say ends with its last step."""
    return layer.ends(ys, sequence) if hasattr(layer, "ends") else end(ys, sequence, first=False)


def _first_output(layer: Layer, params: Params, x: Inputs) -> Any:
    xs = jax.tree.map(lambda leaf: leaf[None], x)
    return jax.tree.map(lambda leaf: leaf[0], layer.apply(params, xs, batched=False).ys)
