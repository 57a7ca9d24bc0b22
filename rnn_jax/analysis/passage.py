"""A page that shows what a language model does with a passage: the loss of every token, and units over the same text.

The pictures of Karpathy et al. 2015, "Visualizing and understanding recurrent networks", in one HTML file that opens
offline and runs no script. There, −1 is red, +1 blue; here negative is blue, as it is in most maps of two signs.

What makes white space visible is drawn by the style sheet: the text of the page is the text of the passage.
"""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from rnn_jax.analysis.passage_style import STYLE
from rnn_jax.types import Array, Float

Numbers = Float[np.ndarray, "_"] | Float[Array, "_"]
"""(T,), one for each token."""

_TOP_PERCENTILE = 99  # of the losses, where the colour is full: a few surprises do not make all else pale
_ROUNDING = 0.01  # nats that a loss may be below 0
_SWATCHES = 5  # of a legend, from one end of its colours to the other
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # would set what follows in another order
_DRAWN = {"\n": "break", "\t": "tab"}
_SIGNS = {"\n": "⏎", "\t": "⇥", " ": "·"}  # of white space, in a tooltip


def passage_page(
    title: str,
    tokens: Sequence[str],
    nats: Numbers,
    *,
    activations: Mapping[str, Numbers],
    alternatives: Sequence[str] | None = None,
    unit: str = "token",
) -> str:
    """The page, for a file in UTF-8: a heat map of the losses, and below it a picture of each unit.

    Losses are coloured from 0 to their 99th percentile, rounded up to whole nats; units from −a (blue) through 0 to a
    (red), a = max |activation| of the unit. What is not finite is grey. The mean is over the losses that are not NaN
    (the first token, of which nothing was predicted); perplexity = exp(mean nats).

    A control character is shown by its escape in Python, and so is one that would turn the direction of the text that
    follows it.

    Args:
      title: of the page; plain text, as all strings here are.
      tokens: (T,), which make the text if they are put together. A string is the sequence of its characters.
      nats: (T,), −log probability of each token.
      activations: (T,) of each unit, by what to write above it: "layer 1, unit 37".
      alternatives: (T,), a line of each token's tooltip, for what the model thought more probable: "e 0.41, a 0.22".
      unit: what a token is: "character", "word".

    Raises:
      ValueError: lengths that differ; nats below 0, which log probabilities would be.
    """
    losses = _checked("nats", nats, len(tokens))
    if (losses < -_ROUNDING).any():
        raise ValueError(f"nats are −log probability, at least 0; got {losses[losses < -_ROUNDING][0]:g}.")
    losses = np.where(losses < 0, 0.0, losses)
    units = {name: _checked(f"activations[{name!r}]", values, len(tokens)) for name, values in activations.items()}
    if alternatives is not None and len(alternatives) != len(tokens):
        raise ValueError(f"alternatives has one line for each of the {len(tokens)} tokens; got {len(alternatives)}.")
    heading = escape(_readable(title, {}))
    parts = [f'<h1 dir="auto">{heading}</h1>', f'<p class="status">{escape(_summary(losses, unit))}</p>']
    if len(tokens):
        parts += _heat_map(tokens, losses, alternatives, unit)
        parts += ["<h2>Units</h2>"] if units else []
        parts += [_unit_picture(name, tokens, values) for name, values in units.items()]
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{heading}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _checked(name: str, values: Numbers, length: int) -> Float[np.ndarray, " T"]:
    numbers = np.asarray(values, np.float64)
    if numbers.shape != (length,):
        raise ValueError(f"{name} has one number for each of the {length} tokens; got shape {numbers.shape}.")
    return numbers + 0.0  # what is −0, as −log 1 is, becomes 0


def _summary(losses: Float[np.ndarray, " T"], unit: str) -> str:
    known = losses[~np.isnan(losses)]
    count = f"{len(losses)} {unit}{'' if len(losses) == 1 else 's'}"
    if not len(known):
        return f"{count}, none with a loss." if len(losses) else f"The passage is empty: no {unit}s."
    mean = float(known.mean())
    perplexity = math.exp(mean) if mean < math.log(np.finfo(np.float64).max) else math.inf
    missing = len(losses) - len(known)
    without = f", {missing} of them without a loss" if missing else ""
    rates = f"{_number(mean, '.3f')} nats a {unit} ({_number(mean / math.log(2), '.3f')} bits)"
    return f"{rates}, perplexity {_number(perplexity, '.4g')}; {count}{without}."


def _heat_map(
    tokens: Sequence[str], losses: Float[np.ndarray, " T"], alternatives: Sequence[str] | None, unit: str
) -> list[str]:
    finite = losses[np.isfinite(losses)]
    top = max(1, math.ceil(np.percentile(finite, _TOP_PERCENTILE))) if len(finite) else 1
    spans = []
    for place, (token, loss) in enumerate(zip(tokens, losses.tolist())):
        lines = [_readable(token, _SIGNS), _loss_in_words(loss)]
        if alternatives is not None:
            lines.append(_readable(alternatives[place], {"\n": _SIGNS["\n"]}))
        spans.append(_span(token, "loss", loss / top, "\n".join(lines)))
    steps = [top * step / (_SWATCHES - 1) for step in range(_SWATCHES)]
    swatches = "".join(_swatch("loss", step / top, f"{step:g}") for step in steps)
    legend = f"Loss of each {escape(unit)}: {swatches} nats and more; {_swatch('loss', math.nan, 'not finite')}"
    return [f'<p class="legend">{legend}</p>', _text("losses", spans)]


def _loss_in_words(nats: float) -> str:
    if math.isnan(nats):
        return "no loss (NaN)"
    bits = _number(nats / math.log(2), ".2f")
    return f"{_number(nats, '.2f')} nats ({bits} bits), probability {math.exp(-nats):.3g}"


def _unit_picture(name: str, tokens: Sequence[str], values: Float[np.ndarray, " T"]) -> str:
    finite = np.abs(values[np.isfinite(values)])
    top = float(finite.max(initial=0.0)) or 1.0
    spans = [
        _span(token, *_signed(value / top), _number(value, "+.3g")) for token, value in zip(tokens, values.tolist())
    ]
    ends = [top * (2 * step / (_SWATCHES - 1) - 1) for step in range(_SWATCHES)]
    swatches = "".join(_swatch(*_signed(end / top), _number(end, "+.2g") if end else "0") for end in ends)
    return (
        f'<h3 dir="auto">{escape(_readable(name, {}))}</h3>\n<p class="legend">{swatches}</p>\n{_text("unit", spans)}'
    )


def _signed(share: float) -> tuple[str, float]:
    """Colour, and how much of it."""
    return ("minus" if share < 0 else "plus"), abs(share)


def _text(kind: str, spans: Sequence[str]) -> str:
    # lang="": whatever language it is, not that of the page. A <pre> would lose a line break that comes first.
    return f'<p class="text {kind}" lang="" dir="auto">{"".join(spans)}</p>'


def _span(token: str, colour: str, share: float, tooltip: str) -> str:
    begins = " empty" if not token else " mark" if unicodedata.category(token[0]).startswith("M") else ""
    title = escape(tooltip).replace("\n", "&#10;")
    return f'<span {_coloured(colour, share, begins)} title="{title}">{"".join(map(_drawn, token))}</span>'


def _swatch(colour: str, share: float, label: str) -> str:
    return f"<span {_coloured(colour, share)}>{label}</span>"


def _coloured(colour: str, share: float, begins: str = "") -> str:
    if not math.isfinite(share):
        return f'class="unknown{begins}"'
    return f'class="{colour}{begins}" style="--a:{min(share, 1):.3f}"'


def _drawn(character: str) -> str:
    if character in _DRAWN:
        return f'<i class="{_DRAWN[character]}">{character}</i>'
    if unicodedata.category(character) == "Zs":
        return f'<i class="space">{character}</i>'
    shown = _printable(character)
    return escape(shown) if shown == character else f'<i class="code">{shown}</i>'


def _readable(text: str, signs: Mapping[str, str]) -> str:
    return "".join(signs.get(character) or _printable(character) for character in text)


def _printable(character: str) -> str:
    """Or its escape: HTML cannot hold control characters and halves of surrogate pairs."""
    if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in _TURNS:
        return character.encode("unicode_escape").decode("ascii")
    return character


def _number(number: float, form: str) -> str:
    if math.isnan(number):
        return "NaN"
    return (format(number, form) if math.isfinite(number) else "∞" if number > 0 else "−∞").replace("-", "−")
