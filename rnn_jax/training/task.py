"""What a task is: a configuration, five functions, and its metrics. Everything else is written once, for all of them.

    read        configuration → training source, parts to score, codec, notes
    make_model  configuration, codec → network
    loss        model, batch, carry, key → sums that are minimised and logged, and the carry of the next batch
    score       trained model, part → metrics
    answer      trained model, an iterator of inputs → an iterator of answers; or, of tasks that read a file as a whole,
    answer_file trained model, a path → an iterator of rows

`training/fit.py` trains it; a file of `experiments/tasks/` is one.
"""

import functools
import itertools
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx

from rnn_jax.config import differences, with_overrides
from rnn_jax.data.codec import Codec
from rnn_jax.data.parts import Data
from rnn_jax.errors import UserError
from rnn_jax.metrics.directions import Metrics
from rnn_jax.models.pretrained import Pretrained
from rnn_jax.models.sizes import num_parameters
from rnn_jax.training.devices import data_mesh, everywhere, shard_batch
from rnn_jax.training.run import Run

PyTree = Any
Batch = Mapping[str, np.ndarray]
Sums = dict[str, tuple[Any, Any]]
"""name → (total, weight), two scalars; "loss" is what is minimised, "rate_factor" times the learning rate."""


class Scored(NamedTuple):
    """metrics of a part by name; details: what the task's pictures and reports are made of."""

    metrics: dict[str, Any]
    details: Any = None


class Exported(NamedTuple):
    """function(model, batch), the shapes of a batch of one row, a script that answers with it, and its settings."""

    function: Callable
    shapes: Mapping[str, jax.ShapeDtypeStruct]
    script: Path
    settings: Mapping[str, Any]


class Task(NamedTuple):
    """See the module's docstring, and:

    metrics: name → direction; the first one that an evaluation has chooses the best checkpoint, the others break ties.
    check: UserError for what can be told without data. settings: of a configuration, the knobs that scores depend on
      and a run does not; noted with them. unit: of what has weights in a batch.
    read_part: configuration, codec, name of a file or split → a part, for --mode=eval --part=….
    classes: of a codec, the names of what the model chooses from; where they differ from those of the run that
      --init_from names, the arrays below `heads` are not taken over. donors: other experiments whose runs that may be,
      each with what makes of a configuration and the run's directory what is taken over.
    illustrate: writes pictures and listings of a scored part into the run directory. examples: of a part, lines that
      show what was learned. samples: of an evaluation's details, a text that is kept at every evaluation.
    fit_after: trained model, data → what is fitted to a trained network's outputs, as thresholds are: a codec of the
      class `fitted`, kept in fitted.json, and part of what is trained from then on (`Trained.fitted`).
    render: how an answer is printed. exported: what --mode=export makes of a trained model.
    """

    name: str
    config: type
    codec: type[Codec]
    metrics: Metrics
    read: Callable[[Any, Codec | None], Data]
    make_model: Callable[[Any, Any, nnx.Rngs], nnx.Module]
    loss: Callable[[Any, Any, Any, Any], tuple[Sums, Any]]
    score: Callable[["Trained", Any], Scored]
    answer: Callable[["Trained", Iterator[str]], Iterator[dict]] | None
    check: Callable[[Any], Any]
    read_part: Callable[[Any, Any, str], Any]
    answer_file: Callable[["Trained", str], Iterator[dict]] | None = None
    classes: Callable[[Any], Any] = lambda codec: None
    settings: Callable[[Any], dict[str, Any]] = lambda config: {}
    unit: str = "texts"
    heads: tuple[str, ...] = ()
    donors: Mapping[str, Callable[[Any, Path], Pretrained]] = MappingProxyType({})
    illustrate: Callable[["Trained", str, Any, Any, Run], None] | None = None
    samples: Callable[[Any], str] | None = None
    examples: Callable[["Trained", Any], Iterable[str]] | None = None
    render: Callable[[Any, dict], str] | None = None
    exported: Callable[["Trained"], Exported] | None = None
    fit_after: Callable[["Trained", Data], Codec] | None = None
    fitted: type[Codec] | None = None


class Trained(NamedTuple):
    """A model that can be applied: trained(function, batch) is function(model, batch), compiled once for all.

    is_final: False for the evaluations that choose a checkpoint while training goes on.
    fitted: what `Task.fit_after` returned; None before, and for tasks without it.
    """

    task: Task
    config: Any
    codec: Any
    graph: Any
    params: PyTree
    is_final: bool = True
    fitted: Any = None

    def __call__(self, function: Callable, batch: PyTree, *more: PyTree, **static: Any) -> Any:
        """What function(model, batch, *more, **static) gives, on every device; static: hashable settings.

        function: of a module, so that it is compiled once. Leading axes of the batch are split over the devices.
        """
        mesh = data_mesh()
        settings = tuple(sorted(static.items()))
        return _apply(function, self.graph, settings, self.params, shard_batch(batch, mesh), *more)

    def __repr__(self) -> str:
        return f"Trained({self.task.name}, {num_parameters(self.params):,} parameters)"

    def answer(self, inputs: Iterable[str], **knobs: Any) -> list[dict]:
        """The answers to all inputs, in order. knobs: as the flags of --mode=predict are called, as beam_size=1.

        Raises:
          UserError: not a list of texts: a lone one, say, whose letters would all get an answer; a knob that there is
            not, that has another value, or that belongs to training.
        """
        if self.task.answer is None:
            raise UserError(f"{self.task.name} answers files, not texts: call answer_file with the path of one.")
        return list(self.task.answer(self._with(knobs), _texts(inputs)))

    def answer_file(self, path: str | Path, **knobs: Any) -> list[dict]:
        """The rows that answer a file. knobs: as of `answer`.

        Raises:
          UserError: the task answers texts; the file cannot be read; a knob as in `answer`.
        """
        if self.task.answer_file is None:
            raise UserError(f"{self.task.name} answers texts, not files: call answer with a list of them.")
        return list(self.task.answer_file(self._with(knobs), str(path)))

    def _with(self, knobs: dict[str, Any]) -> "Trained":
        if not knobs:
            return self
        trained = self._replace(config=with_overrides(self.config, knobs))
        if changed := [name for name, *_ in differences(self.config, trained.config)]:
            raise UserError(f"{', '.join(changed)}: part of what was trained; train anew to change it.")
        return trained


def _texts(inputs: Any) -> Iterator[str]:
    if isinstance(inputs, str | bytes) or not isinstance(inputs, Iterable):
        raise UserError(f"answer takes a list of texts, and was given {reprlib.repr(inputs)}: put it into a list")
    return map(_text, inputs, itertools.count())


def _text(item: Any, number: int) -> str:
    if not isinstance(item, str):
        raise UserError(f"answer takes a list of texts, and item {number} of it is no str: {reprlib.repr(item)}")
    return item


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _apply(function: Callable, graph: Any, settings: tuple, params: PyTree, *arguments: PyTree) -> Any:
    return everywhere(function(nnx.merge(graph, params), *arguments, **dict(settings)), data_mesh())
