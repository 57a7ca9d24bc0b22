"""The table of a report as plain text cells; Markdown, LaTeX, HTML and the terminal only set them."""

import functools
import math
import re
import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rnn_jax.sweeps.statistics import Interval
from rnn_jax.sweeps.summaries import DIVERGED_BEFORE, UNFINISHED, WITHOUT_METRIC, Difference, Summary

NOTHING = "–"
_MOST_DECIMALS = 6
_COUNTED = ("diverged", "failed", *UNFINISHED, WITHOUT_METRIC, DIVERGED_BEFORE)


class Column(NamedTuple):
    """One column: a cell for each row, and what it is sorted by (None: last)."""

    title: str
    cells: list[str]
    keys: Sequence[float | str | None]

    @property
    def is_text(self) -> bool:
        """Set to the left, not to the right."""
        return any(isinstance(key, str) for key in self.keys)


def table(summaries: Sequence[Summary], metric: str) -> list[Column]:
    """Every column that these rows need: statuses that occurred, tests if they are not all alike, hidden sizes too."""
    decimals = choose_decimals(summaries)
    signed = functools.partial(format_number, decimals=decimals, sign=True)
    names, verdicts = [name_of(s) for s in summaries], [s.verdict for s in summaries]
    differences = [s.difference for s in summaries]
    ours, theirs = [s.interval for s in summaries], [d and d.interval for d in differences]
    counts = {name: [s.counts[name] for s in summaries] for name in _COUNTED}
    columns = [
        Column("row", names, names),
        Column("seeds", [f"{len(s.values)}/{s.runs}" for s in summaries], [len(s.values) for s in summaries]),
        *(_column(name, numbers, str) for name, numbers in counts.items() if any(numbers)),
        Column(f"{metric} ± std", [_with_std(s, decimals) for s in summaries], [s.mean for s in summaries]),
        Column("95 % interval", [format_interval(i, decimals) for i in ours], [i and i.low for i in ours]),
        _column("difference", [d and d.mean for d in differences], signed),
        Column(
            "its 95 % interval",
            [format_interval(interval, decimals, sign=True) for interval in theirs],
            [interval and interval.low for interval in theirs],
        ),
        _column("p (Holm)", [d and d.p_holm for d in differences], format_p),
        Column("verdict", verdicts, verdicts),
        Column("parameters", [_range(s.num_parameters) for s in summaries], [_last(s) for s in summaries]),
    ]
    if len({s.hidden_size for s in summaries if s.hidden_size}) > 1:
        sizes = [" / ".join(s.hidden_size) or NOTHING for s in summaries]
        columns.append(Column("hidden size", sizes, [_as_number(size) for size in sizes]))
    columns += [
        _column("steps/s", [s.steps_per_second for s in summaries], format_rate),
        _column("minutes", [s.minutes for s in summaries], format_minutes),
        _column("p (raw)", [d and d.p for d in differences], format_p),
    ]
    tests = [_test(d) for d in differences]
    return [*columns, Column("test", tests, tests)] if len(set(tests) - {NOTHING}) > 1 else columns


def _column(title: str, values: Sequence[Any], show: Callable[[Any], str]) -> Column:
    return Column(title, [show(value) for value in values], list(values))


def name_of(summary: Summary) -> str:
    """The row's name, the baseline marked."""
    name = summary.row.name
    return f"{name} (baseline)" if summary.is_baseline and name != "baseline" else name


def choose_decimals(summaries: Sequence[Summary]) -> int:
    """So many that the usual standard deviation has two digits; without one, that the largest mean has four."""
    if spreads := [summary.std for summary in summaries if summary.std]:
        digits = 1 - _exponent(statistics.median(spreads))
    else:
        means = [abs(summary.mean) for summary in summaries if summary.mean]
        digits = 3 - _exponent(max(means)) if means else 3
    return min(max(digits, 0), _MOST_DECIMALS)


def _exponent(value: float) -> int:
    return math.floor(math.log10(value))


def format_number(value: float | None, decimals: int, *, sign: bool = False) -> str:
    """With a true minus sign; in powers of ten where the decimals show nothing, or far too much."""
    if value is None:
        return NOTHING
    plus = "+" if sign and value != 0 else ""
    text = f"{value:{plus}.{decimals}f}"
    if value != 0 and (float(text) == 0 or abs(value) >= 1e7):
        text = f"{value:{plus}.1e}"
    return text.replace("-", "−")


def format_interval(interval: Interval | None, decimals: int, *, sign: bool = False) -> str:
    """[low, high]."""
    if interval is None:
        return NOTHING
    return f"[{format_number(interval.low, decimals, sign=sign)}, {format_number(interval.high, decimals, sign=sign)}]"


def format_p(p: float | None) -> str:
    """Four decimals; "<0.0001" where they show nothing."""
    if p is None:
        return NOTHING
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"


def format_rate(rate: float | None) -> str:
    """Three digits or more."""
    if rate is None:
        return NOTHING
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}" if rate >= 10 else f"{rate:.2f}"


def format_minutes(minutes: float | None) -> str:
    """Two digits or more."""
    if minutes is None:
        return NOTHING
    return f"{minutes:,.0f}" if minutes >= 10 else f"{minutes:.1f}" if minutes >= 1 else f"{minutes:.2f}"


def _with_std(summary: Summary, decimals: int) -> str:
    if summary.mean is None:
        return NOTHING
    return f"{format_number(summary.mean, decimals)} ± {format_number(summary.std, decimals)}"


def _range(counts: Sequence[int]) -> str:
    return " to ".join(f"{count:,}" for count in dict.fromkeys((counts[0], counts[-1]))) if counts else NOTHING


def _last(summary: Summary) -> int | None:
    return summary.num_parameters[-1] if summary.num_parameters else None


def _test(difference: Difference | None) -> str:
    if difference is None or difference.p is None:
        return NOTHING
    return f"{'paired' if difference.paired else 'Welch'}, n = {difference.n}"


def _as_number(sizes: str) -> float | None:
    """The first layer's size."""
    digits = re.match(r"\d+", sizes)
    return float(digits[0]) if digits else None
