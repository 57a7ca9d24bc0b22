"""What a run would do, before it does it: parameter table, batch shapes, memory, steps."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from rnn_jax.models.sizes import num_parameters

PyTree = Any


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
