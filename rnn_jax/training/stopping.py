"""Reasons to end a run early: a signal, no more progress; and when a checkpoint is due."""

import math
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any, ClassVar

from rnn_jax.errors import TrainingInterrupted


class StopSignal:
    """Turns SIGTERM and SIGINT into a flag that the training loop polls; a second SIGINT interrupts at once.

    Several at a time, of runs that train together, are all told; they may end in any order.

    with StopSignal() as stop:
        for ...:
            if stop.requested:
                checkpointer.save(...)
                raise stop.interruption(step)
    """

    _listening: ClassVar[list["StopSignal"]] = []
    _previous: ClassVar[dict[int, Any]] = {}

    def __init__(self) -> None:
        self.signal_number: int | None = None

    @property
    def requested(self) -> bool:
        """True once a signal has arrived."""
        return self.signal_number is not None

    def interruption(self, step: int) -> TrainingInterrupted:
        """The exception to raise once the state is saved: one line that says how to continue."""
        number = self.signal_number or signal.SIGTERM
        name = signal.Signals(number).name
        return TrainingInterrupted(
            f"stopped by {name} at step {step}, checkpoint saved. Run the same command again to continue.", number
        )

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():  # Python allows handlers only there
            self.signal_number = next((other.signal_number for other in self._listening if other.requested), None)
            if not self._listening:
                for number in (signal.SIGTERM, signal.SIGINT):
                    self._previous[number] = signal.signal(number, self._handle)
            self._listening.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self in self._listening:
            self._listening.remove(self)
            if not self._listening:
                for number, handler in self._previous.items():
                    signal.signal(number, handler)
                self._previous.clear()

    @classmethod
    def _handle(cls, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if any(stop.signal_number == signal.SIGINT for stop in cls._listening):
                raise KeyboardInterrupt
            print("stopping after this step; press Ctrl-C again to stop without saving", file=sys.stderr, flush=True)
        for stop in cls._listening:
            stop.signal_number = number


class Patience:
    """Counts evaluations without a new best value; 0 = never give up. Restorable from its two numbers.

    best: best value so far, higher is better; a number, or a tuple whose later entries break ties. waited: evaluations
    since.
    """

    def __init__(self, patience: int, best: Any = -math.inf, waited: int = 0):
        self.patience, self.waited = patience, waited
        self.best = tuple(best) if isinstance(best, list) else best  # JSON makes lists of tuples

    def update(self, value: Any) -> bool:
        """True if the value is a new best one."""
        is_best = value > self.best
        self.best, self.waited = (value, 0) if is_best else (self.best, self.waited + 1)
        return is_best

    @property
    def exhausted(self) -> bool:
        """True when training should stop."""
        return 0 < self.patience <= self.waited


class SaveTimer:
    """Says when a checkpoint is due: every so many seconds, or steps (0 = not by this measure)."""

    def __init__(self, seconds: int | float = 0.0, steps: int = 0):
        self.seconds, self.steps = seconds, steps
        self._last = time.monotonic()

    def due_by_step(self, step: int) -> bool:
        """True if it is time to save by the number of steps."""
        return self.steps > 0 and step % self.steps == 0

    def due_by_time(self) -> bool:
        """True if it is time to save by the clock."""
        return self.seconds > 0 and time.monotonic() - self._last >= self.seconds

    def saved(self) -> None:
        """A checkpoint was saved, for whichever reason: the seconds count anew."""
        self._last = time.monotonic()
