"""Flax: the cells of NNX and of linen under each one's own RNN and Bidirectional.

Where NNX's GRUCell differs: it has no bias of the candidate's recurrent part, `b_hn`, so that it is compared at
b_hn = 0 and without its gradient (a little less work than ours). Linen's has it.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax import nnx

from experiments.benchmarking.jax_program import JaxProgram, zeros_past_lengths
from experiments.benchmarking.problems import Problem, Unsupported, map_cells
from rnn_jax.cells.elman import ElmanParams
from rnn_jax.cells.gru import GRUParams
from rnn_jax.cells.lstm import LSTMParams


def gates(array: Any, number: int) -> list[Any]:
    """The blocks of the last axis, one a gate."""
    return jnp.split(jnp.asarray(array), number, axis=-1)


# ---- NNX: from our params to the values of `nnx.to_pure_dict`, and back ----------------------------------------------


def nnx_fused(weights: Any, *, bias: str) -> dict[str, Any]:
    """OptimizedLSTMCell, GRUCell and SimpleCell: the gates' weights in one matrix each."""
    theirs: dict[str, Any] = {"dense_i": {"kernel": weights.w_x}, "dense_h": {"kernel": weights.w_h}}
    theirs[bias]["bias"] = weights.b
    return theirs


def lstm_by_gate(weights: LSTMParams, names: tuple[str, ...]) -> dict[str, Any]:
    """LSTMCell of NNX, and both LSTM cells of linen: a matrix a gate; the biases are with the recurrent ones."""
    theirs: dict[str, Any] = {}
    for name, w_x, w_h, b in zip(names, gates(weights.w_x, 4), gates(weights.w_h, 4), gates(weights.b, 4)):
        theirs[f"i{name}"], theirs[f"h{name.rstrip('_')}"] = {"kernel": w_x}, {"kernel": w_h, "bias": b}
    return theirs


def lstm_joined(theirs: Any, names: tuple[str, ...]) -> LSTMParams:
    """The inverse of `lstm_by_gate`."""

    def join(way: str, kind: str):
        return jnp.concatenate([theirs[way + (n if way == "i" else n.rstrip("_"))][kind] for n in names], axis=-1)

    return LSTMParams(join("i", "kernel"), join("h", "kernel"), join("h", "bias"))


NNX_LSTM_NAMES = ("i", "f_", "g", "o")  # the module of the forget gate is `if_`
NNX_CELLS: dict[str, tuple[Any, Any, Any]] = {
    "lstm": (nnx.LSTMCell, lambda w: lstm_by_gate(w, NNX_LSTM_NAMES), lambda t: lstm_joined(t, NNX_LSTM_NAMES)),
    "optimized_lstm": (
        nnx.OptimizedLSTMCell,
        lambda w: nnx_fused(w, bias="dense_h"),
        lambda t: LSTMParams(t["dense_i"]["kernel"], t["dense_h"]["kernel"], t["dense_h"]["bias"]),
    ),
    "gru": (
        nnx.GRUCell,
        lambda w: nnx_fused(w, bias="dense_i"),
        lambda t: GRUParams(
            t["dense_i"]["kernel"],
            t["dense_h"]["kernel"],
            t["dense_i"]["bias"],
            jnp.zeros(t["dense_h"]["kernel"].shape[0]),
        ),
    ),
    "elman": (
        nnx.SimpleCell,
        lambda w: nnx_fused(w, bias="dense_i"),
        lambda t: ElmanParams(t["dense_i"]["kernel"], t["dense_h"]["kernel"], t["dense_i"]["bias"]),
    ),
}


def set_nnx_weights(cell: Any, theirs: dict[str, Any]) -> Any:
    """The NNX cell, with the arrays of `theirs` (module, then leaf) in place of its own."""
    for module, arrays in theirs.items():
        for leaf, array in arrays.items():
            getattr(getattr(cell, module), leaf)[...] = jnp.asarray(array)
    return cell


class NNXLayers(nnx.Module):
    """The layers as one would write them; `cells` by layer and direction."""

    def __init__(self, cells: list[list[Any]]):
        ways = [[nnx.RNN(cell) for cell in layer] for layer in cells]
        self.layers = nnx.List([nnx.Bidirectional(*way) if len(way) == 2 else way[0] for way in ways])

    def __call__(self, xs, lengths):
        """ys of the last layer; past a row's length they are anything."""
        for layer in self.layers:
            xs = layer(xs, seq_lengths=lengths)
        return xs

    def cells(self) -> list[list[Any]]:
        """The cells by layer and direction."""
        return [
            [layer.forward_rnn.cell, layer.backward_rnn.cell] if isinstance(layer, nnx.Bidirectional) else [layer.cell]
            for layer in self.layers
        ]


def nnx_program(name: str, kind: str, problem: Problem) -> JaxProgram:
    """NNX's functional form: split once, merged inside of jit, which spares NNX's own work at every call."""
    cell, from_ours, to_ours = NNX_CELLS[kind]

    def build(weights):
        built = cell(*weights.w_x.shape[:1], problem.shape.hidden_size, rngs=nnx.Rngs(0))
        return set_nnx_weights(built, from_ours(weights))

    graph, params, rest = nnx.split(NNXLayers(map_cells(build, problem.params)), nnx.Param, ...)

    def apply(params, xs, lengths):
        ys = nnx.merge(graph, params, rest, copy=True)(xs, lengths)  # a copy: the call counts random draws
        return zeros_past_lengths(ys, lengths)

    def ours_of(params):
        cells = nnx.merge(graph, params, rest).cells()
        pure = [[nnx.to_pure_dict(nnx.state(one, nnx.Param)) for one in ways] for ways in cells]
        return [[to_ours(one) for one in ways] for ways in pure]

    without = ("b_hn",) if kind == "gru" else ()
    return JaxProgram(name, problem, params, apply, ours_of, without=without)


def flax_nnx(problem: Problem) -> JaxProgram:
    """LSTMCell, GRUCell or SimpleCell."""
    return nnx_program("flax_nnx", problem.cell, problem)


def flax_nnx_optimized(problem: Problem) -> JaxProgram:
    """OptimizedLSTMCell."""
    if problem.cell != "lstm":
        raise Unsupported("only the LSTM has an optimized cell")
    return nnx_program("flax_nnx_optimized", "optimized_lstm", problem)


# ---- linen -----------------------------------------------------------------------------------------------------------

LINEN_LSTM_NAMES = ("i", "f", "g", "o")


def linen_gru(weights: GRUParams) -> dict[str, Any]:
    """A matrix a gate; biases with the input's, and that of the candidate's recurrent part."""
    theirs: dict[str, Any] = {}
    for name, w_x, w_h, b in zip("rzn", gates(weights.w_x, 3), gates(weights.w_h, 3), gates(weights.b, 3)):
        theirs[f"i{name}"], theirs[f"h{name}"] = {"kernel": w_x, "bias": b}, {"kernel": w_h}
    theirs["hn"]["bias"] = jnp.asarray(weights.b_hn)
    return theirs


def gru_joined(theirs: Any) -> GRUParams:
    """The inverse of `linen_gru`."""
    joined = [
        jnp.concatenate([theirs[way + gate][kind] for gate in "rzn"], axis=-1)
        for way, kind in (("i", "kernel"), ("h", "kernel"), ("i", "bias"))
    ]
    return GRUParams(*joined, theirs["hn"]["bias"])


LINEN_CELLS: dict[str, tuple[Any, Any, Any]] = {
    "lstm": (nn.LSTMCell, lambda w: lstm_by_gate(w, LINEN_LSTM_NAMES), lambda t: lstm_joined(t, LINEN_LSTM_NAMES)),
    "gru": (nn.GRUCell, linen_gru, gru_joined),
    "elman": (
        nn.SimpleCell,
        lambda w: {"i": {"kernel": w.w_x, "bias": w.b}, "h": {"kernel": w.w_h}},
        lambda t: ElmanParams(t["i"]["kernel"], t["h"]["kernel"], t["i"]["bias"]),
    ),
}
LINEN_CELLS["optimized_lstm"] = (nn.OptimizedLSTMCell, *LINEN_CELLS["lstm"][1:])


class LinenLayers(nn.Module):
    """The layers as one would write them; the cells' params are named cell_<layer>_<direction>."""

    cell: Any
    hidden_size: int
    num_layers: int
    bidirectional: bool

    @nn.compact
    def __call__(self, xs, lengths):
        """ys of the last layer; past a row's length they are anything."""
        for layer in range(self.num_layers):
            ways = [
                nn.RNN(self.cell(self.hidden_size, name=f"cell_{layer}_{way}")) for way in range(1 + self.bidirectional)
            ]
            xs = (nn.Bidirectional(*ways) if self.bidirectional else ways[0])(xs, seq_lengths=lengths)
        return xs


def linen_program(name: str, kind: str, problem: Problem) -> JaxProgram:
    """`Module.apply` under jit."""
    cell, from_ours, to_ours = LINEN_CELLS[kind]
    shape, layers = problem.shape, map_cells(from_ours, problem.params)
    module = LinenLayers(cell, shape.hidden_size, shape.num_layers, shape.bidirectional)
    params = {f"cell_{layer}_{way}": one for layer, ways in enumerate(layers) for way, one in enumerate(ways)}

    def apply(params, xs, lengths):
        return zeros_past_lengths(module.apply({"params": params}, xs, lengths), lengths)

    def ours_of(params):
        ways = range(1 + shape.bidirectional)
        return [[to_ours(params[f"cell_{layer}_{way}"]) for way in ways] for layer in range(shape.num_layers)]

    return JaxProgram(name, problem, params, apply, ours_of)


def flax_linen(problem: Problem) -> JaxProgram:
    """LSTMCell, GRUCell or SimpleCell."""
    return linen_program("flax_linen", problem.cell, problem)


def flax_linen_optimized(problem: Problem) -> JaxProgram:
    """OptimizedLSTMCell."""
    if problem.cell != "lstm":
        raise Unsupported("only the LSTM has an optimized cell")
    return linen_program("flax_linen_optimized", "optimized_lstm", problem)
