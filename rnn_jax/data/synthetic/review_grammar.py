"""A grammar of short film reviews whose sentiment depends on the order of the words.

A template says how the sentiment of its parts makes the sentiment of the whole: ``{+adj}`` is an adjective with the
sentiment of the whole, ``{-adj}`` one with the opposite, ``{-clause}`` a whole clause with the opposite, and slots
without a sign are neutral. So "{-clause}, but {+clause}" reads: the clause after "but" decides.
"""

import re
from collections.abc import Iterator
from random import Random

SENTENCES: tuple[str, ...] = (
    # One clause.
    "{+clause}",
    "{+clause}",
    # Contrast: the order of the clauses and the word between them decide.
    "{-clause}, but {+clause}",
    "{-clause}, but {+clause}",
    "{-clause}, yet {+clause}",
    "{-clause}. Still, {+clause}",
    "although {-clause}, {+clause}",
    "while {-clause}, {+clause}",
    "{+clause}, although {-clause}",
    "{+clause}, even though {-clause}",
    # Expectation against outcome.
    "I expected {-thing}; it was {+thing}",
    "{people} promised me {-thing}, and what I got was {+thing}",
    "instead of {-thing} we got {+thing}",
    "we got {+thing} instead of {-thing}",
    "it began as {-thing} and ended as {+thing}",
    "it went from {-adj} to {+adj} {when}",
    "it was {+adj} rather than {-adj}",
    "it was {+adj}, not {-adj}",
    "it was not {-adj} but {+adj}",
    "{people} called it {-adj}; I call it {+adj}",
    "I call it {+adj}, even if {people} called it {-adj}",
    # Comparison: which of the two is named first.
    "{film} was {+comparative} than {rival}",
    "{rival} was {-comparative} than {film}",
    # What would have been, and was not.
    "it would have been {-thing} if {aspect} had not been so {+adj}",
    "if {aspect} had not been so {+adj}, it would have been {-thing}",
    # A long scope: a few words far away turn the clause round, or do not.
    "I would not say that {-clause}",
    "I would say that {+clause}",
    "it is not true, {aside}, that {-clause}",
    "it is true, {aside}, that {+clause}",
    "there is no doubt that {+clause}",
    "I doubt, {aside}, that {-clause}",
    "nobody can deny that {+clause}",
    "{people} said that {+clause}, and they were right",
    "{people} said that {-clause}, and they were wrong",
    "not only was {aspect} {+adj}, {aspect} was {+adj} too",
    "I have never seen {kind} that was so {+adj}",
)

CLAUSES: tuple[str, ...] = (
    "{aspect} {was} {degree}{+adj}",
    "{aspect} {was} {degree}{+adj}",
    "{aspect} {was} {degree}{+adj}",
    "{aspect} was not {degree}{-adj}",
    "{aspect} wasn't {degree}{-adj}",
    "{aspect} was not {-adj} at all",
    "{aspect} was never {-adj}",
    "{aspect} was far from {-adj}",
    "{aspect} was anything but {-adj}",
    "{aspect} never failed to be {+adj}",
    "{aspect} was {+thing}",
    "{aspect} was {+thing}",
    "{aspect} was not {-thing}",
    "nothing about {aspect} was {-adj}",
    "everything about {aspect} was {+adj}",
    "there was something {degree}{+adj} about {aspect}",
    "there was nothing {degree}{-adj} about {aspect}",
    "not for a moment was {aspect} {-adj}",
    "I {+verb} {aspect}",
    "I never {-verb} {aspect}",
    "{people} {+verb} {aspect}",
    "none of {people} {-verb} {aspect}",
)


def _phrases(joined: str) -> tuple[str, ...]:
    return tuple(joined.split("|"))


# What can stand in a slot, each choice as likely as the others of its list. Where words of either sentiment differ,
# "+…" has the positive and "-…" the negative ones; a negative template is the positive one with its signs swapped.
CHOICES: dict[str, tuple[str, ...]] = {
    "review": ("{opener}{+sentence}{closer}.",),
    "sentence": SENTENCES,
    "clause": CLAUSES,
    "+adj": _phrases(
        "good|great|wonderful|brilliant|charming|moving|funny|clever|gripping|beautiful|fresh|delightful|superb|"
        "touching|witty|elegant|inspired|splendid|lovely|exciting|warm|sharp|perfect|honest|memorable"
    ),
    "+thing": _phrases(
        "a joy|a triumph|a delight|a masterpiece|a treat|a gem|a success|a pleasure|a wonder|a work of art|"
        "pure magic|time well spent"
    ),
    "+verb": _phrases("loved|enjoyed|admired|liked|adored|praised|treasured"),
    "+comparative": _phrases("better|funnier|smarter|livelier|warmer|stronger"),
    "-adj": _phrases(
        "bad|awful|terrible|dull|boring|tedious|clumsy|stupid|weak|stale|dreadful|poor|annoying|silly|ugly|flat|"
        "lifeless|messy|predictable|shallow|hollow|lazy|painful|empty|forgettable"
    ),
    "-thing": _phrases(
        "a mess|a disaster|a bore|a failure|a letdown|a waste of time|a chore|a joke|an insult|a train wreck|"
        "pure torture|money down the drain"
    ),
    "-verb": _phrases("hated|disliked|regretted|despised|mocked|loathed|cursed"),
    "-comparative": _phrases("worse|duller|clumsier|slower|emptier|weaker"),
    "aspect": ("{part}",) * 3 + ("{part} {where}",),
    "part": _phrases(
        "the acting|the plot|the ending|the music|the dialogue|the camera work|the pacing|the script|the story|"
        "the opening|the soundtrack|the editing|the direction|the humour|the romance|the villain|the hero|"
        "the love story|the final scene|the first act|the lead actor|the car chase|the lighting|the setting|the cast"
    ),
    "where": _phrases(
        "in the second half|of this film|of the whole series|in the crowd scenes|before the credits|by the sea|"
        "of the early chapters|in the hotel|on the island"
    ),
    "degree": ("",) * 6 + _phrases("very |really |so |truly |quite |utterly "),
    "was": ("was", "was", "felt", "seemed"),
    "people": _phrases(
        "the critics|my friends|my parents|the reviewers|the neighbours|my cousins|the posters|the fans"
    ),
    "film": ("this film", "this picture", "this version", "this part", "the film we saw"),
    "rival": ("the book", "the original", "the trailer", "the sequel", "the old series", "the stage play"),
    "kind": tuple(f"a {genre} film" for genre in _phrases("western|crime|family|horror|spy|war|space|silent")),
    "when": ("in the last hour", "after the first act", "by the end", "in a single scene", "halfway through"),
    "aside": _phrases(
        "as far as I can tell|whatever the papers wrote|after a second viewing|to be fair|now that I have seen it|"
        "a week later|as some claim|in spite of the noise"
    ),
    "opener": ("",) * 3 + ("{opening}, ",),
    "opening": _phrases(
        "honestly|in short|to my surprise|on a rainy sunday|with my brother beside me|after a long day|"
        "as a fan of old films|for once|at the festival"
    ),
    "closer": ("",) * 3 + (". {closing}",),
    "closing": _phrases(
        "We saw it on a rainy sunday|My brother watched it too|It runs for two hours|The cinema was full|"
        "I went with my cousins|I saw it on a plane|It was filmed on an island"
    ),
}
_SLOT = re.compile(r"\{(([+-]?)(\w+))\}")
_SWAP_SIGNS = str.maketrans("+-", "-+")


def write_review(positive: bool, rng: Random) -> str:
    """One review of the given sentiment, about 4 to 40 tokens."""
    review = "{+review}" if positive else "{-review}"
    # A loop rather than recursion: the first slot is filled until there is none.
    while slot := _SLOT.search(review):
        signed, sign, name = slot.groups()
        choices = CHOICES[signed] if signed in CHOICES else CHOICES[name]
        # random() is the one method whose values Python promises to keep, so the sentences are the same everywhere.
        choice = choices[int(rng.random() * len(choices))]
        if sign == "-":
            choice = choice.translate(_SWAP_SIGNS)
        review = review[: slot.start()] + choice + review[slot.end() :]
    return review[0].upper() + review[1:]


def unique_reviews(count: int, seed: int) -> Iterator[tuple[str, bool]]:
    """`count` different reviews with their sentiment (True = positive), a pure function of the seed."""
    rng = Random(seed)
    seen: set[str] = set()
    while len(seen) < count:
        positive = rng.random() < 0.5
        review = write_review(positive, rng)
        if review not in seen:
            seen.add(review)
            yield review, positive
