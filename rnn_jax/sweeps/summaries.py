"""The runs of a row, as one line of numbers."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeGuard

from rnn_jax.sweeps.records import STATUSES, Record
from rnn_jax.sweeps.rows import Row, Sweep
from rnn_jax.sweeps.statistics import Interval, bootstrap_mean, mean, sample_std

FEWEST_SEEDS = 3  # with less, a row is an anecdote
WITHOUT_METRIC = "without the metric"
UNFINISHED = ("interrupted", "running", "waiting")
DIVERGED_BEFORE = "diverged before"  # and tried again with --retry_failed: what came of that is not chance alone
LOST = ("diverged", "failed", WITHOUT_METRIC, DIVERGED_BEFORE)
COUNTED = (*STATUSES, WITHOUT_METRIC, DIVERGED_BEFORE)


class Difference(NamedTuple):
    """A row's metric minus the baseline's.

    n: seeds that both have, if paired; else the row's seeds. interval, p and p_holm are None of fewer than three seeds.
    exact: p is not the t-test's, because nothing varied between the seeds.
    """

    mean: float
    n: int
    paired: bool
    interval: Interval | None = None
    p: float | None = None
    exact: bool = False
    p_holm: float | None = None


class Summary(NamedTuple):
    """What all runs of a row say together.

    counts: runs by COUNTED; a finished run whose result has no finite metric counts as WITHOUT_METRIC only.
    values: the metric by seed. interval: None of fewer than three seeds.
    num_parameters, hidden_size: every different one. steps_per_second, minutes: medians over the finished runs.
    judgement: baseline, better, worse, no difference shown, not judged, unfinished, anecdotal or no result;
    remark: why, as in "2 of 5 diverged".
    """

    row: Row
    is_baseline: bool
    runs: int
    counts: dict[str, int]
    values: dict[int, float]
    mean: float | None
    std: float | None
    interval: Interval | None
    num_parameters: tuple[int, ...]
    hidden_size: tuple[str, ...]
    steps_per_second: float | None
    minutes: float | None
    difference: Difference | None = None
    judgement: str = ""
    remark: str = ""

    @property
    def verdict(self) -> str:
        """The judgement with its remark."""
        return f"{self.judgement} ({self.remark})" if self.remark else self.judgement

    @property
    def unfinished(self) -> int:
        """How many runs are still to come."""
        return sum(self.counts[status] for status in UNFINISHED)

    @property
    def lost(self) -> str:
        """As in "2 of 5 diverged, 1 failed": runs that ended without the metric; "" where none did."""
        lost = [(self.counts[name], name) for name in LOST if self.counts[name]]
        if not lost:
            return ""
        (count, name), *more = lost
        return ", ".join([f"{count} of {self.runs} {name}", *(f"{count} {name}" for count, name in more)])


def records_by_row(sweep: Sweep, records: Iterable[Record]) -> list[list[Record]]:
    """Those of each row, in order."""
    by_row: list[list[Record]] = [[] for _ in sweep.rows]
    for record in records:
        by_row[record.run.row].append(record)
    return by_row


def summarise(sweep: Sweep, number: int, records: Sequence[Record]) -> Summary:
    """The row of this number with its own records, not compared with anything yet."""
    finished = [record for record in records if record.status == "finished"]
    by_seed = {record.run.seed: metric_of(record, sweep.metric) for record in finished}
    values = {seed: value for seed, value in sorted(by_seed.items()) if value is not None}
    statuses = Counter(record.status for record in records)
    statuses["finished"] = len(values)
    statuses[WITHOUT_METRIC] = len(finished) - len(values)
    statuses[DIVERGED_BEFORE] = sum(record.set_aside for record in records)
    numbers = list(values.values())
    results = [record.result for record in finished]
    return Summary(
        row=sweep.rows[number],
        is_baseline=number == 0,
        runs=len(records),
        counts={name: statuses[name] for name in COUNTED},
        values=values,
        mean=mean(numbers) if numbers else None,
        std=sample_std(numbers) if numbers else None,
        interval=bootstrap_mean(numbers) if len(numbers) >= FEWEST_SEEDS else None,
        num_parameters=tuple(sorted(set(_known(results, "num_parameters", int)))),
        hidden_size=tuple(sorted(set(map(str, _known(results, "hidden_size", int | str))))),
        steps_per_second=_median(_steps_per_second(record) for record in finished),
        minutes=_median(map(minutes_of, results)),
    )


def metric_of(record: Record, metric: str) -> float | None:
    """The finite number of this name in a finished run's result; None where there is none."""
    value = record.result.get(metric) if record.status == "finished" else None
    return float(value) if is_number(value) else None


def minutes_of(result: dict[str, Any]) -> float | None:
    """How long the run took, over all its resumptions; its share, where it had a process together with others."""
    seconds = result.get("seconds")
    return seconds / 60 if is_number(seconds) else None


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether it is a finite number, true and false not among them."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _known(results: Iterable[dict[str, Any]], name: str, kind: Any) -> list[Any]:
    return [result[name] for result in results if isinstance(result.get(name), kind)]


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(statistics.median(known)) if known else None


def _steps_per_second(record: Record) -> float | None:
    """Over the whole run, with its compilation and evaluations."""
    timed = [line for line in record.metrics if is_number(line.get("seconds")) and line["seconds"] > 0]
    return timed[-1]["step"] / timed[-1]["seconds"] if timed else None
