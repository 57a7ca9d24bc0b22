"""The metrics of the steps since the last log line: kept on the device until somebody asks for them."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

Window = list[dict[str, Any]]


def to_floats(window: Sequence[Mapping[str, Any]]) -> Window:
    """Fetches all scalars at once; floats stay as they are, and survive JSON bit for bit."""
    return [{name: float(value) for name, value in metrics.items()} for metrics in jax.device_get(list(window))]


def mean_over_steps(window: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric over the steps."""
    return {name: float(np.mean([metrics[name] for metrics in window])) for name in window[0]}


def prefixed(name: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """{"loss": …} → {"validation/loss": …}."""
    return {f"{name}/{metric}": value for metric, value in metrics.items()}


def shown(metrics: Mapping[str, Any]) -> str:
    """One line for people: "train/loss 0.3127  validation/accuracy 0.948"."""
    return "  ".join(f"{name} {value:.4g}" for name, value in metrics.items() if isinstance(value, float))
