"""Reading the same data once for several runs of one process."""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_MEMORY: contextvars.ContextVar[dict[Any, Any] | None] = contextvars.ContextVar("memory", default=None)


@contextlib.contextmanager
def reading_once() -> Iterator[None]:
    """Inside, functions marked with `once` remember what they returned; the data must not change meanwhile."""
    token = _MEMORY.set({})
    try:
        yield
    finally:
        _MEMORY.reset(token)


def once(function: F) -> F:
    """Marks a reader whose arguments are hashable, and whose result nobody changes."""

    @functools.wraps(function)
    def reader(*args: Any, **kwargs: Any) -> Any:
        memory = _MEMORY.get()
        if memory is None:
            return function(*args, **kwargs)
        key = (function, args, tuple(sorted(kwargs.items())))
        if key not in memory:
            memory[key] = function(*args, **kwargs)
        return memory[key]

    return reader  # type: ignore[return-value]
