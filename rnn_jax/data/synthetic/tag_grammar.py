"""A grammar of news-like sentences with names of people, places and organisations, tagged in the BIO scheme.

Most names can be any of the three ("Lincoln", "Morgan", "Paris"): what they are follows from words far away. A template
says which: the variables A, B, C and D stand for a type each (A, B and C differ). ``{A}`` is a mention of type A,
``{A.one}`` one of a single name, ``{A:did}`` words that only go with type A, and ``{aside}`` words that go with
anything. So "{A} , {aside} , {A:did}" reads: what it did, at the end, says what the name at the beginning is.
"""

import itertools
from collections.abc import Iterator, Mapping
from random import Random
from typing import NamedTuple

TYPES = ("PER", "LOC", "ORG")
TAGS = ("O", *(f"{position}-{kind}" for kind in TYPES for position in "BI"))


class TaggedSentence(NamedTuple):
    """Words and punctuation marks, and as many tags out of `TAGS`."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...]


SENTENCES: tuple[str, ...] = (
    # Words to the right decide what a name is.
    "{A} , {comment} , {A:did}",
    "{A} , {comment} , {A:did}",
    "{A:list} , {comment} , {A:did}",
    "{A:list} , {comment} , {A:did}",
    "neither {A} nor {A} nor {A} , {comment} , {A:did}",
    "it was {A} , {comment} , that {A:did}",
    "not {A} , {aside} , but {A} {A:did}",
    "{A} and {B} , {aside} , {A:did} and {B:did} respectively",
    "{A} and {B} , {aside} : the former {A:did} , the latter {B:did}",
    "{A} and {B} , {aside} , were {A:role} and {B:role}",
    "{people} took {A} , {aside} , for {B:role} , but it was {A:role}",
    "{people} took {A:list} , {comment} , for {A:roles}",
    "{people} took {A} and {B} , {aside} , for {A:role} and {B:role}",
    # Words to the left decide.
    "as {A:role} , {aside} , {people} chose {A}",
    "the {A:roles} , {aside} , were {A:list}",
    "the {A:roles} , {aside} , were {A:list}",
    "not {B:role} but {A:role} , {aside} , was called {A}",
    "what {A:did} , {aside} , was {A} , not {A}",
    "{A:role} and {B:role} , {aside} , were called {A} and {B}",
    "{A:role} and {B:role} , {aside} , were called {A} and {B}",
    # Both decide: there are three types, one side rules one out and the other side another.
    "it was not {B:role} : {A} , {aside} , was not {C:role} either",
    "there was no talk of {B:roles} , and {A} , {aside} , was not {C:role}",
    "none was {B:role} , and {A:list} , {aside} , were not {C:roles} either",
    # Words to the right decide where a name ends: "in Lincoln Morgan resigned", "in Lincoln Morgan nobody slept".
    "{A:front} {A.one} {B.one} , {aside} , {B:did}",
    "{A:front} {A.one} {B.one} , {aside} , {B:did}",
    "{A:front} {A.two} , {aside} , {scene}",
    "{A.one} and {A.one} , {comment} , were the names of two {A:roles}",
    "{A.joint} , {comment} , {A:named}",
    # Words to the left decide where.
    "two {A:roles} were called , {aside} , {A.one} and {A.one}",
    "one of the {A:roles} was called , {aside} , {A.joint}",
)


def _phrases(joined: str) -> tuple[str, ...]:
    return tuple(joined.split("|"))


# What can stand in a slot, each choice as likely as the others of its list.
CHOICES: dict[str, tuple[str, ...]] = {
    "sentence": SENTENCES,
    "list": ("{T} and {T}", "{T} , {T} and {T}", "{T} , {T} and {T}", "{T} , {T} , {T} and {T}"),
    "aside": _phrases(
        "so the story goes|to the surprise of many|after a long winter|as {PER} told {PER}|as {PER:list} wrote|"
        "as friends of {PER:list}|not far from {LOC:list}|on the road from {LOC} to {LOC}|as owners of {ORG:list}|"
        "in a report of {ORG}|long before {D} {D:did}|soon after {D} {D:did}"
    ),
    "comment": ("{aside}", "{aside}", "just like {A}", "like {A:list}", "unlike {A:list}"),
    "people": _phrases("they|we|reporters|students|the jury|most visitors|our guests"),
    "scene": _phrases(
        "nobody slept|the weather changed|the lights went out|a choir sang|people danced|there was silence|"
        "somebody laughed|the clocks stopped"
    ),
}

# The same for words that go with one type only: did (after one or several names), role and roles, front (before one).
CUES: dict[str, dict[str, tuple[str, ...]]] = {
    "PER": {
        "did": _phrases(
            "resigned|fell ill|got married|lost the election|missed the train|learned to swim|signed the treaty|"
            "gave a speech|wrote a novel|broke a leg|apologised|played the violin"
        ),
        "role": _phrases("a surgeon|a painter|a goalkeeper|a judge|a general|a nurse|a poet|an actor"),
        "roles": _phrases("surgeons|painters|goalkeepers|judges|generals|nurses|poets|actors"),
        "named": _phrases("was the pen name of a poet|was the stage name of an actor|was the alias of a general"),
        "front": _phrases(
            "at the wedding of|after the death of|when {people} interviewed|when {people} buried|in the memoirs of"
        ),
    },
    "LOC": {
        "did": _phrases(
            "lay in ruins|lay under snow|ran out of water|lost the harbour|got a new bridge|sank into the sea|"
            "drew more tourists|gave shelter to refugees|elected a mayor|suffered an earthquake|vanished in fog|"
            "built three churches"
        ),
        "role": _phrases("a town|an island|a port|a valley|a county|a suburb|a village|a capital"),
        "roles": _phrases("towns|islands|ports|valleys|counties|suburbs|villages|capitals"),
        "named": ("was the name of {T:role}",),
        "front": _phrases("in|not far from|when {people} reached|when {people} crossed|on the streets of"),
    },
    "ORG": {
        "did": _phrases(
            "went bankrupt|cut dividends|issued new shares|laid off staff|raised the fares|lost market share|"
            "bought a rival|gave up the patent|paid a fine|broke the contract|opened more branches|merged"
        ),
        "role": _phrases("a bank|a brewery|an airline|an insurer|a publisher|a retailer|a newspaper|a carmaker"),
        "roles": _phrases("banks|breweries|airlines|insurers|publishers|retailers|newspapers|carmakers"),
        "named": ("was the name of {T:role}",),
        "front": _phrases("at the offices of|on behalf of|when {people} audited|when {people} sued|with shares of"),
    },
}

# The words of a mention; each "-" is a name.
MENTIONS: dict[str, tuple[str, ...]] = {
    "": ("-", "- -", "- -", "- - -"),
    "one": ("-",),
    "two": ("- -",),
    "joint": ("- and -",),
}

SHARED_NAMES = _phrases(
    "Paris|Jordan|Austin|Chase|Washington|Morgan|Lincoln|Carter|Sydney|Florence|Chelsea|Madison|Jackson|Houston|"
    "Dallas|Denver|Charlotte|Victoria|Georgia|Virginia|Savannah|Phoenix|Logan|Preston|Lancaster|York|Kent|Chester|"
    "Warwick|Bristol|Clifton|Hamilton|Wellington|Melbourne|Lawrence|Marshall|Barclay|Ford|Hilton|Wells|Mercer|"
    "Sterling|Winston|Vernon|Shelby|Raleigh|Salem|Dover|Stafford|Bradford|Ashton|Milton|Park|Banks|Hill|Rivers"
)
OWN_NAMES: dict[str, tuple[str, ...]] = {
    "PER": _phrases("Anderson|Peterson|Robertson|Ericson|Nicholson|Williamson|Thompson|Harrison"),
    "LOC": _phrases("Greenville|Nashville|Asheville|Knoxville|Danville|Waterville|Pleasantville|Fayetteville"),
    "ORG": _phrases("Datacorp|Aerocorp|Medicorp|Agricorp|Petrocorp|Unicorp|Telecorp|Intercorp"),
}
# Never in training: the words around them tell their type (and the ending does, to who reads characters).
HELD_OUT_NAMES: dict[str, tuple[str, ...]] = {
    "PER": _phrases("Davidson|Emerson|Johnson|Wilson|Simpson|Watson|Atkinson|Dickinson|Richardson|Stevenson|Benson"),
    "LOC": _phrases(
        "Louisville|Huntsville|Evansville|Somerville|Brownsville|Maryville|Centerville|Gainesville|Coalville|"
        "Clarksville|Janesville"
    ),
    "ORG": _phrases(
        "Oceancorp|Solarcorp|Railcorp|Steelcorp|Vitacorp|Nordcorp|Transcorp|Hydrocorp|Cybercorp|Metrocorp|Omnicorp"
    ),
}
_OWN_RATE, _HELD_OUT_RATE = 0.08, 0.08  # of the names
_ORDERS = tuple(itertools.permutations(TYPES))


def _choice(choices: tuple, rng: Random):
    # random() is the one method whose values Python promises to keep, so the sentences are the same everywhere.
    return choices[int(rng.random() * len(choices))]


class _Writer:
    """Fills the slots of one sentence; no name occurs twice in it."""

    def __init__(self, held_out: bool, rng: Random):
        self.held_out = held_out
        self.rng = rng
        self.types = dict(zip("ABC", _choice(_ORDERS, rng))) | {"D": _choice(TYPES, rng)} | {t: t for t in TYPES}
        self.used: set[str] = set()

    def expand(self, template: str, this: str = "") -> Iterator[tuple[str, str]]:
        """The words of a template with their tags; T in it is the type `this`."""
        for word in template.split():
            if not word.startswith("{"):
                yield word, "O"
                continue
            slot, _, cue = word[1:-1].partition(":")
            variable, _, form = slot.partition(".")
            if variable in CHOICES:
                yield from self.expand(_choice(CHOICES[variable], self.rng))
                continue
            kind = this if variable == "T" else self.types[variable]
            if cue:
                choices = CHOICES[cue] if cue in CHOICES else CUES[kind][cue]
                yield from self.expand(_choice(choices, self.rng), kind)
                continue
            for index, part in enumerate(_choice(MENTIONS[form], self.rng).split()):
                yield (self.name(kind) if part == "-" else part), f"{'I' if index else 'B'}-{kind}"

    def name(self, kind: str) -> str:
        """A new name that can be of this type."""
        while (name := self._any_name(kind)) in self.used:
            pass
        self.used.add(name)
        return name

    def _any_name(self, kind: str) -> str:
        draw = self.rng.random()
        if draw < _OWN_RATE:
            return _choice(OWN_NAMES[kind], self.rng)
        if self.held_out and draw < _OWN_RATE + _HELD_OUT_RATE:
            return _choice(HELD_OUT_NAMES[kind], self.rng)
        return _choice(SHARED_NAMES, self.rng)


def write_sentence(held_out: bool, rng: Random) -> TaggedSentence:
    """One tagged sentence of about 8 to 40 tokens; `held_out`: some of its names are never in training."""
    tokens, tags = zip(*_Writer(held_out, rng).expand("{sentence} ."))
    return TaggedSentence((tokens[0][0].upper() + tokens[0][1:], *tokens[1:]), tags)


def unique_sentences(sizes: Mapping[str, int], seed: int) -> dict[str, list[TaggedSentence]]:
    """Split → as many tagged sentences, none twice in all of them; a pure function of the sizes and the seed.

    All splits but "train" have some of the `HELD_OUT_NAMES`.
    """
    rng = Random(seed)
    seen: set[tuple[str, ...]] = set()
    splits: dict[str, list[TaggedSentence]] = {}
    for split, size in sizes.items():
        rows = splits[split] = []
        while len(rows) < size:
            sentence = write_sentence(split != "train", rng)
            if sentence.tokens not in seen:
                seen.add(sentence.tokens)
                rows.append(sentence)
    return splits
