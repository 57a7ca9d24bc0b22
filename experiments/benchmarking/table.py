"""What the benchmark prints: a line for each problem as it is measured, and Markdown tables at the end."""

import statistics
from collections.abc import Callable
from typing import Any

from experiments.benchmarking.markdown import table

Row = dict[str, Any]


def line(rows: dict[str, Row]) -> str:
    """One problem, by peer: our milliseconds, and how many times as long each peer takes."""
    ours = rows["ours"]
    ratios = [f"{peer} {row['ratio_to_ours']:.2f}" for peer, row in rows.items() if peer != "ours"]
    return f"{ours['shape']} {ours['cell']} {ours['pass']}: ours {_time(ours)} ms | {' | '.join(ratios)}"


def plain(row: Row) -> str:
    """A row of any other suite."""
    shown = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in row.items()}
    return " ".join(f"{name}={value}" for name, value in shown.items())


def markdown(rows: list[Row]) -> str:
    """Times by ours with geometric means; compile seconds; temporary memory."""
    tables = {
        "Time by ours (ours: ms)": _pivot(rows, _time) + _means(rows),
        "Seconds to compile": _pivot(rows, lambda row: _or_empty(row["compile_seconds"], 1)),
        "Temporary memory, MB": _pivot(rows, lambda row: _or_empty(row["temp_bytes"], 1e-6)),
    }
    header = ["shape", "cell", "pass", *_peers(rows)]
    return "\n\n".join(f"{title}\n\n{table(header, lines, keep=3)}" for title, lines in tables.items())


def _time(row: Row) -> str:
    return f"{1e3 * row['seconds']['median']:.2f}" if row["peer"] == "ours" else f"{row['ratio_to_ours']:.2f}"


def _or_empty(value: float | None, scale: float) -> str:
    return "" if value is None else f"{value * scale:.2f}"


def _peers(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row["peer"] for row in rows))


def _pivot(rows: list[Row], show: Callable[[Row], str]) -> list[list[str]]:
    by_problem: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in rows:
        by_problem.setdefault((row["shape"], row["cell"], row["pass"]), {})[row["peer"]] = show(row)
    return [[*key, *(shown.get(peer, "") for peer in _peers(rows))] for key, shown in by_problem.items()]


def _means(rows: list[Row]) -> list[list[str]]:
    lines = []
    for name in dict.fromkeys(row["pass"] for row in rows):
        by_peer = [
            [row["ratio_to_ours"] for row in rows if (row["pass"], row["peer"]) == (name, peer)]
            for peer in _peers(rows)
        ]
        means = [f"{statistics.geometric_mean(ratios):.2f}" if ratios else "" for ratios in by_peer]
        lines.append(["geometric mean", "", name, *means])
    return lines
