"""How a run will go, said before it does: parameter table, batch shapes, memory, steps."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import optax

from rnn_jax.config import config_to_dict
from rnn_jax.models.sizes import describe_network, num_parameters

PyTree = Any

_FEW_UPDATES = 200  # below it little is learned from scratch


class Plan(NamedTuple):
    """learning_rate: of update t = 0, 1, …, before any plateau."""

    steps_per_epoch: int
    total_steps: int
    learning_rate: optax.Schedule


def introduction(config: Any, params: PyTree, plan: Plan, source: Any) -> Iterator[str]:
    """What is about to be trained."""
    yield from getattr(source, "notes", ())
    yield f"{describe_network(config)}{num_parameters(params):,} parameters, {plan.total_steps:,} steps."
    if not config.run.num_steps and plan.total_steps < _FEW_UPDATES:
        epochs = -(-_FEW_UPDATES // plan.steps_per_epoch)
        yield (
            f"Few updates: the training data makes {plan.steps_per_epoch:,} an epoch. Small data takes more epochs, as"
            f" --num_epochs={epochs:,}; validation keeps the best checkpoint."
        )
    if (waste := getattr(source, "padding_waste", None)) is not None:
        yield f"Padding is {waste:.1%} of the training batches."


def describe(config: Any, shapes: PyTree, plan: Plan, source: Any) -> str:
    """Configuration, parameter table, the arrays of the longest batch, steps."""
    knobs = json.dumps(config_to_dict(config), indent=2, ensure_ascii=False)
    lines = [knobs, "", parameter_table(shapes), "", "The longest batch:", shape_table(longest_batch(source)), ""]
    return "\n".join([*lines, *introduction(config, shapes, plan, source)])


def longest_batch(source: Any) -> dict[str, Any]:
    """A batch of the largest shape, of a source whose batches differ; else the first one."""
    return source.longest() if hasattr(source, "longest") else source.batch(0)


def parameter_table(params: PyTree) -> str:
    """A line for each array: name, shape, dtype, count; then the total."""
    rows = [("parameter", "shape", "dtype", "count")]
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name = jax.tree_util.keystr(path, simple=True, separator=".").replace(".value", "")
        rows.append((name, str(tuple(leaf.shape)), str(leaf.dtype), f"{math.prod(leaf.shape):,}"))
    rows.append(("total", "", "", f"{num_parameters(params):,}"))
    return _aligned(rows)


def shape_table(arrays: Mapping[str, Any]) -> str:
    """A line for each array of a batch."""
    return _aligned([(name, str(tuple(array.shape)), str(array.dtype)) for name, array in arrays.items()])


def memory_estimate(step: Callable, *arguments: PyTree) -> str:
    """What XLA plans for one compiled step: arguments and results, and temporary memory; per device."""
    analysis = step.lower(*arguments).compile().memory_analysis()  # type: ignore[attr-defined]
    if analysis is None:
        return "not known on this platform"
    held, temporary = analysis.argument_size_in_bytes, analysis.temp_size_in_bytes
    return f"{held / 1e6:,.1f} MB state and batch + {temporary / 1e6:,.1f} MB temporary for one step"


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
