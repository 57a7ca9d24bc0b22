"""report.html: one file that opens offline, with its pictures inside and a table that sorts."""

import base64
from html import escape

from rnn_jax.sweeps.report_document import Document, Picture
from rnn_jax.sweeps.report_facts import Failure
from rnn_jax.sweeps.report_html_style import SCRIPT, STYLE
from rnn_jax.sweeps.report_table import Column

_COLOURS = {"better": "better", "worse": "worse", "baseline": "baseline", "not judged": "warning"}


def html_page(document: Document) -> str:
    """The whole report."""
    parts = [
        f"<h1>{escape(document.title)}</h1>",
        f'<p class="status">{escape(document.status)}</p>',
        *(f'<p class="notice">{escape(notice)}</p>' for notice in document.notices),
        *(f'<p class="prose">{escape(paragraph)}</p>' for paragraph in document.text.split("\n\n") if paragraph),
        _table(document.table, [_COLOURS.get(judgement, "") for judgement in document.judgements]),
        *map(_picture, document.pictures),
        *(["<h2>Failed and diverged runs</h2>", *map(_failure, document.failures)] if document.failures else []),
        "<h2>All runs</h2>",
        f"<details><summary>{len(document.runs[0].cells)} runs</summary>{_table(document.runs)}</details>",
        "<h2>How the numbers are made</h2>",
        f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in document.methods)}</ul>",
        "<h2>Where they come from</h2>",
        f"<dl>{''.join(map(_fact, document.facts))}</dl>",
    ]
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(document.title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _table(columns: list[Column], classes: list[str] | None = None) -> str:
    marks = [" verdict" if column.title == "verdict" else "" for column in columns]
    kinds = [("text" if column.is_text else "number") + mark for mark, column in zip(marks, columns)]
    head = "".join(
        f'<th class="{kind}" scope="col"><button type="button">{escape(column.title)}</button></th>'
        for kind, column in zip(kinds, columns)
    )
    lines = []
    for place in range(len(columns[0].cells)):
        cells = "".join(
            f'<td class="{kind}" data-key="{_key(column.keys[place])}">{escape(column.cells[place])}</td>'
            for kind, column in zip(kinds, columns)
        )
        lines.append(f'<tr class="{classes[place] if classes else ""}">{cells}</tr>')
    body = "\n".join(lines)
    return (
        f'<div class="scroll"><table class="sortable">\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _key(key: float | str | None) -> str:
    return "" if key is None else escape(key) if isinstance(key, str) else repr(float(key))


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.path.read_bytes()).decode("ascii")
    caption = f"<figcaption>{escape(picture.caption)}</figcaption>"
    return f'<figure><img alt="" src="data:image/png;base64,{data}">{caption}</figure>'


def _failure(failure: Failure) -> str:
    head = f"<code>{escape(failure.row)}</code>, seed {failure.seed}, {escape(failure.status)}"
    said = escape(failure.message) or "(it said nothing)"
    place = f"<p><code>{escape(failure.directory)}</code></p>"
    return f"<details><summary>{head}</summary>{place}<pre>{said}</pre></details>"


def _fact(fact: tuple[str, str]) -> str:
    name, value = fact
    shown = f"<code>{escape(value)}</code>" if name == "command" else escape(value)
    return f"<dt>{escape(name)}</dt><dd>{shown}</dd>"
