"""Trained networks are applied through this: what `training.task.Trained` promises."""

from typing import Any, Protocol, runtime_checkable


@runtime_checkable  # by the type checker that the tests put around every function
class Apply(Protocol):
    """apply(function, batch, *more, **static) is function(network, batch, *more, **static), compiled once."""

    def __call__(self, function: Any, batch: Any, *more: Any, **static: Any) -> Any:
        """The result, on every device; static: hashable settings."""
