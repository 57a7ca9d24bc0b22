"""How the labels of some data spell spans: in which scheme, by which letters, and which of them are slips.

| people call it | B | I | E | S |
|---|---|---|---|---|
| BIOES, IOBES | B | I | E | S |
| BILOU | B | I | L (last) | U (unit) |
| BMES | B | M (middle) | E | S |
| BMEWO | B | M | E | W (word) |
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from rnn_jax.tagging.tags import LETTERS, OUTSIDE, UNTYPED, make_tag, tag_parts

_OWN = "BIES"
_CONVENTIONS = {_OWN: "", "BILU": "BILOU", "BMES": "BMES", "BMEW": "BMEWO"}
_FEW = 0.01  # of the words: as many may have another label where it is less plain that labels are span tags
_LETTER_FIRST = re.compile(r"([BIESLUMW])[-_:.|/ ](.+)", re.IGNORECASE)
_LETTER_LAST = re.compile(r"(.+)[-_:.|/ ]([BIESLUMW])", re.IGNORECASE)


class Spelling(NamedTuple):
    """How labels spell spans.

    scheme: "" where they spell none. letters: what stands for B, I, E and S. odd: labels that are no tags of it, though
    most are.
    """

    scheme: str
    letters: str = _OWN
    odd: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """What people call it."""
        return _CONVENTIONS[self.letters] or self.scheme

    def canonical(self, label: str) -> str:
        """A tag by the letters B, I, E and S; what is none as it is."""
        parts = _parts(label, self.letters)
        return label if parts is None or label == OUTSIDE else make_tag(*parts)


def find_spelling(sentences: Sequence[Sequence[str]], scheme: str = "") -> Spelling:
    """How labels spell spans, as far as they do; `scheme` is theirs where somebody says so.

    Span tags are O and B-X, I-X, E-X, S-X with some X that is not empty, or with other letters of the table. Where
    most labels are span tags, by words or by names, O aside, they spell spans, and the others are odd. If no label has
    a type, the letters alone do (B, I, O): a B or I beside O, or a B beside another letter, and few other labels.

    It is "bioes" if at least every second group of neighbours of one type has an E- or S-; else these are odd. Of the
    rest it is "iob1" if more groups begin with I- than with B-, else "bio". So a few slips do not change the scheme.
    """
    counts = Counter(label for labels in sentences for label in labels)
    readings = [_tags(counts, letters, typed) for typed in (True, False) for letters in _CONVENTIONS]
    best = max(range(len(readings)), key=lambda i: sum(counts[label] for label in readings[i]))
    tags, is_typed = readings[best], best < len(_CONVENTIONS)
    letters = list(_CONVENTIONS)[best % len(_CONVENTIONS)]
    if scheme:
        every = {label: _parts(label, letters) for label in counts}
        wrong = (label for label, parts in every.items() if not parts or parts[0] not in OUTSIDE + LETTERS[scheme])
        return Spelling(scheme, letters, frozenset(wrong))
    others = counts.keys() - tags.keys() - {OUTSIDE}
    if not (_mostly(counts, tags, others) if is_typed else _by_letters_alone(counts, tags, others)):
        return Spelling("")
    openers = _openers(sentences, tags)
    ends = {label for label, (letter, _) in tags.items() if letter in "ES"}
    num_ends = sum(counts[label] for label in ends)
    if num_ends and 2 * num_ends >= openers.total():
        return Spelling("bioes", letters, frozenset(others))
    letters = letters if letters[1] != "I" else _OWN
    return Spelling("iob1" if openers["I"] > openers["B"] else "bio", letters, frozenset(others | ends))


def meant(label: str) -> str:
    """The tag that a label probably was to be: "B-PER" of "B_PER", "b-PER" and "PER-B", "O" of "o" and "0"; or ""."""
    if label in ("o", "0"):
        return OUTSIDE
    if first := _LETTER_FIRST.fullmatch(label):
        tag = f"{first[1].upper()}-{first[2]}"
    elif last := _LETTER_LAST.fullmatch(label):
        tag = f"{last[2].upper()}-{last[1]}"
    else:
        tag = label.upper() if len(label) == 1 and label in "bies" else ""
    return tag if tag != label else ""


def spelt_otherwise(sentences: Sequence[Sequence[str]]) -> str:
    """One of the labels, if these seem to be span tags that are written in another way (b-per, B_PER, PER-B); or ""."""
    counts = Counter(label for labels in sentences for label in labels)
    tags = {label: meant(label) or (label if tag_parts(label) else "") for label in counts}
    letters = {tag[0] for tag in tags.values() if tag}
    rest = sum(counts[label] for label, tag in tags.items() if not tag)
    if not letters >= {"B", "I", OUTSIDE} or rest > _FEW * counts.total():
        return ""
    otherwise = (label for label, tag in tags.items() if tag not in (label, OUTSIDE))
    return max(otherwise, key=lambda label: (counts[label], label), default="")


def _tags(labels: Collection[str], letters: str, typed: bool) -> dict[str, tuple[str, str]]:
    """Those labels, without O, that are tags by these letters, with types or without; and the parts of each."""
    found = {label: _parts(label, letters) for label in labels if label != OUTSIDE}
    return {label: parts for label, parts in found.items() if parts and (parts[1] != UNTYPED) == typed}


def _parts(label: str, letters: str) -> tuple[str, str] | None:
    at = letters.find(label[:1])
    return tag_parts(label) if label == OUTSIDE else tag_parts(_OWN[at] + label[1:]) if label and at >= 0 else None


def _mostly(counts: Counter[str], tags: Collection[str], others: Collection[str]) -> bool:
    return bool(tags) and (
        sum(counts[label] for label in tags) > sum(counts[label] for label in others) or len(tags) > len(others)
    )


def _by_letters_alone(counts: Counter[str], tags: Mapping[str, tuple[str, str]], others: Collection[str]) -> bool:
    letters = {letter for letter, _ in tags.values()}
    are_plausible = (OUTSIDE in counts and bool(letters & {"B", "I"})) or ("B" in letters and len(letters) > 1)
    return are_plausible and sum(counts[label] for label in others) <= _FEW * counts.total()


def _openers(sentences: Sequence[Sequence[str]], tags: Mapping[str, tuple[str, str]]) -> Counter[str]:
    """How often each letter begins a group of neighbours of one type."""
    openers: Counter[str] = Counter()
    for labels in sentences:
        before = ""
        for label in labels:
            letter, kind = tags.get(label, ("", ""))
            if kind and kind != before:
                openers[letter] += 1
            before = kind
    return openers
