"""What a report says in words: how far the sweep is, where its runs come from, how its numbers are made."""

import datetime
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rnn_jax.sweeps.comparison import SIGNIFICANT
from rnn_jax.sweeps.names import assignments
from rnn_jax.sweeps.records import STATUSES, Record
from rnn_jax.sweeps.rows import Sweep
from rnn_jax.sweeps.statistics import RESAMPLES
from rnn_jax.sweeps.summaries import FEWEST_SEEDS, UNFINISHED, WITHOUT_METRIC, Summary, metric_of, records_by_row

_PACKAGES = ("rnn_jax", "jax", "jaxlib", "flax", "optax", "numpy", "python")
_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[^\n\t\x20-\x7e\xa0-\U0010ffff]")


class Failure(NamedTuple):
    """A run that failed or diverged. directory: relative to the sweep's, if that is known."""

    row: str
    seed: int
    status: str
    directory: str
    message: str


def status_line(sweep: Sweep, records: Sequence[Record]) -> str:
    """As in "7 of 24 runs finished; 2 diverged, 15 waiting."."""
    counts = Counter(record.status for record in records)
    finished = f"{counts['finished']} of {len(records)} runs finished"
    others = [f"{counts[status]} {status}" for status in STATUSES[1:] if counts[status]]
    without = sum(record.status == "finished" and metric_of(record, sweep.metric) is None for record in records)
    others += [f"{without} of the finished ones {WITHOUT_METRIC} {sweep.metric}"] * bool(without)
    return f"{finished}; {', '.join(others)}." if others else f"{finished}."


def notices(sweep: Sweep, records: Sequence[Record], summaries: Sequence[Summary]) -> list[str]:
    """What a reader must know before looking at the table."""
    lines = []
    if any(record.status in UNFINISHED for record in records):
        lines.append("Partial: the numbers below are those of the runs that finished so far, and will change.")
    if few := [summary for summary in summaries if 0 < len(summary.values) < FEWEST_SEEDS]:
        rows = f"{len(few)} row{'s' * (len(few) > 1)}"
        lines.append(f"Anecdotal: {rows} with fewer than {FEWEST_SEEDS} seeds, which get no interval and no test.")
    results = [record.result for record in records if record.status == "finished"]
    commits = _different(result.get("commit") for result in results)
    if len(commits) > 1:
        lines.append(f"The runs come from {len(commits)} different states of the source code.")
    if any(str(commit).endswith("-dirty") for commit in commits):
        lines.append("Some source files differed from the commit (-dirty), so it does not tell the whole code.")
    if len({_machine(result) for result in results}) > 1:
        lines.append("The runs come from different machines: do not compare their speed.")
    return lines


def facts(sweep: Sweep, records: Sequence[Record], command: str) -> list[tuple[str, str]]:
    """(what, value): all that is needed to do it again."""
    results = [record.result for record in records if record.status == "finished"]
    seeds = sorted({record.run.seed for record in records})
    per_row = sorted({len(row) for row in records_by_row(sweep, records)})
    pairs = [
        ("experiment", f"{sweep.experiment} (python -m {sweep.module})"),
        ("sweep", sweep.path.name),
        ("metric", f"{sweep.metric}, {'higher' if sweep.maximize else 'lower'} is better"),
        ("runs", f"{len(sweep.rows)} rows, {' to '.join(map(str, per_row[:1] + per_row[1:][-1:]))} seeds each"),
        ("baseline", assignments(sweep.rows[0].overrides)),
        ("seeds", _ranges(seeds)),
        ("machine", _counted(_machine(result) for result in results)),
        ("commit", _counted(result.get("commit") or "unknown (not run from a git checkout)" for result in results)),
        ("versions", _versions(results)),
        ("command", command),
        ("date", now().strftime("%Y-%m-%d %H:%M UTC")),
    ]
    return [(name, value) for name, value in pairs if value]


def now() -> datetime.datetime:
    """This moment, in UTC."""
    return datetime.datetime.now(datetime.UTC)


def _machine(result: dict[str, Any]) -> str:
    device, platform, count = (result.get(name) for name in ("device", "platform", "device_count"))
    if not device:
        return "unknown"
    kind = f"{device} ({platform})" if platform and platform != device else str(device)
    kind = f"{count} × {kind}" if isinstance(count, int) and count > 1 else kind
    return ", ".join([kind, *(str(result[name]) for name in ("cpu", "machine") if result.get(name))])


def _different(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _counted(values: Iterable[str]) -> str:
    """The value that all have, or each with its number of runs."""
    counts = Counter(values).most_common()
    if len(counts) == 1:
        return counts[0][0]
    return "; ".join(f"{value} ({count} run{'s' * (count > 1)})" for value, count in counts)


def _versions(results: Sequence[dict[str, Any]]) -> str:
    known = [result["versions"] for result in results if isinstance(result.get("versions"), dict)]
    different = {name: _different(versions[name] for versions in known if versions.get(name)) for name in _PACKAGES}
    return ", ".join(f"{name} {' / '.join(versions)}" for name, versions in different.items() if versions)


def _ranges(numbers: Sequence[int]) -> str:
    """0–4, 7."""
    parts = []
    for _, group in itertools.groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        members = [number for _, number in group]
        parts.append(str(members[0]) if len(members) == 1 else f"{members[0]}–{members[-1]}")
    return ", ".join(parts)


def methods(num_changes: int) -> list[str]:
    """How the intervals and the tests are made, in three sentences."""
    return [
        "± is the standard deviation over seeds (n − 1), and the 95 % intervals are percentile bootstraps over seeds "
        f"({RESAMPLES:,} resamples, fixed generator): too narrow for few seeds (of normally distributed results, those "
        "of 5 seeds hold the true mean in about 84 % of cases, of 3 seeds in 75 %), so one that leaves out 0 decides "
        "nothing.",
        "Minutes and steps/s count a run's whole time, start, compilation and evaluations included; of runs that "
        "shared a process, each one's share of it.",
        "Differences to the baseline are taken seed by seed (paired t-test, bootstrap of the differences) where "
        f"{FEWEST_SEEDS} or more seeds are shared, otherwise between the means (Welch's t-test); an exact permutation "
        "test stands in where seeds do not vary at all.",
        f"A change is called better or worse only if p < {SIGNIFICANT} after Holm's correction over all {num_changes} "
        "changes of the sweep, never better if runs of its own diverged, failed or lack the metric, never worse if "
        f"runs of the baseline did; fewer than {FEWEST_SEEDS} seeds are an anecdote and are not tested.",
    ]


def failures(sweep: Sweep, records: Sequence[Record], workdir: Path | None) -> list[Failure]:
    """Every run that failed or diverged, with what it said last; directories as they are where `workdir` is None."""
    return [
        Failure(
            sweep.rows[record.run.row].name,
            record.run.seed,
            record.status,
            relative_directory(record, workdir) if workdir else str(record.run.directory),
            _TERMINAL_CODES.sub("", record.message),
        )
        for record in records
        if record.status in ("failed", "diverged")
    ]


def relative_directory(record: Record, workdir: Path) -> str:
    """The run directory, from the sweep's."""
    return Path(os.path.relpath(record.run.directory, workdir)).as_posix()
