"""Labelled spans in tag sequences (names, chunks): reading, writing and counting them.

| scheme | a span of type X | its neighbour of the same type |
|---|---|---|
| "iob1" | I-X … | begins with B-X, which occurs nowhere else |
| "bio" (IOB2) | B-X I-X … | B-X as well |
| "bioes" (IOBES) | B-X I-X … E-X, or S-X for one token | B-X or S-X |

All other tokens are O; `tags` says what a tag is. Where others spell it otherwise (BILOU), or nobody says how, see
`spelling`. Schemes: Ramshaw & Marcus 1995 (IOB1), Tjong Kim Sang & Veenstra 1999.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from rnn_jax.errors import UserError
from rnn_jax.tagging.tags import LETTERS, SCHEMES, UNTYPED, make_tag, parts_in_scheme, tag_parts

# What a span looks like in the letters of neighbouring tokens that share a type: "BIIB" holds two in BIO.
STRICT = {"iob1": re.compile(r"^I+|(?<=.)BI*"), "bio": re.compile(r"BI*"), "bioes": re.compile(r"S|BI*E")}
# conlleval.pl goes on from E-X to B-X, so that two neighbours in legal BIOES would be one; in "bioes" they are two.
_CONLLEVAL = re.compile(r"S|(?:[BI]I*E?|E)(?:(?<=E)BI*E?)*")
_LENIENT = {"iob1": _CONLLEVAL, "bio": _CONLLEVAL, "bioes": re.compile(r"S|[BI]I*E?|E")}


class Span(NamedTuple):
    """Tokens start … end−1 of a sentence are one `type`."""

    type: str
    start: int
    end: int


def spans_of(tags: Sequence[str], scheme: str, *, strict: bool = True) -> list[Span]:
    """The spans of one sentence, in order; they never overlap.

    strict: only what is spelled as the scheme has it (the table above); all other tags make no span. In "bio" an I-X
    with no B-X before it is in none, nor is what continues it; in "iob1" likewise a B-X that does not follow its type.
    Equals seqeval's mode="strict" with IOB2 and IOBES, of tags without types as well.

    Not strict: spans as conlleval.pl (version 2004-01-26) reads them, for numbers that compare with published ones: a
    change of type, B- after B- or I-, and I- or E- after E- begin a span, whatever the scheme. Two things differ. S-,
    unknown to conlleval.pl, always is a span of its own. In "bioes" B-X begins a span after E-X of the same type too,
    where conlleval.pl would go on with the old one.

    Raises:
      UserError: no such scheme, no span tag at all, or, if strict, a tag that the scheme does not have.
    """
    _check_scheme(scheme)
    pattern = (STRICT if strict else _LENIENT)[scheme]
    pairs = [parts_in_scheme(tag, scheme if strict else "bioes") for tag in tags]
    spans, start = [], 0
    for kind, group in groupby(pairs, key=lambda pair: pair[1]):
        run = "".join(letter for letter, _ in group)
        if kind:
            spans += [Span(kind, start + match.start(), start + match.end()) for match in pattern.finditer(run)]
        start += len(run)
    return spans


def to_scheme(tags: Sequence[str], scheme_from: str, scheme_to: str, *, strict: bool = True) -> list[str]:
    """The tags of one sentence spelled in another scheme: those of its spans, O elsewhere. Raises as `spans_of`.

    Legal tags come back unchanged from any way through the schemes; illegal ones are dropped, or (not strict) repaired.
    """
    _check_scheme(scheme_to)
    spelled = ["O"] * len(tags)
    before = Span("", 0, 0)
    for span in spans_of(tags, scheme_from, strict=strict):
        touches = before.type == span.type and before.end == span.start
        letters = _spelling(span.end - span.start, scheme_to, touches)
        spelled[span.start : span.end] = [make_tag(letter, span.type) for letter in letters]
        before = span
    return spelled


def scheme_labels(types_or_labels: Sequence[str], scheme_to: str) -> tuple[str, ...]:
    """All tags of a scheme for the types in a list: O, then each type's B, I (E, S), types in the order given.

    The list holds label names of any scheme ("O", "B-PER", "I-PER", or "O", "B", "I") or plain types ("PER", "LOC"), O
    or not.

    Raises:
      UserError: no such scheme, or a list that mixes the two.
    """
    _check_scheme(scheme_to)
    others = [name for name in types_or_labels if name != "O"]
    tagged = [parts[1] for parts in map(tag_parts, others) if parts is not None]
    if tagged and len(tagged) < len(others):
        odd = next(name for name in others if tag_parts(name) is None)
        raise UserError(f"{odd!r} is no span tag, though other labels are: {others}.")
    types = dict.fromkeys(tagged or others)
    return ("O", *(make_tag(letter, kind) for kind in types for letter in LETTERS[scheme_to]))


def legal_transitions(labels: Sequence[str], scheme: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which label may follow which, to hold a CRF to legal sequences: those that come back from `to_scheme` unchanged.

    Returns:
      Three arrays of bool for L labels: transitions (L, L) [from, to], the first tag (L,) and the last (L,). A sequence
      is legal just if its first tag, each of its steps and its last tag are.

    Raises:
      UserError: no such scheme, or a label that the scheme does not have.
    """
    _check_scheme(scheme)
    pairs = [*(parts_in_scheme(label, scheme) for label in labels), ("O", "")]
    allowed = np.array([[_may_follow(before, tag, scheme) for tag in pairs] for before in pairs], bool)
    return allowed[:-1, :-1], allowed[-1, :-1], allowed[:-1, -1]  # the edges of a sentence are as good as O


class SpanTotals(NamedTuple):
    """Numbers of spans per type: found with the right type and borders, in the gold tags, and predicted."""

    correct: dict[str, int]
    gold: dict[str, int]
    predicted: dict[str, int]

    @classmethod
    def zero(cls) -> "SpanTotals":
        """No sentence yet."""
        return cls({}, {}, {})

    def add(self, gold_spans: Iterable[Span], predicted_spans: Iterable[Span]) -> "SpanTotals":
        """The totals with one more sentence."""
        gold, predicted = set(gold_spans), set(predicted_spans)
        return SpanTotals(*map(_plus, self, (gold & predicted, gold, predicted)))

    def types(self) -> list[str]:
        """The types that occur in the gold tags or the predictions, sorted."""
        return sorted(self.gold.keys() | self.predicted.keys())

    def numbers(self, kind: str | None = None) -> tuple[int, int, int]:
        """How many are correct, gold and predicted, of one type or of all."""
        correct, gold, predicted = (sum(part.values()) if kind is None else part.get(kind, 0) for part in self)
        return correct, gold, predicted

    def summary(self) -> dict[str, float]:
        """precision, recall and f1 over all spans (micro average), then precision_X, recall_X and f1_X of each type X.

        Fractions; 0 where undefined. A type that is neither in the gold tags nor predicted is absent, and so is the
        only one of tags without types.
        """
        summary = {}
        for kind in (None, *(kind for kind in self.types() if kind != UNTYPED)):
            correct, gold, predicted = self.numbers(kind)
            suffix = "" if kind is None else f"_{kind}"
            summary[f"precision{suffix}"] = correct / max(predicted, 1)
            summary[f"recall{suffix}"] = correct / max(gold, 1)
            summary[f"f1{suffix}"] = 2 * correct / max(gold + predicted, 1)
        return summary


def conlleval_table(totals: SpanTotals, num_tokens: int, num_correct_tags: int) -> str:
    """The totals as a table for people, laid out as conlleval.pl does: percentages, and the number found per type.

    num_correct_tags, of num_tokens, are those whose whole tags agree; their share is the line's "accuracy".
    """
    correct, gold, predicted = totals.numbers()
    rows = [f"processed {num_tokens} tokens with {gold} phrases; found: {predicted} phrases; correct: {correct}."]
    if num_tokens:
        rows.append(f"accuracy: {100 * num_correct_tags / num_tokens:6.2f}%; {_percentages(*totals.numbers())}")
    for kind in totals.types():
        rows.append(f"{kind:>17}: {_percentages(*totals.numbers(kind))}  {totals.predicted.get(kind, 0)}")
    return "\n".join(rows)


def _percentages(correct: int, gold: int, predicted: int) -> str:
    precision, recall = 100 * correct / max(predicted, 1), 100 * correct / max(gold, 1)
    f1 = 2 * precision * recall / (precision + recall) if correct else 0.0  # by this way ties round as conlleval.pl's
    return f"precision: {precision:6.2f}%; recall: {recall:6.2f}%; FB1: {f1:6.2f}"


def _plus(counts: dict[str, int], spans: set[Span]) -> dict[str, int]:
    return dict(Counter(counts) + Counter(span.type for span in spans))


def _spelling(length: int, scheme: str, touches: bool) -> str:
    """The letters of a span; `touches`: another of its type ends where it begins."""
    if scheme == "bioes":
        return "S" if length == 1 else "B" + "I" * (length - 2) + "E"
    return ("I" if scheme == "iob1" and not touches else "B") + "I" * (length - 1)


def _may_follow(before: tuple[str, str], tag: tuple[str, str], scheme: str) -> bool:
    """Whether the scheme has `tag` directly after `before`."""
    same = before[1] == tag[1]
    if scheme == "bioes":
        return (tag[0] in "IE" and same) if before[0] in "BI" else tag[0] in "OBS"
    return same or tag[0] != ("B" if scheme == "iob1" else "I")


def _check_scheme(scheme: str) -> None:
    if scheme not in SCHEMES:
        raise UserError(f"No tagging scheme {scheme!r}; there are {', '.join(map(repr, SCHEMES))}.")
