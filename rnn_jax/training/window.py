"""The sums of the updates since the last log line: kept on the device until somebody asks for them."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from rnn_jax.metrics.means import mean_of

Sums = Mapping[str, tuple[Any, Any]]
Window = list[dict[str, tuple[float, float]]]
"""Of each update, name → (total, weight)."""


def to_floats(window: Sequence[Sums], member: int | None = None) -> Window:
    """Fetches everything at once; floats stay as they are, and survive JSON bit for bit.

    member: which entry of arrays is meant, where the sums are those of several runs.
    """

    def number(value: Any) -> float:
        return float(value[member]) if np.ndim(value) else float(value)

    return [
        {name: (number(total), number(weight)) for name, (total, weight) in sums.items()}
        for sums in jax.device_get(list(window))
    ]


def from_json(window: Sequence[Mapping[str, Any]]) -> Window:
    """What a checkpoint holds; earlier releases wrote the means of each update."""
    return [
        {name: (value[0], value[1]) if isinstance(value, list) else (value, 1.0) for name, value in sums.items()}
        for sums in window
    ]


def of_each(window: Window, name: str) -> list[float]:
    """total / weight of each update."""
    return [mean_of(*sums[name]) for sums in window]


def means(window: Window) -> dict[str, float]:
    """Σ total / Σ weight over all updates, of each name."""
    totals = {name: [sums[name] for sums in window] for name in window[0]}
    return {name: mean_of(sum(t for t, _ in pairs), sum(w for _, w in pairs)) for name, pairs in totals.items()}


def prefixed(name: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """{"loss": …} → {"validation/loss": …}."""
    return {f"{name}/{metric}": value for metric, value in metrics.items()}
