r"""report.tex: the tables, for \input into a paper that loads booktabs and graphicx."""

import textwrap
from collections.abc import Iterable

from rnn_jax.sweeps.report_document import Document
from rnn_jax.sweeps.report_table import Column

_CHARACTERS = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\(<\)",
    ">": r"\(>\)",
    "|": r"\textbar{}",
    '"': r"\symbol{34}",
    "'": "{'}",  # braces, so that no two characters join to another one
    "`": "{`}",
    "[": "{[}",  # after \\ it would begin an argument, and so would *
    "]": "{]}",
    "*": "{*}",
    "-": "{-}",
    "±": r"\(\pm\)",
    "−": r"\(-\)",
    "×": r"\(\times\)",
    "·": r"\(\cdot\)",
    "–": "--",
    "—": "---",
    "…": r"\dots{}",
    "→": r"\(\rightarrow\)",
    "≤": r"\(\le\)",
    "≥": r"\(\ge\)",
    "≈": r"\(\approx\)",
    "√": r"\(\surd\)",
    "∞": r"\(\infty\)",
    "\xa0": "~",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
}
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi",
    "omega",
)
_CHARACTERS |= {c: rf"\(\{name}\)" for c, name in zip("αβγδεζηθικλμνξπρστυφχψω", " ".join(_GREEK).split(), strict=True)}
_LAST_ACCENTED_LETTER = "\u017f"

_RESULTS = ("seeds", "95 % interval", "difference", "its 95 % interval", "p (Holm)", "verdict")
_COSTS = ("parameters", "hidden size", "steps/s", "minutes")
_WIDEST = 30  # characters of a text, before it is broken


def latex_tables(document: Document) -> str:
    """Two tables, results and costs, as wide as their text, or as the line where that is less."""
    names, *others = document.table
    results = [names, *(column for column in others if column.title in _RESULTS or _is_metric(column))]
    costs = [names, *(column for column in others if column.title in _COSTS)]
    title = document.title if document.title[-1:] in ".?!" else f"{document.title}."
    made = (
        "Mean and standard deviation over seeds, bootstrap 95 % intervals, and p of t-tests against the baseline with "
        f"Holm's correction over {len(names.cells) - 1} changes."
    )
    facts = dict(document.facts)
    metric = facts["metric"]
    lines = [
        r"% needs \usepackage{booktabs,graphicx}",
        *(f"% {name}: {_one_line(value)}" for name, value in facts.items()),
        *_table(
            results, " ".join([title, f"Metric: {metric}.", document.status, *document.notices, made]), document.label
        ),
        "",
        *_table(costs, f"{title} Costs: medians over seeds.", f"{document.label}-costs"),
    ]
    return "\n".join(lines) + "\n"


def _is_metric(column: Column) -> bool:
    return column.title.endswith("± std")


def _table(columns: list[Column], caption: str, label: str) -> list[str]:
    alignments = "".join("l" if column.is_text else "r" for column in columns)
    return [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(caption)}}}",
        rf"\label{{tab:{label}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{@{{}}{alignments}@{{}}}}",
        r"\toprule",
        _line([column.title for column in columns]),
        r"\midrule",
        *(_line(cells) for cells in zip(*(column.cells for column in columns))),
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table}",
    ]


def _line(cells: Iterable[str]) -> str:
    return " & ".join(map(_cell, cells)) + r" \\"


def _cell(text: str) -> str:
    """Long texts on lines of their own."""
    lines = [escape(line) for line in textwrap.wrap(text, _WIDEST, break_on_hyphens=False)]
    stacked = r" \\ ".join(lines)
    return stacked if len(lines) < 2 else rf"\begin{{tabular}}[t]{{@{{}}l@{{}}}}{stacked}\end{{tabular}}"


def escape(text: str) -> str:
    """Text that LaTeX sets as it is, on one line; a character that no usual font of it has becomes its number."""
    return "".join(map(_character, _one_line(text))).replace(r" \%", r"~\%")


def _character(character: str) -> str:
    if character in _CHARACTERS:
        return _CHARACTERS[character]
    accented = character.isalpha() and character <= _LAST_ACCENTED_LETTER
    if accented or (character.isascii() and character.isprintable()):
        return character
    return f"{{[}}U+{ord(character):04X}{{]}}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
