"""A report before it has a format."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rnn_jax.sweeps.records import Record
from rnn_jax.sweeps.report_facts import (
    Failure,
    facts,
    failures,
    methods,
    notices,
    relative_directory,
    status_line,
)
from rnn_jax.sweeps.report_table import NOTHING, Column, format_minutes, table
from rnn_jax.sweeps.rows import Sweep
from rnn_jax.sweeps.summaries import Summary, metric_of, minutes_of


class Picture(NamedTuple):
    """A file beside the report, and what it shows."""

    path: Path
    caption: str


class Document(NamedTuple):
    """All parts in the order in which people read them.

    label: the sweep's name in letters and digits. status: one sentence. notices: what limits everything below.
    table: a line for each row, named in the first column; judgements: theirs, for colours. runs: a line for each run.
    """

    title: str
    label: str
    text: str
    status: str
    notices: list[str]
    table: list[Column]
    runs: list[Column]
    judgements: list[str]
    pictures: list[Picture]
    failures: list[Failure]
    methods: list[str]
    facts: list[tuple[str, str]]


def make_document(
    sweep: Sweep,
    records: Sequence[Record],
    summaries: Sequence[Summary],
    pictures: Sequence[Picture],
    workdir: Path,
    command: str,
) -> Document:
    """Everything but the format."""
    return Document(
        title=sweep.title,
        label="".join(c if c.isascii() and c.isalnum() else "-" for c in sweep.path.stem).strip("-"),
        text=sweep.text.strip(),
        status=status_line(sweep, records),
        notices=notices(sweep, records, summaries),
        table=table(summaries, sweep.metric),
        runs=_runs(sweep, records, workdir),
        judgements=[summary.judgement for summary in summaries],
        pictures=list(pictures),
        failures=failures(sweep, records, workdir),
        methods=methods(len(sweep.rows) - 1),
        facts=facts(sweep, records, command),
    )


def _runs(sweep: Sweep, records: Sequence[Record], workdir: Path) -> list[Column]:
    values = [metric_of(record, sweep.metric) for record in records]
    names = [sweep.rows[record.run.row].name for record in records]
    seeds = [record.run.seed for record in records]
    minutes = [minutes_of(record.result) for record in records]
    places = [relative_directory(record, workdir) for record in records]
    statuses = [record.status for record in records]
    return [
        Column("row", names, list(names)),
        Column("seed", list(map(str, seeds)), list(seeds)),
        Column("status", statuses, list(statuses)),
        Column(sweep.metric, [NOTHING if value is None else f"{value:.6g}" for value in values], list(values)),
        Column("minutes", list(map(format_minutes, minutes)), list(minutes)),
        Column("directory", places, list(places)),
    ]
