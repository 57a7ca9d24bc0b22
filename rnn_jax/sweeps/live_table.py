"""How far a sweep is: a live table of its rows on a terminal, a line for each run that ends in a pipe or log file."""

import json
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rnn_jax.config import flat_values
from rnn_jax.files import LOG
from rnn_jax.sweeps.jobs import Job
from rnn_jax.sweeps.plan_jobs import UNSUCCESSFUL, run_name
from rnn_jax.sweeps.records import Record, read_record
from rnn_jax.sweeps.rows import Sweep
from rnn_jax.training.progress import format_seconds

_SECONDS_BETWEEN_DRAWS = 0.5
_TAIL = 16_384  # bytes of metrics.jsonl that surely hold its last whole line
_LINES_AROUND = 5  # of a table: head, rule, the line below


class LiveTable:
    """Watches the runs of a sweep through their directories.

    with LiveTable(sweep, records) as table:
        run_jobs(jobs, on_start=table.job_started, on_end=table.job_ended, tick=table.tick)

    records: of every run that is shown, as they are before anything starts.
    """

    def __init__(self, sweep: Sweep, records: Sequence[Record], *, console: Console | None = None):
        self._sweep = sweep
        self._console = console or Console(file=sys.stdout, highlight=False)
        self._records = {str(record.run.directory): record for record in records}
        self._running: dict[str, _Watched] = {}
        self._known_before = sum(record.status == "finished" for record in records)
        self._done_before = 0.0
        self._began = time.monotonic()
        self._last_draw = -float("inf")
        self._warned = False
        self._live: Live | None = None
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            # We draw ourselves: a drawing thread would compete with the runs for the cores.
            self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> "LiveTable":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def job_started(self, job: Job) -> None:
        """The runs of the job are in progress from now on."""
        for directory in job.directories:
            watched = _Watched(self._records[directory])
            self._running[directory] = watched
            self._done_before += watched.fraction  # a run that continues has this behind it
        self.draw()

    def job_ended(self, job: Job, exit_code: int, seconds: float) -> None:
        """The runs of the job have ended, well or not."""
        for directory in job.directories:
            self._running.pop(directory, None)
            record = read_record(self._records[directory].run, with_metrics=False)
            self._records[directory] = record
            if self._live is None or record.status in UNSUCCESSFUL:
                self.say(self.end_line(record, seconds))
            self._warn_without_metric(record)
        self.draw()

    def say(self, text: str) -> None:
        """A line that stays, above the table if there is one."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        self._console.file.flush()

    def end_line(self, record: Record, seconds: float | int) -> str:
        """As in "[5/24] cell=gru seed 1: test/accuracy 0.951 in 42s"."""
        over = sum(record.status in ("finished", *UNSUCCESSFUL) for record in self._records.values())
        line = f"[{over}/{len(self._records)}] {run_name(self._sweep, record.run)}: "
        time_taken = format_seconds(seconds)
        if record.status == "finished":
            return f"{line}{self._sweep.metric} {_number(record.result.get(self._sweep.metric))} in {time_taken}"
        return f"{line}{record.status} after {time_taken}, see {record.run.directory / LOG}"

    def _warn_without_metric(self, record: Record) -> None:
        """Once, and early: a misspelt METRIC costs nothing as long as somebody notices it."""
        metric, result = self._sweep.metric, record.result
        if record.status == "finished" and result.get(metric) is None and not self._warned:
            self._warned = True
            has = ", ".join(name for name in result if "/" in name) or "no metrics at all"
            self.say(
                f"warning: no result has METRIC = {metric!r}, they have {has}. Put the sweep file right, at any time."
            )

    def tick(self) -> None:
        """Draws the table anew if it is time to; call it as often as you like."""
        if self._live is not None and time.monotonic() - self._last_draw >= _SECONDS_BETWEEN_DRAWS:
            for watched in self._running.values():
                watched.look()
            self.draw()

    def draw(self) -> None:
        """Draws the table now."""
        if self._live is not None:
            self._last_draw = time.monotonic()
            self._live.update(self.picture(), refresh=True)

    def picture(self) -> Group:
        """The table and the line below it."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("row", overflow="ellipsis", no_wrap=True)
        for name in ("seeds", "running", self._sweep.metric, "failed"):
            table.add_column(name, no_wrap=True)
        rows, left_out = self._rows_that_fit()
        for number in rows:
            table.add_row(*map(Text, self._cells(number)))
        more = [Text(f"… and {left_out} more rows")] if left_out else []
        return Group(table, *more, Text(self.overall()))

    def _rows_that_fit(self) -> tuple[list[int], int]:
        """The rows to show, in the sweep's order, and how many there are beside them: those in progress come first."""
        rows = sorted({record.run.row for record in self._records.values()})
        active = {watched.record.run.row for watched in self._running.values()}
        failed = {record.run.row for record in self._records.values() if record.status in UNSUCCESSFUL}
        by_interest = sorted(rows, key=lambda row: (row not in active, row not in failed, row))
        shown = by_interest[: max(self._console.height - _LINES_AROUND, 1)]
        return sorted(shown), len(rows) - len(shown)

    def _cells(self, row: int) -> tuple[str, ...]:
        records = [record for record in self._records.values() if record.run.row == row]
        results = [record.result for record in records if record.status == "finished"]
        values = [value for result in results if (value := result.get(self._sweep.metric)) is not None]
        failed = sum(record.status in UNSUCCESSFUL for record in records)
        running = [watched.shown() for watched in self._running.values() if watched.record.run.row == row]
        return (
            self._sweep.rows[row].name,
            f"{len(results)}/{len(records)}",
            ", ".join(running),
            _number(fmean(values)) if values else "",
            str(failed or ""),
        )

    def overall(self) -> str:
        """As in "5 of 24 runs finished, 1 failed · 3m05s · about 12m10s left"."""
        statuses = [record.status for record in self._records.values()]
        finished, failed = statuses.count("finished"), sum(statuses.count(status) for status in UNSUCCESSFUL)
        text = f"{finished} of {len(statuses)} runs finished" + f", {failed} failed" * bool(failed)
        elapsed = time.monotonic() - self._began
        text += f" · {format_seconds(elapsed)}"
        left = self._fraction_left()
        done = len(statuses) - failed - self._known_before - self._done_before - left
        if left > 0 and done > 0.05:
            text += f" · about {format_seconds(elapsed * left / done)} left"
        return text

    def _fraction_left(self) -> float:
        """Runs that are still to be made, the rest of those in progress included."""
        over = ("finished", *UNSUCCESSFUL)
        open_runs = [name for name, record in self._records.items() if record.status not in over]
        return sum(1.0 - (self._running[name].fraction if name in self._running else 0.0) for name in open_runs)


class _Watched:
    """A run in progress, through the last line of its metrics.jsonl."""

    def __init__(self, record: Record):
        self.record = record
        self.line: dict[str, Any] = {}
        self.fraction = 0.0
        self._seen = time.monotonic()
        self.look()

    def look(self) -> None:
        """Reads the end of the file again."""
        line = last_line(self.record.run.directory / "metrics.jsonl")
        if line != self.line:
            self.line, self._seen = line, time.monotonic()
            self.fraction = fraction_done(self.record.run.config, line)

    def shown(self) -> str:
        """As in "seed 1 45% 2m10s"."""
        text = f"seed {self.record.run.seed} {self.fraction:.0%}"
        if 0 < self.fraction < 1 and "seconds" in self.line:
            left = self.line["seconds"] * (1 - self.fraction) / self.fraction - (time.monotonic() - self._seen)
            text += f" {format_seconds(left)}"
        return text


def last_line(path: Path) -> dict[str, Any]:
    """The last whole line of a metrics.jsonl, read from its end; {} where there is none."""
    with suppress(OSError), path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(file.tell() - _TAIL, 0))
        for text in reversed(file.read().splitlines()):
            with suppress(ValueError):
                line = json.loads(text)
                if isinstance(line, dict) and "step" in line:
                    return line
    return {}


def fraction_done(config: Any, line: dict[str, Any]) -> float:
    """The share of a run's updates that its last line of metrics tells; 0 where the configuration has no length."""
    knobs = flat_values(config)
    if num_steps := knobs.get("num_steps"):
        return min(line.get("step", 0) / num_steps, 1.0)
    if num_epochs := knobs.get("num_epochs"):
        return min((line.get("epoch") or 0) / num_epochs, 1.0)
    return 0.0


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, (int, float)) else "–"
