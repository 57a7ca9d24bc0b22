"""report.csv (a line for each row) and runs.csv (a line for each run), in full precision, for other programs."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rnn_jax.config import flat_values
from rnn_jax.sweeps.records import Record
from rnn_jax.sweeps.report_facts import relative_directory
from rnn_jax.sweeps.rows import Row, Sweep
from rnn_jax.sweeps.summaries import Difference, Summary, is_number


def rows_csv(sweep: Sweep, summaries: Sequence[Summary]) -> str:
    """Aggregates; the fields that any row overrides have columns `config/…` with every row's value."""
    return _text({**_aggregates(summary), **_knobs(sweep, summary.row)} for summary in summaries)


def runs_csv(sweep: Sweep, records: Sequence[Record], workdir: Path) -> str:
    """Row, seed, status, the sweep's metric, every other number of result.json, directory; then the `config/…`."""
    results = [record.result if record.status == "finished" else {} for record in records]
    numbers = [{name: value for name, value in result.items() if is_number(value)} for result in results]
    empty = dict.fromkeys([sweep.metric, *(name for known in numbers for name in known)])
    return _text(
        {
            "row": sweep.rows[record.run.row].name,
            "seed": record.run.seed,
            "status": record.status,
            **empty,
            **known,
            "directory": relative_directory(record, workdir),
            **_knobs(sweep, sweep.rows[record.run.row]),
        }
        for record, known in zip(records, numbers)
    )


def _aggregates(summary: Summary) -> dict[str, Any]:
    difference = summary.difference
    none = Difference(mean=0.0, n=0, paired=False)
    low, high = summary.interval or (None, None)
    difference_low, difference_high = (difference or none).interval or (None, None)
    return {
        "row": summary.row.name,
        "is_baseline": summary.is_baseline,
        "runs": summary.runs,
        "n": len(summary.values),
        **{name.replace(" ", "_"): count for name, count in summary.counts.items()},
        "mean": summary.mean,
        "std": summary.std,
        "low": low,
        "high": high,
        "difference": difference and difference.mean,
        "difference_low": difference_low,
        "difference_high": difference_high,
        "difference_n": difference and difference.n,
        "test": _test(difference),
        "p": difference and difference.p,
        "p_holm": difference and difference.p_holm,
        "judgement": summary.judgement,
        "remark": summary.remark,
        "num_parameters": " ".join(map(str, summary.num_parameters)),
        "hidden_size": " / ".join(summary.hidden_size),
        "steps_per_second": summary.steps_per_second,
        "minutes": summary.minutes,
    }


def _test(difference: Difference | None) -> str | None:
    if difference is None or difference.p is None:
        return None
    return "exact" if difference.exact else "paired" if difference.paired else "welch"


def _knobs(sweep: Sweep, row: Row) -> dict[str, Any]:
    names = dict.fromkeys(name for other in sweep.rows for name in other.overrides)
    values = {**row.overrides, **flat_values(row.config)}
    return {f"config/{name}": _plain(values.get(name)) for name in names}


def _plain(value: Any) -> Any:
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else value


def _text(lines: Iterable[Mapping[str, Any]]) -> str:
    """Columns in the order in which they first appear; None is an empty cell."""
    rows = list(lines)
    names = list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO()
    writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()
