"""What each symbol of the small language can become: templates with their relative frequencies.

In a template, ``{noun.one}`` is replaced by a text of that symbol, ``{A:name.she}`` also keeps the text under a name,
and ``{A}`` repeats it further on in the same template.

What a reader has to keep in mind: the number of the subject over a relative clause, whole names, both terms of a sum,
and which quotes and brackets are open (three deep at most).
"""

from collections.abc import Mapping

Choices = Mapping[str, float]


def _zipf(joined: str) -> Choices:
    """Phrases whose frequency falls as 1 / (rank + 1): Zipf's law, with the shift of Mandelbrot (1953)."""
    return {phrase: 1 / (rank + 1) for rank, phrase in enumerate(joined.split("|"), start=1)}


def _forms(symbol: str, forms: tuple[str, str], joined: str) -> dict[str, Choices]:
    """Two symbols from words in two forms, "cat cats|dog dogs"; either form of a word has the same rank."""
    pairs = [words.split(" ") for words in joined.split("|")]
    return {f"{symbol}.{form}": _zipf("|".join(pair[i] for pair in pairs)) for i, form in enumerate(forms)}


def _both(forms: tuple[str, str], choices: Mapping[str, Choices]) -> dict[str, Choices]:
    """Two symbols from each, in which * is the one form or the other: that is how words agree."""
    return {
        f"{symbol}.{form}": {template.replace("*", form): weight for template, weight in templates.items()}
        for symbol, templates in choices.items()
        for form in forms
    }


NUMBER = ("one", "many")
GENDER = ("she", "he")
COUNTING = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def _sums() -> Choices:
    """All true ones in which no number is below one or above ten, each as frequent as the others."""
    numbers = range(1, 1 + len(COUNTING))
    plus = [(a, "plus", b, a + b) for a in numbers for b in numbers]
    minus = [(a, "minus", b, a - b) for a in numbers for b in numbers]
    return {
        f"{COUNTING[a - 1]} {sign} {COUNTING[b - 1]} is {COUNTING[result - 1]}": 1
        for a, sign, b, result in plus + minus
        if result in numbers
    }


_LINES: dict[str, Choices] = {
    "line": {
        "{clause}.\n": 30,
        "{clause}, {and} {clause}.\n": 12,
        "when {clause}, {clause}.\n": 6,
        "{story}.\n": 22,
        "{sum}.\n": 10,
        "{speaker} {says} {quote.1}.\n": 10,
        "{speaker} {has} {things.1}.\n": 8,
        "{proverb}.\n": 8,
    },
    "sum": _sums(),
    "proverb": {
        "once a {A:job}, always a {A}": 2,
        "a {A:job} without a {tool} is no {A}": 3,
        "better a {adjective} {A:job} than {few} {adjective} {A}s": 2,
        "no {cause}, no {effect}": 3,
    },
}

_CLAUSES: dict[str, Choices] = {
    "clause": {"{clause.one}": 6, "{clause.many}": 4},
    **_both(
        NUMBER,
        {
            "clause": {"{subject.*} {does.*}": 1},
            "subject": {
                "{plain.*}": 45,
                "{plain.*} of {object}": 15,
                "{plain.*} that {action.*}": 20,
                "{plain.*} that {object.one} {verb.one}": 12,
                "{plain.*} that {object.many} {verb.many}": 8,
            },
            "plain": {"{the.*} {noun.*}": 7, "{the.*} {adjective} {noun.*}": 3},
            "does": {"{rests.*}": 3, "{rests.*} {where}": 4, "{action.*}": 5, "{is.*} {adjective}": 4},
            "action": {"{verb.*} {object}": 1},
            "object": {"{the.*} {noun.*}": 1},
        },
    ),
    "object": {"{object.one}": 6, "{object.many}": 4},
    "the.one": {"the": 6, "every": 2, "this": 1},
    "the.many": {"the": 6, "many": 2, "these": 1},
    "is.one": {"is": 3, "was": 1},
    "is.many": {"are": 3, "were": 1},
    **_forms(
        "noun",
        NUMBER,
        "cat cats|dog dogs|child children|bird birds|fox foxes|horse horses|mouse mice|king kings|farmer farmers|"
        "wolf wolves|sailor sailors|goose geese|teacher teachers|woman women|bear bears|thief thieves|witch witches|"
        "man men",
    ),
    **_forms(
        "rests",
        NUMBER,
        "sleeps sleep|waits wait|sings sing|runs run|dances dance|lies lie|cries cry|hides hide|laughs laugh|"
        "stays stay",
    ),
    **_forms(
        "verb",
        NUMBER,
        "sees see|loves love|knows know|follows follow|fears fear|watches watch|helps help|finds find|calls call|"
        "misses miss|hears hear|chases chase",
    ),
}

_QUOTES_AND_BRACKETS: dict[str, Choices] = {
    "quote.1": {'"{said.1}"': 1},
    "quote.2": {"'{said.2}'": 1},
    "quote.3": {'"{clause}"': 1},
    "said.1": {"{clause}": 5, "{speaker} {says} {quote.2}": 3, "{speaker} {says} {quote.2}, {and} {clause}": 2},
    "said.2": {"{clause}": 6, "{speaker} {says} {quote.3}": 4},
    "things.1": {"{thing.1}": 3, "{thing.1} and {thing.1}": 4},
    "things.2": {"{thing.2}": 3, "{thing.2} and {thing.2}": 3},
    "things.3": {"{item}": 3, "{item} and {item}": 2},
    "thing.1": {"{item}": 3, "a bag ({things.2})": 3, "a box [{things.2}]": 2, "a sack <{things.2}>": 1},
    "thing.2": {"{item}": 5, "a bag ({things.3})": 3, "a box [{things.3}]": 2, "a sack <{things.3}>": 1},
}

_STORIES: dict[str, Choices] = {
    "story": {"{story.she}": 1, "{story.he}": 1},
    **_both(
        GENDER,
        {
            "story": {
                "{A:name.*} lost {possessive.*} {treasure} {where}, and {later} {helper} brought it back to {A}": 4,
                "there once was a {job} called {A:name.*}, and {nobody} was as {adjective} as {A}": 3,
                "{A:name.*} {asked} {helper} for {item}, and {later} {helper} gave it to {A}": 3,
                "{gift.*}": 5,
            }
        },
    ),
    "gift.she": {"{A:name.she} {gave} {B:name.he} {item} {where}, and {B} {thanked} {A}": 1},
    "gift.he": {"{A:name.he} {gave} {B:name.she} {item} {where}, and {B} {thanked} {A}": 1},
    "name.she": _zipf("Anna|Mary|Clara|Rosa|Julia|Helen"),
    "name.he": _zipf("Tom|Peter|Jack|David|Oscar|Felix"),
    "possessive.she": {"her": 1},
    "possessive.he": {"his": 1},
    "speaker": {"{name.she}": 1, "{name.he}": 1},
}

_WORDS: dict[str, Choices] = {
    "and": _zipf("and|but|so"),
    "says": _zipf("says|thinks|writes"),
    "has": _zipf("has|found|sold"),
    "gave": _zipf("gave|sent|promised"),
    "asked": _zipf("asked|begged"),
    "thanked": _zipf("thanked|kissed|never forgot"),
    "few": _zipf("two|three|five"),
    "nobody": _zipf("nobody|no king|no child in town"),
    "later": _zipf("the next day|in spring|a year later|at night"),
    "helper": _zipf("a fox|the king|a sailor|the river|a thief"),
    "where": _zipf(
        "in the garden|near the river|by the sea|under the bridge|at home|in the snow|behind the hill|on the road"
    ),
    "adjective": _zipf("small|happy|tired|young|hungry|wise|brave|grey|quiet|proud|lonely|clever"),
    "job": _zipf("sailor|farmer|king|teacher|baker|miller|doctor"),
    "tool": _zipf("boat|horse|book|lamp|knife|crown"),
    "treasure": _zipf("ring|hat|key|letter|watch|coat"),
    "item": _zipf("a ring|a key|some bread|a book|two coins|a lamp|an apple|three nuts|a letter|some salt"),
    "cause": _zipf("rain|work|fire|wind|seed"),
    "effect": _zipf("bread|smoke|song|summer|fruit"),
}

CHOICES: dict[str, Choices] = _LINES | _CLAUSES | _QUOTES_AND_BRACKETS | _STORIES | _WORDS
