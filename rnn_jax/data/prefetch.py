"""Batches are prepared by a thread while the device computes."""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
_DEPTH = 2  # batches that lie ready: one being used up, one being made, and this many between
_END = object()


@contextlib.contextmanager
def prefetch(function: Callable[[int], T], steps: Iterable[int], depth: int = _DEPTH) -> Iterator[Iterator[T]]:
    """An iterator of function(step) for each step in order; the thread that computes ahead ends with the block.

    What the function raises arrives where its result would have.
    """
    ready: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(depth)
    stopping = threading.Event()

    def put(result: Any, error: BaseException | None = None) -> None:
        while not stopping.is_set():
            with contextlib.suppress(queue.Full):
                ready.put((result, error), timeout=0.1)
                return

    def work() -> None:
        try:
            for step in steps:
                put(function(step))
                if stopping.is_set():
                    return
            put(_END)
        except BaseException as error:
            put(_END, error)

    def results() -> Iterator[T]:
        while True:
            result, error = ready.get()
            if error is not None:
                raise error
            if result is _END:
                return
            yield result

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        yield results()
    finally:
        stopping.set()
        thread.join()
