"""Progress of a training run: a live bar on a terminal, a few plain lines in a pipe or log file."""

import sys
import time
from collections import deque
from typing import Any

import jax
from rich import progress as rich_progress
from rich.console import Console

from rnn_jax.metrics.means import mean_of

_SECONDS_BETWEEN_DRAWS = 0.1
_SECONDS_OF_SPEED = 20.0


class Speed:
    """Steps and units per second over the last seconds, so that compilation at the start is forgotten."""

    def __init__(self, window: float = _SECONDS_OF_SPEED):
        self.window = window
        self._points: deque[tuple[float, int, int]] = deque()

    def add(self, now: float, step: int, units: int) -> None:
        """Records that by `now` (seconds) so many steps and units had been done in all."""
        self._points.append((now, step, units))
        while len(self._points) > 2 and now - self._points[1][0] > self.window:
            self._points.popleft()

    def rates(self) -> tuple[float, float]:
        """(steps per second, units per second); zeros before there are two points."""
        if len(self._points) < 2:
            return 0.0, 0.0
        (t0, s0, u0), (t1, s1, u1) = self._points[0], self._points[-1]
        seconds = max(t1 - t0, 1e-9)
        return (s1 - s0) / seconds, (u1 - u0) / seconds


class Progress:
    """Live progress of `total_steps` updates; quiet unless standard output is a terminal.

    with Progress(total_steps, unit="tokens", start_step=state_step) as progress:
        progress.update(step, num_tokens, loss=loss)     # cheap: draws ten times a second at most
        progress.message("epoch 1: validation/accuracy 0.91")

    `update` never waits for the device: a loss that is not computed yet is left out of the picture.
    """

    def __init__(self, total_steps: int, unit: str = "tokens", *, start_step: int = 0, console: Console | None = None):
        self._console = console or Console(file=sys.stdout, highlight=False)
        self._live = self._console.is_terminal and not self._console.is_dumb_terminal and jax.process_index() == 0
        self._silent = jax.process_index() != 0
        self._unit, self._total = unit, total_steps
        self._units = 0
        self._shown: dict[str, float] = {}
        self._speed = Speed()
        self._last_draw = -float("inf")
        self._bar: rich_progress.Progress | None = None
        if self._live:
            self._bar = rich_progress.Progress(
                rich_progress.BarColumn(bar_width=24),
                rich_progress.TaskProgressColumn(),
                rich_progress.TextColumn("{task.fields[status]}", markup=False),
                console=self._console,
                auto_refresh=False,  # we draw ourselves: a drawing thread would compete with the training
                transient=True,
            )
            self._task = self._bar.add_task("", total=total_steps, completed=start_step, status="compiling")

    def update(self, step: int, units: int = 0, **sums: tuple[Any, Any]) -> None:
        """After an update: its number, what it processed, and sums to show: (total, weight), numbers or scalars."""
        self._units += units
        if self._bar is None:
            return
        now = time.monotonic()
        if now - self._last_draw < _SECONDS_BETWEEN_DRAWS:
            return
        self._last_draw = now
        self._speed.add(now, step, self._units)
        for name, (total, weight) in sums.items():
            if all(getattr(value, "is_ready", lambda: True)() for value in (total, weight)):
                self._shown[name] = mean_of(float(total), float(weight))
        self._bar.update(self._task, completed=step, status=self.status(step), refresh=True)

    def status(self, step: int) -> str:
        """The text beside the bar: step, values, speed, time left."""
        steps_per_second, units_per_second = self._speed.rates()
        parts = [f"step {step}/{self._total}", *(f"{name} {value:.4f}" for name, value in self._shown.items())]
        if steps_per_second > 0:
            parts.append(f"{steps_per_second:.1f} steps/s")
            if units_per_second > 0:
                parts.append(f"{_short(units_per_second)} {self._unit}/s")
            parts.append(f"{format_seconds((self._total - step) / steps_per_second)} left")
        return " · ".join(parts)

    def message(self, text: str) -> None:
        """A line that stays: start, evaluation, end."""
        if self._silent:
            return
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=self._console.file, flush=True)

    def __enter__(self) -> "Progress":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def format_seconds(seconds: int | float) -> str:
    """42s, 3m05s or 2h07m."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    return f"{whole // 60}m{whole % 60:02d}s" if whole < 3600 else f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def _short(number: int | float) -> str:
    for divisor, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= divisor:
            return f"{number / divisor:.1f}{suffix}"
    return f"{number:.0f}"
