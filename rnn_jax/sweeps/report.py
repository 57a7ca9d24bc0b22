"""report.md, .html, .tex and .csv of a sweep, runs.csv and pictures, from whatever its runs have brought so far."""

from collections.abc import Sequence
from pathlib import Path

from rnn_jax.files import explain_write_errors, write_atomically
from rnn_jax.sweeps.comparison import compare
from rnn_jax.sweeps.pictures import curves_caption, draw_curves, draw_intervals, intervals_caption
from rnn_jax.sweeps.records import Record
from rnn_jax.sweeps.report_csv import rows_csv, runs_csv
from rnn_jax.sweeps.report_document import Picture, make_document
from rnn_jax.sweeps.report_facts import failures, notices, status_line
from rnn_jax.sweeps.report_html import html_page
from rnn_jax.sweeps.report_latex import latex_tables
from rnn_jax.sweeps.report_markdown import markdown_page
from rnn_jax.sweeps.report_table import table
from rnn_jax.sweeps.rows import Sweep
from rnn_jax.sweeps.summaries import Summary

_ON_A_TERMINAL = ("row", "seeds", "difference", "p (Holm)", "verdict", "minutes")


def write_report(
    sweep: Sweep, records: Sequence[Record], workdir: Path, *, command: str = "", order: str = "sweep"
) -> None:
    """Writes every file of the report into `workdir`.

    order: of the rows: "sweep", or "metric" (the best mean first). command: that made the runs, to be shown.

    Raises:
      UserError: unknown order; the directory cannot be written.
    """
    summaries = compare(sweep, records, order)
    with explain_write_errors(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
    pictures = _draw(sweep, records, summaries, workdir)
    document = make_document(sweep, records, summaries, pictures, workdir, command)
    write_atomically(workdir / "report.csv", rows_csv(sweep, summaries))
    write_atomically(workdir / "runs.csv", runs_csv(sweep, records, workdir))
    write_atomically(workdir / "report.tex", latex_tables(document))
    write_atomically(workdir / "report.md", markdown_page(document))
    write_atomically(workdir / "report.html", html_page(document))


def _draw(sweep: Sweep, records: Sequence[Record], summaries: Sequence[Summary], workdir: Path) -> list[Picture]:
    """The pictures that there is something to draw for; an earlier report's goes where there is not."""
    intervals, curves = workdir / "intervals.png", workdir / "curves.png"
    drawn = []
    if draw_intervals(sweep, summaries, intervals):
        drawn.append(Picture(intervals, intervals_caption(sweep, summaries)))
    if draw_curves(sweep, records, summaries, curves):
        drawn.append(Picture(curves, curves_caption(sweep, summaries)))
    for path in {intervals, curves} - {picture.path for picture in drawn}:
        path.unlink(missing_ok=True)
    return drawn


def summary_lines(sweep: Sweep, records: Sequence[Record], *, order: str = "sweep") -> list[str]:
    """The report for a terminal: how far it is, a line for each row, and where to look at what failed.

    Raises:
      UserError: unknown order.
    """
    summaries = compare(sweep, records, order)
    columns = [
        column
        for column in table(summaries, sweep.metric)
        if column.title in _ON_A_TERMINAL or column.title == f"{sweep.metric} ± std"
    ]
    widths = [max(map(len, (column.title, *column.cells))) for column in columns]
    lines = []
    for line in zip(*([column.title, *column.cells] for column in columns)):
        cells = zip(line, widths, columns)
        lines.append("  ".join(t.ljust(w) if column.is_text else t.rjust(w) for t, w, column in cells).rstrip())
    text = [status_line(sweep, records), *notices(sweep, records, summaries), "", *lines]
    for failure in failures(sweep, records, None):
        text += ["", f"{failure.status}: {failure.row}, seed {failure.seed} ({failure.directory})"]
        text += [f"    {line}" for line in failure.message.splitlines()]
    return text
