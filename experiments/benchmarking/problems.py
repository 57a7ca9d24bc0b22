"""What is computed: named shapes, the cells with weights and inputs, and the lengths of ragged rows.

B batch, T time, D input, H hidden. The loss of a problem is Σ ys ⊙ cotangent, its gradient that by all weights and by
the inputs, as under an embedding or another layer.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from rnn_jax import GRU, LSTM, Bidirectional, Elman, Recurrent, Stack
from rnn_jax.layers import BidirectionalParams

CELLS = {"elman": Elman, "lstm": LSTM, "gru": GRU}
PASSES = ("forward", "gradient", "train")


class Unsupported(Exception):
    """A peer cannot do a problem; the message says why, and stands in the report."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """The sizes of a problem, by the name under which they are reported."""

    name: str
    batch: int
    time: int
    input_size: int
    hidden_size: int
    num_layers: int = 1
    bidirectional: bool = False

    def __str__(self) -> str:
        layers = f", {self.num_layers} layers" * (self.num_layers > 1) + ", bidirectional" * self.bidirectional
        return f"{self.name} ({self.batch},{self.time},{self.input_size},{self.hidden_size}{layers})"


@dataclasses.dataclass(frozen=True)
class Problem:
    """One cell at one shape: params as `stack.init` makes them, in numpy; xs (B, T, D), cotangent (B, T, F).

    `lengths` (B,) makes the rows ragged: the cotangent is zero on the padding, where outputs are to be zero.
    """

    cell: str
    shape: Shape
    params: Any
    xs: np.ndarray
    cotangent: np.ndarray
    lengths: np.ndarray | None = None

    @property
    def stack(self) -> Stack:
        """Our layers for this problem."""
        return make_stack(self.cell, self.shape)


CPU_SHAPES = (
    Shape("tiny", 1, 100, 64, 64),
    Shape("small", 16, 64, 64, 64),
    Shape("sentiment", 32, 200, 128, 128),
    Shape("sentiment_large", 64, 256, 100, 256),
    Shape("tagging", 32, 48, 128, 128, bidirectional=True),
    Shape("translation", 64, 24, 256, 256),
    Shape("language_model", 20, 35, 200, 200, num_layers=2),
    Shape("language_model_large", 20, 35, 650, 650, num_layers=2),
    Shape("pixels", 16, 784, 1, 128),
    Shape("wide", 64, 50, 512, 512),
    Shape("long", 8, 2048, 64, 64),
)
# Batch 16 is the point that FlashRNN's authors published for an H100; the other batches are their sweep.
GPU_SHAPES = (
    *(Shape(f"batch_{batch}", batch, 1024, 768, 768) for batch in (2, 4, 8, 16, 32, 64, 128, 256)),
    Shape("one_layer", 64, 256, 512, 512),
    Shape("four_layers", 64, 256, 512, 512, num_layers=4),
    *CPU_SHAPES,
)
# The last is the IMDB recipe's: texts cut at 400 words, read in both directions.
RAGGED_SHAPES = (
    Shape("sentiment", 32, 200, 128, 128),
    Shape("sentiment_large", 64, 256, 100, 256),
    Shape("imdb", 32, 400, 100, 128, bidirectional=True),
)
SUITES = {"cpu": CPU_SHAPES, "gpu": GPU_SHAPES, "ragged": RAGGED_SHAPES, "ladder": CPU_SHAPES}

# Quantiles of the number of words in an IMDB review: (share of the reviews, words). Approximated by hand, as a
# benchmark of speed should run without the dataset; between them it is interpolated.
IMDB_LENGTHS = ((0.0, 10), (0.05, 80), (0.25, 125), (0.5, 175), (0.75, 285), (0.95, 590), (1.0, 2300))


def make_stack(cell: str, shape: Shape) -> Stack:
    """Our layers: as many of the cell as the shape says, in one direction or both."""
    layer = Bidirectional if shape.bidirectional else Recurrent
    return Stack(*(layer(CELLS[cell](shape.hidden_size)) for _ in range(shape.num_layers)))


def make_problem(cell: str, shape: Shape, *, ragged: bool = False, seed: int = 0) -> Problem:
    """A problem with our initial weights, random biases (so that no bias can be misplaced), inputs and cotangent."""
    rng = np.random.default_rng(seed)
    params = jax.tree.map(np.asarray, make_stack(cell, shape).init(jax.random.key(seed), shape.input_size))
    params = jax.tree.map(lambda leaf: leaf if leaf.ndim > 1 else _normal(rng, *leaf.shape, scale=0.3), params)
    xs = _normal(rng, shape.batch, shape.time, shape.input_size)
    cotangent = _normal(rng, shape.batch, shape.time, shape.hidden_size * (1 + shape.bidirectional))
    if not ragged:
        return Problem(cell, shape, params, xs, cotangent)
    lengths = sample_lengths(rng, shape.batch, shape.time)
    real = np.arange(shape.time) < lengths[:, None]
    return Problem(cell, shape, params, xs, cotangent * real[..., None], lengths)


def sample_lengths(rng: np.random.Generator, count: int, max_length: int) -> np.ndarray:
    """Lengths (count,) of IMDB reviews cut at `max_length`: one from each of `count` equal shares of the reviews."""
    shares, words = zip(*IMDB_LENGTHS, strict=True)
    drawn = np.interp((np.arange(count) + rng.random(count)) / count, shares, words)
    return np.minimum(rng.permutation(drawn), max_length).astype(np.int32)


def _normal(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> np.ndarray:
    return (scale * rng.normal(size=shape)).astype(np.float32)


def directions_of(params: Any) -> list[list[Any]]:
    """The cells' params by layer and direction, from those of our stack."""
    return [list(layer) if isinstance(layer, BidirectionalParams) else [layer] for layer in params]


def stack_params(layers: list[list[Any]]) -> Any:
    """The inverse of `directions_of`."""
    return tuple(BidirectionalParams(*ways) if len(ways) == 2 else ways[0] for ways in layers)


def map_cells(function: Any, params: Any) -> list[list[Any]]:
    """The function of each cell's params, by layer and direction."""
    return [[function(cell) for cell in ways] for ways in directions_of(params)]
