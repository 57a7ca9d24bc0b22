"""Markdown tables, and how numbers look in them."""

from collections.abc import Sequence


def table(header: Sequence[str], lines: Sequence[Sequence[str]], *, keep: int = 0) -> str:
    """A Markdown table; nothing without lines. Columns without entries are left out, but for the first `keep`."""
    if not lines:
        return ""
    used = [index for index in range(len(header)) if index < keep or any(line[index] for line in lines)]
    rows = (header, ["---"] * len(header), *lines)
    texts = [[row[index].replace("|", r"\|") for index in used] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in texts)


def shown(value: float) -> str:
    """Three significant digits, without an exponent for large numbers."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def shown_ratio(ratio: float | None) -> str:
    """Two decimals, a loss in bold; nothing for a peer that did not take part."""
    if ratio is None:
        return ""
    return f"**{ratio:.2f}**" if ratio < 1 else f"{ratio:.2f}"
