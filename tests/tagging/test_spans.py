"""Spans of tags, by what conlleval.pl and seqeval count, by enumeration of all short sentences, and by hand."""

import itertools
import random

import pytest

from rnn_jax.errors import UserError
from rnn_jax.tagging.spans import (
    SCHEMES,
    Span,
    SpanTotals,
    conlleval_table,
    legal_transitions,
    scheme_labels,
    spans_of,
    to_scheme,
)

# What conlleval.pl (2004-01-26) printed: schemes in which both are legal | gold | guess | correct, gold and found
# spans | the same per type. A slash is a blank line between sentences.
CONLLEVAL = """\
bio | B-PER I-PER O B-LOC | B-PER I-PER O B-LOC | 2 2 2 | LOC 1 1 1, PER 1 1 1
bio | B-PER I-PER O B-LOC | B-PER O O B-LOC | 1 2 2 | LOC 1 1 1, PER 0 1 1
bio | B-PER O O B-LOC | B-PER I-PER O B-LOC | 1 2 2 | LOC 1 1 1, PER 0 1 1
bio | B-PER I-PER I-PER | B-PER I-PER B-PER | 0 1 2 | PER 0 1 2
bio | B-PER B-PER B-PER | B-PER I-PER I-PER | 0 3 1 | PER 0 3 1
bio | B-PER B-PER O | B-PER B-PER O | 2 2 2 | PER 2 2 2
bio iob1 bioes | O O O | O O O | 0 0 0 | -
bio | O O O | B-PER I-PER O | 0 0 1 | PER 0 0 1
bio | B-PER I-PER O | O O O | 0 1 0 | PER 0 1 0
bio | B-PER I-PER O B-LOC | B-LOC I-LOC O B-PER | 0 2 2 | LOC 0 1 1, PER 0 1 1
bio | B-PER I-PER B-LOC I-LOC | O B-LOC I-LOC O | 0 2 1 | LOC 0 1 1, PER 0 1 0
bio | O B-PER / B-PER O | O B-PER / B-PER O | 2 2 2 | PER 2 2 2
- | O B-PER / I-PER O | O B-PER / I-PER O | 2 2 2 | PER 2 2 2
- | O B-PER / I-PER O | O B-PER / B-PER O | 2 2 2 | PER 2 2 2
- | I-PER / I-PER | B-PER / B-PER | 2 2 2 | PER 2 2 2
bio | B-PER / B-PER / B-LOC | B-PER / O / B-LOC | 2 3 2 | LOC 1 1 1, PER 1 2 1
- | O B-PER I-PER O | O I-PER I-PER O | 1 1 1 | PER 1 1 1
- | B-PER I-PER O | B-PER I-LOC O | 0 1 2 | LOC 0 0 1, PER 0 1 1
- | B-PER I-LOC O | B-PER I-LOC O | 2 2 2 | LOC 1 1 1, PER 1 1 1
- | B-PER I-LOC I-PER | B-PER B-LOC I-PER | 3 3 3 | LOC 1 1 1, PER 2 2 2
- | B-PER I-PER I-LOC I-LOC | B-PER I-PER O I-LOC | 1 2 2 | LOC 0 1 1, PER 1 1 1
- | B-PER I-LOC | B-PER I-PER | 0 2 1 | LOC 0 1 0, PER 0 1 1
iob1 | I-PER I-PER O I-PER | I-PER I-PER O I-PER | 2 2 2 | PER 2 2 2
iob1 | I-PER B-PER I-PER | I-PER I-PER I-PER | 0 2 1 | PER 0 2 1
iob1 | I-PER B-PER B-PER O I-LOC | I-PER B-PER I-PER O I-LOC | 2 4 3 | LOC 1 1 1, PER 1 3 2
iob1 | I-PER I-LOC I-LOC | I-PER I-LOC B-LOC | 1 2 3 | LOC 0 1 2, PER 1 1 1
- | I-PER B-LOC I-LOC | I-PER I-LOC I-LOC | 2 2 2 | LOC 1 1 1, PER 1 1 1
bio | B-MISC-X I-MISC-X O B-MISC | B-MISC-X I-MISC-X O B-MISC-X | 1 2 2 | MISC 0 1 0, MISC-X 1 1 2
bio | B-MISC-X I-MISC-X | B-MISC-X B-MISC-Y | 0 1 2 | MISC-X 0 1 1, MISC-Y 0 0 1
- | B-MISC-X I-MISC-X | B-MISC-X I-MISC-Y | 0 1 2 | MISC-X 0 1 1, MISC-Y 0 0 1
- | E-PER O | B-PER O | 1 1 1 | PER 1 1 1
- | O E-PER E-PER | O B-PER B-PER | 2 2 2 | PER 2 2 2
- | E-PER I-PER O | B-PER I-PER O | 0 2 1 | PER 0 2 1
- | B-PER E-LOC | B-PER B-LOC | 2 2 2 | LOC 1 1 1, PER 1 1 1
- | I-PER E-PER I-PER | B-PER I-PER B-PER | 2 2 2 | PER 2 2 2
- | B-PER E-PER E-PER | B-PER I-PER B-PER | 2 2 2 | PER 2 2 2
- | O I-PER E-PER E-PER O | O B-PER E-PER B-PER O | 0 2 1 | PER 0 2 1
bioes | B-PER I-PER E-PER O B-LOC E-LOC | B-PER E-PER O O B-LOC E-LOC | 1 2 2 | LOC 1 1 1, PER 0 1 1
bioes | B-PER E-PER B-LOC E-LOC | B-PER E-PER B-LOC E-LOC | 2 2 2 | LOC 1 1 1, PER 1 1 1
bioes | S-PER O S-LOC S-PER | S-PER O S-PER S-LOC | 1 3 3 | LOC 0 1 1, PER 1 2 2
- | B-PER E-PER B-PER E-PER | B-PER I-PER I-PER E-PER | 1 1 1 | PER 1 1 1
- | E-PER B-PER | I-PER I-PER | 1 1 1 | PER 1 1 1
- | B-PER I-PER O O | B-PER I-PER I-PER I-PER | 0 1 1 | PER 0 1 1
- | I-LOC O B-PER I-PER I-PER / B-LOC / O | B-LOC O B-PER I-PER O / I-LOC / I-PER | 2 3 4 | LOC 2 2 2, PER 0 1 2
"""
CASES = [tuple(field.strip() for field in row.split("|")) for row in CONLLEVAL.splitlines()]

# What seqeval 1.2.2 finds with mode="strict" and IOB2 or IOBES in random tags.
SEQEVAL = """\
bio | B-PER I-A-B O I-LOC I-A-B I-A-B B-A-B O | PER 0 1, A-B 6 7
bio | I-PER O O B-PER I-PER I-LOC I-A-B B-A-B | PER 3 5, A-B 7 8
bio | B-A-B B-LOC O O I-A-B B-LOC I-PER B-LOC | A-B 0 1, LOC 1 2, LOC 5 6, LOC 7 8
bio | B-A-B B-PER O I-PER I-PER B-LOC O O | A-B 0 1, PER 1 2, LOC 5 6
bio | O B-PER O I-LOC I-LOC O I-A-B B-A-B | PER 1 2, A-B 7 8
bio | O I-LOC B-A-B I-PER I-A-B B-A-B B-LOC I-PER | A-B 2 3, A-B 5 6, LOC 6 7
bioes | B-A-B B-PER S-LOC I-A-B E-PER S-LOC S-PER E-PER | LOC 2 3, LOC 5 6, PER 6 7
bioes | B-LOC B-A-B B-A-B B-PER S-PER E-LOC S-PER E-PER | PER 4 5, PER 6 7
bioes | S-PER O B-PER E-A-B S-A-B O I-PER B-A-B | PER 0 1, A-B 4 5
bioes | E-A-B O S-A-B E-LOC S-PER S-PER O O | A-B 2 3, PER 4 5, PER 5 6
bioes | O I-LOC I-LOC S-LOC E-LOC S-PER S-A-B O | LOC 3 4, PER 5 6, A-B 6 7
bioes | B-PER I-PER E-PER E-PER I-PER B-PER E-PER O | PER 0 3, PER 5 7
bioes | B-LOC I-LOC B-LOC I-LOC E-LOC B-PER E-LOC B-PER | LOC 2 5
bioes | B-LOC I-PER E-LOC I-LOC E-LOC B-PER I-PER E-PER | PER 5 8
bio | B-PER I-PER I-LOC I-PER B-PER B-PER I-PER I-PER | PER 0 2, PER 4 5, PER 5 8
"""


def counts(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split()))


def counts_by_type(text: str) -> dict[str, tuple[int, ...]]:
    return {part.split()[0]: counts(part.split(maxsplit=1)[1]) for part in text.split(", ") if text != "-"}


def check_counts(case: tuple[str, ...], scheme: str, *, strict: bool):
    _, gold, guess, overall, by_type = case
    totals = SpanTotals.zero()
    for tags, guesses in zip(gold.split(" / "), guess.split(" / "), strict=True):
        spans = (spans_of(sentence.split(), scheme, strict=strict) for sentence in (tags, guesses))
        totals = totals.add(*spans)
    assert totals.numbers() == counts(overall)
    assert {kind: totals.numbers(kind) for kind in totals.types()} == counts_by_type(by_type)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[1]} | {case[2]}")
@pytest.mark.parametrize("scheme", ["iob1", "bio"])
def test_lenient_reading_counts_as_conlleval(case, scheme):
    check_counts(case, scheme, strict=False)


LEGAL = [(scheme, case) for case in CASES for scheme in case[0].split() if scheme != "-"]


@pytest.mark.parametrize(("scheme", "case"), LEGAL, ids=lambda value: value if isinstance(value, str) else value[1])
@pytest.mark.parametrize("strict", [True, False])
def test_legal_tags_count_as_conlleval(scheme, case, strict):
    check_counts(case, scheme, strict=strict)


def test_bioes_keeps_neighbours_apart_that_conlleval_glues():
    tags = ["B-PER", "E-PER", "B-PER", "E-PER", "S-PER", "S-PER", "E-PER"]
    neighbours = [Span("PER", 0, 2), Span("PER", 2, 4), Span("PER", 4, 5), Span("PER", 5, 6)]
    assert spans_of(tags, "bioes") == neighbours
    assert spans_of(tags, "bioes", strict=False) == [*neighbours, Span("PER", 6, 7)]
    glued = [Span("PER", 0, 4), Span("PER", 4, 5), Span("PER", 5, 6), Span("PER", 6, 7)]
    assert spans_of(tags, "bio", strict=False) == glued


@pytest.mark.parametrize("row", SEQEVAL.splitlines())
def test_strict_reading_is_seqevals(row):
    scheme, tags, found = (field.strip() for field in row.split("|"))
    spans = [(kind, int(start), int(end)) for kind, start, end in (part.split() for part in found.split(", "))]
    assert spans_of(tags.split(), scheme) == spans


@pytest.mark.parametrize(
    ("tags", "strict", "lenient"),
    [
        ("B-X I-X O", [], [(0, 2)]),  # a broken run is nothing, not a shorter span
        ("I-X B-X O B-X", [(0, 1), (1, 2)], [(0, 1), (1, 2), (3, 4)]),
        ("B-X B-X I-X", [(1, 3)], [(0, 1), (1, 3)]),
    ],
)
def test_iob1_has_b_only_after_its_own_type(tags, strict, lenient):
    assert spans_of(tags.split(), "iob1") == [("X", *span) for span in strict]
    assert spans_of(tags.split(), "iob1", strict=False) == [("X", *span) for span in lenient]


def sentences(length: int, types: str = "XY"):
    """All ways to cut so many tokens into O (length 1) and spans of the types."""
    if length == 0:
        yield []
    for first in range(1, length + 1):
        for rest in sentences(length - first, types):
            yield from ([(kind, first), *rest] for kind in types)
            if first == 1:
                yield [("", 1), *rest]


def spell(pieces, scheme: str) -> list[str]:
    """The definition of the schemes, once more."""
    tags = []
    for (before, _), (kind, length) in itertools.pairwise([("", 0), *pieces]):
        letters = ["B"] + ["I"] * (length - 1)
        if scheme == "iob1" and before != kind:
            letters[0] = "I"
        if scheme == "bioes":
            letters[-1] = "S" if length == 1 else "E"
        tags += [f"{letter}-{kind}" for letter in letters] if kind else ["O"]
    return tags


def spans_in(pieces) -> list[Span]:
    ends = itertools.accumulate(length for _, length in pieces)
    return [Span(kind, end - length, end) for (kind, length), end in zip(pieces, ends) if kind]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_short_sentence_is_read_and_respelled(scheme, strict):
    for pieces in itertools.chain.from_iterable(sentences(length) for length in range(6)):
        tags = spell(pieces, scheme)
        assert spans_of(tags, scheme, strict=strict) == spans_in(pieces)
        for other in SCHEMES:
            assert to_scheme(tags, scheme, other, strict=strict) == spell(pieces, other)


def test_round_trip_of_long_sentences():
    rng = random.Random(0)
    for _ in range(200):
        pieces = [(kind, rng.randint(1, 5) if kind else 1) for kind in rng.choices(["", "X", "Y", "A-B"], k=30)]
        tags = spell(pieces, "iob1")
        back = to_scheme(to_scheme(to_scheme(tags, "iob1", "bio"), "bio", "bioes"), "bioes", "iob1")
        assert back == tags


def test_to_scheme_drops_or_repairs_illegal_tags():
    tags = ["I-X", "O", "B-X", "I-Y", "I-Y"]
    assert to_scheme(tags, "bio", "bioes") == ["O", "O", "S-X", "O", "O"]
    assert to_scheme(tags, "bio", "bioes", strict=False) == ["S-X", "O", "S-X", "B-Y", "E-Y"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_legal_transitions_allow_legal_sentences_and_no_others(scheme):
    labels = scheme_labels(["X", "Y"], scheme)
    steps, first, last = legal_transitions(labels, scheme)
    for length in range(1, 5):
        legal = {tuple(spell(pieces, scheme)) for pieces in sentences(length)}
        for path in itertools.product(range(len(labels)), repeat=length):
            tags = [labels[i] for i in path]
            allowed = first[path[0]] and all(steps[pair] for pair in itertools.pairwise(path)) and last[path[-1]]
            assert allowed == (tuple(tags) in legal) == (to_scheme(tags, scheme, scheme) == tags), tags


def test_tags_without_types_are_spans_of_one():
    """As seqeval's get_entities(["B", "I", "O", "B"]) has it: [("_", 0, 1), ("_", 3, 3)], ends included."""
    assert spans_of(["B", "I", "O", "B"], "bio") == [Span("_", 0, 2), Span("_", 3, 4)]
    assert to_scheme(["B", "I", "O", "B"], "bio", "bioes") == ["B", "E", "O", "S"]
    assert to_scheme(["B", "E", "S", "O"], "bioes", "iob1") == ["I", "I", "B", "O"]
    assert scheme_labels(["O", "B"], "bioes") == ("O", "B", "I", "E", "S")
    totals = SpanTotals.zero().add(spans_of(["B", "I", "O"], "bio"), spans_of(["B", "O", "B"], "bio"))
    assert totals.summary() == {"precision": 0, "recall": 0, "f1": 0}  # of one type: its own numbers are these


@pytest.mark.parametrize("given", [["O", "B-P", "I-P", "B-L", "I-L"], ["P", "L"], ["S-P", "O", "I-L"]])
def test_scheme_labels(given):
    assert scheme_labels(given, "bioes") == ("O", "B-P", "I-P", "E-P", "S-P", "B-L", "I-L", "E-L", "S-L")
    assert scheme_labels(given, "bio") == scheme_labels(given, "iob1") == ("O", "B-P", "I-P", "B-L", "I-L")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: spans_of(["O"], "bilou"), "No tagging scheme 'bilou'; there are 'iob1', 'bio', 'bioes'"),
        (lambda: to_scheme(["O"], "bio", "iob2"), "'iob2'"),
        (lambda: scheme_labels(["X"], "iob2"), "'iob2'"),
        (lambda: legal_transitions(["O"], "iob2"), "'iob2'"),
        (lambda: spans_of(["B-PER", "NN"], "bio", strict=False), "'NN' is no span tag"),
        (lambda: spans_of(["O", "B-"], "bio", strict=False), "'B-' is no span tag"),
        (lambda: spans_of(["S-PER"], "bio"), "'bio' has no tag 'S-PER'.*'bioes'"),
        (lambda: legal_transitions(["O", "E-PER"], "iob1"), "'iob1' has no tag 'E-PER'"),
        (lambda: scheme_labels(["O", "B-PER", "PER"], "bio"), "'PER' is no span tag"),
        (lambda: scheme_labels(["O", "B-PER", "U-PER"], "bio"), "'U-PER' is no span tag"),
    ],
)
def test_mistakes_are_explained(call, message):
    with pytest.raises(UserError, match=message):
        call()


# conlleval.pl's own printout for the two sentences, without the counts that this copy of it puts before "precision".
TABLE = """\
processed 6 tokens with 3 phrases; found: 4 phrases; correct: 2.
accuracy:  50.00%; precision:  50.00%; recall:  66.67%; FB1:  57.14
              LOC: precision:  50.00%; recall: 100.00%; FB1:  66.67  2
            LOC-X: precision:   0.00%; recall:   0.00%; FB1:   0.00  0
              PER: precision:  50.00%; recall: 100.00%; FB1:  66.67  2"""


def test_table_and_summary():
    zero = SpanTotals.zero()
    one = zero.add([Span("PER", 0, 2), Span("LOC-X", 3, 4)], [Span("PER", 0, 2), Span("LOC", 2, 3)])
    totals = one.add([Span("LOC", 0, 1)], [Span("LOC", 0, 1), Span("PER", 1, 2)])
    assert conlleval_table(totals, 6, 3) == TABLE
    fractions = {
        "": (2 / 4, 2 / 3, 4 / 7),
        "_LOC": (1 / 2, 1.0, 2 / 3),
        "_LOC-X": (0, 0, 0),
        "_PER": (1 / 2, 1.0, 2 / 3),
    }
    names = ("precision", "recall", "f1")
    expected = [(f"{name}{end}", value) for end, values in fractions.items() for name, value in zip(names, values)]
    assert list(totals.summary().items()) == expected
    assert one.numbers() == (1, 2, 2) and zero == ({}, {}, {})  # the earlier totals are left alone
    assert zero.summary() == {"precision": 0.0, "recall": 0.0, "f1": 0.0}


def test_table_rounds_as_conlleval():
    """21 of 30 found among 34: F1 is 65.625 %, and conlleval.pl's way of computing it gives 65.63."""
    assert conlleval_table(SpanTotals({"X": 21}, {"X": 30}, {"X": 34}), 51, 38).endswith("FB1:  65.63  34")


def test_table_of_nothing():
    expected = "processed 0 tokens with 0 phrases; found: 0 phrases; correct: 0."
    assert conlleval_table(SpanTotals.zero(), 0, 0) == expected
