"""From committed JSON to the tables of BENCHMARKS.md and pictures; nothing in a table is typed by hand.

    ./launch.sh benchmark --report=benchmarks/cpu

Every <suite>.json of the directory becomes tables between the markers `<!-- begin: cpu/gradient -->` and `<!-- end -->`
(cpu is the directory's name); what stands outside of markers is prose, and kept. The sections are machine, summary,
forward, gradient, train, memory, compile, not_run, ensembles, end_to_end; one without markers is added at the end.

A ratio is a peer's time by ours, the median over the blocks in which both ran. Losses, below 1, are **bold**.
"""

import functools
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from experiments.benchmarking.comparison import (
    OURS,
    RIVALS,
    Case,
    Row,
    best_jax_peer,
    geometric_mean,
    load,
    rows_of,
    timing_cases,
)
from experiments.benchmarking.markdown import shown, shown_ratio, table
from experiments.benchmarking.picture import draw_ratios
from experiments.benchmarking.problems import PASSES
from rnn_jax.errors import UserError
from rnn_jax.files import write_atomically

DOCUMENT = Path(__file__).parents[2] / "BENCHMARKS.md"

_BEGIN, _END = "<!-- begin: {} -->", "<!-- end -->"
_BLOCK = re.compile(r"<!-- begin: (\S+) -->\n((?:(?!<!-- begin:).)*?)<!-- end -->", re.DOTALL)


def write(directory: str | Path, document: Path = DOCUMENT) -> Path:
    """Writes a directory's tables into the document, and pictures beside the JSON; returns the document's path.

    Raises:
      UserError: no JSON there, a damaged file, or markers that do not pair.
    """
    directory, document = Path(directory).absolute(), Path(document).absolute()
    for suite, cases in pictured(timing_cases(load(directory))).items():
        draw_ratios(cases, directory / f"{suite}.png")
    text = document.read_text(encoding="utf-8") if document.exists() else "# Benchmarks\n"
    write_atomically(document, with_tables(text, directory, document))
    return document


def with_tables(text: str, directory: Path, document: Path = DOCUMENT) -> str:
    """The document's text with this directory's tables in it."""
    files = load(directory)
    tables = sections(files)
    for suite in pictured(timing_cases(files)):
        picture = Path(os.path.relpath(directory / f"{suite}.png", document.parent)).as_posix()
        image = f"![{suite}: times of all implementations by ours]({picture})"
        tables["summary"] = "\n\n".join(filter(None, [tables.get("summary"), image]))
    if not len(_BLOCK.findall(text)) == text.count("<!-- begin:") == text.count(_END):
        raise UserError(f"{document}: every `{_BEGIN.format('NAME')}` needs its own `{_END}` after it.")

    def replaced(block: re.Match[str]) -> str:
        machine, _, section = block[1].partition("/")
        if machine != directory.name:
            return block[0]
        return _block(block[1], tables.get(section, "Not measured."))

    text = _BLOCK.sub(replaced, text)
    for section, body in tables.items():
        name = f"{directory.name}/{section}"
        if _BEGIN.format(name) not in text:
            text = f"{text.rstrip()}\n\n## {directory.name}: {section.replace('_', ' ')}\n\n{_block(name, body)}\n"
    return text


def pictured(cases: Iterable[Case]) -> dict[str, list[Case]]:
    """The cases that have a peer to ours, by suite."""
    suites: dict[str, list[Case]] = {}
    for case in cases:
        if OURS in case.rows and case.peers:
            suites.setdefault(case.suite, []).append(case)
    return suites


def _block(name: str, body: str) -> str:
    return f"{_BEGIN.format(name)}\n{body}\n{_END}"


def sections(files: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Markdown by name of section; those without rows are left out."""
    cases, rows = timing_cases(files), rows_of(files)
    found = {"machine": machine_table(files), "summary": summary_table(cases)}
    found |= {name: by_suite(functools.partial(pass_table, pass_=name), cases) for name in PASSES}
    found["memory"] = by_suite(functools.partial(value_table, field="temp_bytes", scale=1e-6, unit="MB"), cases)
    found["compile"] = by_suite(functools.partial(value_table, field="compile_seconds", scale=1.0, unit="s"), cases)
    found["not_run"] = not_run_table(files)
    found["ensembles"] = ensemble_table([row for row in rows if "num_seeds" in row])
    found["end_to_end"] = end_to_end_table([row for row in rows if "num_seeds" not in row])
    return {name: text for name, text in found.items() if text}


def machine_table(files: Sequence[dict[str, Any]]) -> str:
    """Where and with what each suite was measured, and what else kept the machine busy."""
    lines = []
    for file in files:
        machine, versions = file["machine"], file["versions"]
        used = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        load_average = " → ".join(f"{machine[name]:.2f}" for name in ("load_before", "load_after") if name in machine)
        settings = " ".join(f"{name}={value}" for name, value in machine.get("environment", {}).items() if value)
        commit = re.sub(r"^(\w{10})\w*", r"\1", machine.get("commit") or "")
        lines.append([file["suite"], machine_name(machine), load_average, commit, used, settings and f"`{settings}`"])
    return table(["suite", "machine", "load average before → after", "commit", "versions", "environment"], lines)


def machine_name(machine: dict[str, Any]) -> str:
    """The processor and its cores, or the accelerator."""
    name, cores = machine.get("cpu_model", "unknown processor"), machine.get("cores")
    on_cpu = f"{name}, {cores} cores" if cores else str(name)
    return on_cpu if machine.get("platform", "cpu") == "cpu" else f"{machine['device']} ({on_cpu})"


def not_run_table(files: Sequence[dict[str, Any]]) -> str:
    """Why an implementation has no rows: it cannot compute something, or computed something else."""
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for file in files:
        for note in file.get("not_run", ()):
            reasons.setdefault((file["suite"], note["peer"], note["reason"]), []).append(
                f"{note['shape']} {note['cell']}"
            )
    lines = [[*key, f"{len(where)}: {where[0]}{' …' * (len(where) > 1)}"] for key, where in reasons.items()]
    return table(["suite", "implementation", "reason", "problems"], lines)


def by_suite(make: Callable[[list[Case]], str], cases: Sequence[Case]) -> str:
    """One table a suite, since their peers differ; each under its name where there are several."""
    suites: dict[str, list[Case]] = {}
    for case in cases:
        suites.setdefault(case.suite, []).append(case)
    tables = {suite: made for suite, own in suites.items() if (made := make(own))}
    return "\n\n".join(f"Suite `{suite}`:\n\n{made}" if len(tables) > 1 else made for suite, made in tables.items())


def summary_table(cases: Sequence[Case]) -> str:
    """Geometric means of the ratios over the shapes, the lowest ratio and the number of rows, by pass and cell."""
    cases = [case for case in cases if case.suite != "ladder"]  # it has ourselves for rivals
    lines = []
    for suite, pass_ in dict.fromkeys((case.suite, case.pass_) for case in cases):
        own = [case for case in cases if (case.suite, case.pass_) == (suite, pass_)]
        cells = list(dict.fromkeys(case.cell for case in own))
        for cell in [*cells, "all"] if len(cells) > 1 else cells:
            chosen = [case for case in own if cell in (case.cell, "all")]
            means = [_mean([case.ratio(rival(case)) for case in chosen]) for rival in RIVALS.values()]
            if any(means):
                lines.append([suite, pass_, cell, *means])
    return table(["suite", "pass", "cell", *RIVALS], lines, keep=3)


def _mean(ratios: Iterable[float | None]) -> str:
    known = [ratio for ratio in ratios if ratio is not None]
    if not known:
        return ""
    return f"{shown_ratio(geometric_mean(known))} (lowest {shown_ratio(min(known))}, rows {len(known)})"


def pass_table(cases: Sequence[Case], pass_: str) -> str:
    """Our milliseconds, the best JAX peer's ratio, and the ratio of every peer; one line a problem."""
    own = [case for case in cases if case.pass_ == pass_]
    peers = _peers(own)
    lines = []
    for case in own:
        ratios = [shown_ratio(case.ratio(peer)) for peer in (best_jax_peer(case), *peers)]
        lines.append([case.shape, case.cell, _milliseconds(case.rows.get(OURS)), *ratios])
    if len(own) > 1:
        columns = [[case.ratio(best_jax_peer(case)) for case in own], *([c.ratio(peer) for c in own] for peer in peers)]
        known = [[ratio for ratio in column if ratio is not None] for column in columns]
        means = [shown_ratio(geometric_mean(column)) if column else "" for column in known]
        lines.append(["geometric mean", "", "", *means])
    return table(["shape", "cell", "ours: median ms (quartiles)", "best JAX peer", *peers], lines)


def value_table(cases: Sequence[Case], field: str, scale: float, unit: str) -> str:
    """A property of the compiled gradient, ours and every peer's."""
    own = [case for case in cases if case.pass_ == "gradient"]
    names = [OURS, *_peers(own)]
    names = [name for name in names if any(case.rows.get(name, {}).get(field) is not None for case in own)]
    lines = []
    for case in own if names else ():
        values = [case.rows.get(name, {}).get(field) for name in names]
        lines.append([case.shape, case.cell, *("" if value is None else shown(value * scale) for value in values)])
    return table(["shape", "cell", *(f"{name}, {unit}" for name in names)], lines)


def _peers(cases: Iterable[Case]) -> list[str]:
    return list(dict.fromkeys(peer for case in cases for peer in case.peers))


def ensemble_table(rows: Sequence[Row]) -> str:
    """Tokens·seeds per second of each way to train S models, the fastest bold; the best program against torch."""
    grouped: dict[tuple[str, str, str, int], dict[str, Row]] = {}
    for row in rows:
        grouped.setdefault((row["shape"], row["cell"], row["pass"], row["num_seeds"]), {})[row["peer"]] = row
    ways = list(dict.fromkeys(row["peer"] for row in rows))
    lines = []
    for key, by_way in grouped.items():
        speeds = {way: row["tokens_per_second"] for way, row in by_way.items()}
        texts = {
            way: f"**{speed:,.0f}**" if speed == max(speeds.values()) else f"{speed:,.0f}"
            for way, speed in speeds.items()
        }
        programs = [row["speedup_over_torch"] for way, row in by_way.items() if way in ("vmap", "map")]
        best = max((speedup for speedup in programs if speedup is not None), default=None)
        lines.append([*map(str, key), *(texts.get(way, "") for way in ways), shown_ratio(best)])
    return table(
        ["shape", "cell", "pass", "seeds", *(f"{way}, tokens/s" for way in ways), "one program / torch"], lines
    )


def end_to_end_table(rows: Sequence[Row]) -> str:
    """Tokens per second of the whole model, and how much of our loop's time is spent inside of the compiled program."""
    lines = []
    for row in rows:
        if "tokens_per_second" in row:
            ratio = "" if row["peer"] == OURS else shown_ratio(row["ratio_to_ours"])
            lines.append([row["shape"], row["peer"], f"{row['tokens_per_second']:,.0f} tokens/s", ratio])
        elif "share" in row:
            lines.append([row["shape"], row["peer"], f"{row['share']:.1%} of the loop's time is in the program", ""])
    return table(["data", "implementation", "speed", "ratio"], lines)


def _milliseconds(row: Row | None) -> str:
    if row is None:
        return ""
    median, low, high = (shown(1e3 * row["seconds"][name]) for name in ("median", "q1", "q3"))
    return f"{median} ({low}–{high})"
