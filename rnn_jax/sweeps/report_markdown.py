"""report.md: for a repository or an issue."""

import re

from rnn_jax.sweeps.report_document import Document
from rnn_jax.sweeps.report_facts import Failure
from rnn_jax.sweeps.report_table import Column


def markdown_page(document: Document) -> str:
    """The whole report; pictures are files beside it."""
    facts = [(name, code(value) if name == "command" else escape(value)) for name, value in document.facts]
    blocks = [
        f"# {escape(document.title)}",
        f"**{escape(document.status)}**",
        *(f"> {escape(notice)}" for notice in document.notices),
        document.text,
        markdown_table(document.table),
        *(f"![]({picture.path.name})\n\n{escape(picture.caption)}" for picture in document.pictures),
        *(["## Failed and diverged runs", "\n".join(map(_failure, document.failures))] if document.failures else []),
        "## How the numbers are made",
        "\n".join(f"- {escape(sentence)}" for sentence in document.methods),
        "## Where they come from",
        "\n".join(f"- {name}: {value}" for name, value in facts),
        "Full precision by row in `report.csv`, by run in `runs.csv`.",
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def markdown_table(columns: list[Column]) -> str:
    """Names as code, everything else as text; numbers to the right."""
    names, *others = columns
    in_code = [code(name).replace("|", r"\|") for name in names.cells]  # in a table, even there
    lines = [
        [escape(column.title) for column in columns],
        ["---" if column.is_text else "---:" for column in columns],
        *([name, *map(escape, cells)] for name, *cells in zip(in_code, *(column.cells for column in others))),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line; what could mean nothing else is left alone."""
    return re.sub(r"[\\`*|~$]|(?<!\w)_|_(?!\w)|<(?=[A-Za-z/!?])|(?<=\])[(\[:]", r"\\\g<0>", " ".join(text.split()))


def code(text: str) -> str:
    """The same in typewriter letters."""
    text = " ".join(text.split())
    fence = "`" * (1 + _longest_fence(text))
    padding = " " * (len(fence) > 1)
    return f"{fence}{padding}{text}{padding}{fence}"


def _failure(failure: Failure) -> str:
    """A list item, with a block of what it said where that is more than a line."""
    head = f"- {code(failure.row)}, seed {failure.seed}, {failure.status} ({code(failure.directory)})"
    first, *more = failure.message.splitlines() or [""]
    if not more:
        return f"{head}: {code(first)}" if first else head
    fence = "`" * max(3, 1 + _longest_fence(failure.message))
    return "\n".join([head, "", *(f"  {line}" for line in (f"{fence}text", first, *more, fence)), ""])


def _longest_fence(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
