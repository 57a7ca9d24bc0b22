"""The embedded language: one derivation a text, an entropy that is what it says, and lines that keep their promises."""

import hashlib
import math
import random
import re
from collections import Counter, defaultdict

import numpy as np
import pytest
import tensorflow_datasets as tfds

from rnn_jax.data.datasets import find_text_fields, open_dataset, open_split
from rnn_jax.data.known_features import require_known_features
from rnn_jax.data.synthetic.language_choices import CHOICES
from rnn_jax.data.synthetic.language_grammar import (
    entropy_of,
    line_entropy,
    mean_characters,
    mean_characters_of,
    write_line,
)
from rnn_jax.data.synthetic.prepare import prepare_synthetic

SPLITS = {"train": 11_300, "validation": 1_130, "test": 1_130}  # lines


@pytest.fixture(scope="module")
def splits():
    """Split → its text as it comes out of the prepared files."""
    return {split: open_split("synthetic_language", split)[0]["text"].decode() for split in SPLITS}


@pytest.fixture(scope="module")
def sample():
    rng = random.Random(11)
    return [write_line(rng) for _ in range(40_000)]


@pytest.fixture(scope="module")
def lines(sample):
    return [text for text, _ in sample]


def pieces(template):
    """Literals, and (kept as, symbol) of slots; the symbol is None where a kept text is repeated."""
    for piece in re.split(r"(\{.*?\})", template):
        if not piece.startswith("{"):
            yield piece
        elif piece[1:-1] in ("A", "B"):
            yield piece[1:-1], None
        else:
            yield piece[1:-1].partition(":")[::2] if ":" in piece else ("", piece[1:-1])


def language(symbol, choices):
    """Every derivation of a symbol: (text, probability)."""
    total = sum(choices[symbol].values())
    for template, weight in choices[symbol].items():
        found = [("", weight / total, {})]
        for piece in pieces(template):
            if isinstance(piece, str):
                found = [(text + piece, p, kept) for text, p, kept in found]
            elif piece[1] is None:
                found = [(text + kept[piece[0]], p, kept) for text, p, kept in found]
            else:
                words = list(language(piece[1], choices))
                found = [(t + word, p * q, kept | {piece[0]: word}) for t, p, kept in found for word, q in words]
        yield from ((text, p) for text, p, _ in found)


def derivations(text, symbol, start=0):
    """Every way to read a text from a place on as the symbol: (end, probability)."""
    total = sum(CHOICES[symbol].values())
    for template, weight in CHOICES[symbol].items():
        found = [(start, weight / total, {})]
        for piece in pieces(template):
            after = []
            for place, p, kept in found:
                if isinstance(piece, tuple) and piece[1]:
                    for end, q in derivations(text, piece[1], place):
                        after.append((end, p * q, kept | {piece[0]: text[place:end]}))
                else:
                    literal = piece if isinstance(piece, str) else kept[piece[0]]
                    if text.startswith(literal, place):
                        after.append((place + len(literal), p, kept))
            found = after
        yield from ((end, p) for end, p, _ in found)


def read_nats(line):
    """−log p of a line by reading it, which has to be possible in one way only."""
    (probability,) = [p for end, p in derivations(line, "line") if end == len(line)]
    return -math.log(probability)


def test_a_line_can_be_read_in_one_way_and_has_its_probability(sample):
    for text, nats in sample[:1000]:
        assert read_nats(text) == pytest.approx(nats, rel=1e-12), text


WORDS = {symbol for symbol, choices in CHOICES.items() if not any("{" in template for template in choices)}
TWO_WORDS = {
    symbol: dict(list(choices.items())[:2]) if symbol in WORDS else choices for symbol, choices in CHOICES.items()
}


@pytest.mark.parametrize(
    ("symbol", "others"),
    [
        ("clause", {}),
        ("things.2", {}),
        (
            "line",
            {
                "clause": {"the cat waits": 1, "many dogs that the cat fears sing": 2},
                "thing.2": {"a ring": 2, "two coins": 1},
            },
        ),
    ],
)
def test_all_texts_of_a_smaller_grammar_differ_and_their_probabilities_add_up_to_1(symbol, others):
    """With two words of each kind."""
    found = list(language(symbol, TWO_WORDS | others))
    assert len({text for text, _ in found}) == len(found) > 400
    assert math.fsum(p for _, p in found) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("symbol", ["sum", "proverb", "story.he", "does.many", "object", "things.3", "speaker"])
def test_entropy_and_mean_length_are_those_of_all_texts(symbol):
    """Parts of the language that are small enough to be listed as a whole."""
    found = list(language(symbol, CHOICES))
    assert len({text for text, _ in found}) == len(found)
    assert entropy_of(symbol) == pytest.approx(-math.fsum(p * math.log(p) for _, p in found), rel=1e-12)
    assert mean_characters_of(symbol) == pytest.approx(math.fsum(p * len(text) for text, p in found), rel=1e-12)


def test_entropy_and_mean_length_of_a_line_are_the_means_of_a_sample(sample):
    for expected, values in [
        (line_entropy(), [nats for _, nats in sample]),
        (mean_characters(), [len(text) for text, _ in sample]),
    ]:
        assert abs(np.mean(values) - expected) < 3 * np.std(values) / math.sqrt(len(values))
        assert np.std(values) < expected  # so that this is a test: 40,000 lines say the mean within 1.5 %


def test_every_template_can_be_used():
    used, found = {"line"}, ["line"]
    while found:
        for template in CHOICES[found.pop()]:
            slots = [piece for piece in pieces(template) if isinstance(piece, tuple)]
            kept = [name for name, symbol in slots if symbol and name]
            assert len(set(kept)) == len(kept) and {name for name, symbol in slots if symbol is None} == set(kept)
            new = {symbol for _, symbol in slots if symbol} - used
            used |= new
            found += new
    assert used == set(CHOICES)


def test_lines_are_plain_text(lines):
    for line in lines:
        assert re.fullmatch(r"[A-Za-z ,.\"'()<>\[\]]+\.\n", line), line
        assert "  " not in line


# Words as a reader knows them: not from the grammar.
REGULAR = ("cat", "dog", "bird", "horse", "king", "farmer", "sailor", "teacher", "bear")
IRREGULAR = ("child", "fox", "mouse", "wolf", "goose", "woman", "man", "thief", "witch")
PLURALS = {noun: f"{noun}s" for noun in REGULAR} | dict(
    zip(IRREGULAR, ("children", "foxes", "mice", "wolves", "geese", "women", "men", "thieves", "witches"))
)
RESTS = ("sleep", "wait", "sing", "run", "dance", "lie", "cry", "hide", "laugh", "stay")
ACTS = ("see", "love", "know", "follow", "fear", "watch", "help", "find", "call", "miss", "hear", "chase")
THIRD_PERSON = {"cry": "cries", "watch": "watches", "miss": "misses"}
KINDS = (
    dict.fromkeys(PLURALS, "n")
    | dict.fromkeys(PLURALS.values(), "N")
    | {THIRD_PERSON.get(verb, f"{verb}s"): "v" for verb in RESTS + ACTS}
    | dict.fromkeys(RESTS + ACTS, "V")
    | {"is": "v", "was": "v", "are": "V", "were": "V", "that": "t", "of": "o"}
)
AGREEING = re.compile(r"(n(o[nN]|tv[nN]|tnv|tNV)?v|N(o[nN]|tV[nN]|tnv|tNV)?V)[nN]?")


def clauses(line):
    """The clauses of a line, from quotations too; they begin with "the", "every", … and hold neither name nor mark."""
    for part in re.split(r"[\"',.\n]+|, ", line):
        part = re.sub(r"^ ?(when |and |but |so )?", "", part)
        if re.match(r"(the|this|every|these|many) ", part) and "there" not in part:
            yield part


def nouns_behind_articles(clause):
    words = clause.split()
    for i, word in enumerate(words):
        if word in ("this", "every", "these", "many"):
            yield word, next(KINDS[other] for other in words[i + 1 :] if KINDS.get(other) in ("n", "N"))


def test_verbs_and_articles_agree_with_their_nouns(lines):
    kinds = Counter()
    for line in lines:
        if re.match(r"(\w+ (lost|asked|begged|gave|sent|promised)|there once|once a|better|no) ", line):
            continue
        for clause in clauses(line):
            phrase = re.sub(r" (in|near|by|under|at|behind|on) (the )?\w+$", "", clause)
            kind = "".join(KINDS.get(word, "") for word in phrase.split())
            assert AGREEING.fullmatch(kind), clause
            kinds[kind] += 1
            for article, kind_of_noun in nouns_behind_articles(clause):
                assert (kind_of_noun == "n") == (article in ("this", "every")), clause
    assert kinds.total() > 25_000
    # The noun next to the verb has the other number: counting back a word or two does not tell.
    assert min(kinds[kind] for kind in ("nv", "NV", "noNv", "NonV", "ntvNv", "NtVnV", "ntNVv", "NtnvV")) > 100


CLOSES = {"(": ")", "[": "]", "<": ">"}


def test_quotes_and_brackets_are_closed_in_order(lines):
    deepest = Counter()
    for line in lines:
        stack, deep = [], 0
        for before, mark in zip(" " + line, line):
            if mark in CLOSES or (mark in "\"'" and before == " "):
                stack.append(CLOSES.get(mark, mark))
                deep = max(deep, len(stack))
            elif mark in ")]>\"'":
                assert stack.pop() == mark, line
        assert not stack, line
        deepest["quotes" if '"' in line else "brackets", deep] += 1
        assert not ('"' in line and re.search(r"[(\[<]", line))
    assert {deep for _, deep in deepest} == {0, 1, 2, 3}
    assert min(count for (_, deep), count in deepest.items() if deep) > 300


NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def test_sums_are_right(lines):
    seen = Counter()
    for line in lines:
        if match := re.fullmatch(r"(\w+) (plus|minus) (\w+) is (\w+)\.\n", line):
            a, b, c = (1 + NUMBERS.index(match[i]) for i in (1, 3, 4))
            assert c == (a + b if match[2] == "plus" else a - b), line
            seen[match[0]] += 1
        else:
            assert "plus" not in line and "minus" not in line
    assert len(seen) == 90 and max(seen.values()) < 3 * min(seen.values())


WOMEN = ("Anna", "Mary", "Clara", "Rosa", "Julia", "Helen")
MEN = ("Tom", "Peter", "Jack", "David", "Oscar", "Felix")
STORIES = (
    r"(?P<A>\w+) lost (?P<whose>her|his) \w+ [a-z ]+, and [a-z ]+ brought it back to (?P<A2>\w+)",
    r"there once was a \w+ called (?P<A>\w+), and [a-z ]+ was as \w+ as (?P<A2>\w+)",
    r"(?P<A>\w+) (asked|begged) [a-z ]+, and [a-z ]+ gave it to (?P<A2>\w+)",
    r"(?P<A>\w+) (gave|sent|promised) (?P<B>\w+) [a-z ]+, and (?P<B2>\w+) (thanked|kissed|never forgot) (?P<A2>\w+)",
    r"once a (?P<A>\w+), always a (?P<A2>\w+)",
    r"a (?P<A>\w+) without a \w+ is no (?P<A2>\w+)",
    r"better a \w+ (?P<A>\w+) than (two|three|five) \w+ (?P<A2>\w+)s",
)


def test_what_is_to_be_copied_is(lines):
    counts, names = Counter(), Counter()
    for line in lines:
        matches = [match for story in STORIES if (match := re.fullmatch(story + r"\.\n", line))]
        if re.match(r"(?![A-Z]\w+ (says|thinks|writes|has|found|sold) ).*[A-Z]|once|a |better", line):
            (match,) = matches
            found = match.groupdict()
            assert found["A"] == found["A2"] and found.get("B") == found.get("B2"), line
            assert found.get("whose") in (None, "her" if found["A"] in WOMEN else "his"), line
            assert found.get("B") is None or (found["A"] in WOMEN) != (found["B"] in WOMEN)
            counts[match.re.pattern] += 1
        else:
            assert not matches
        names.update(re.findall(r"[A-Z]\w+", line))
    assert len(counts) == len(STORIES) and min(counts.values()) > 400
    assert set(names) == {*WOMEN, *MEN}
    assert names["Anna"] > 2 * names["Helen"]  # words are not equally frequent: 1 / 2 to 1 / 7


def test_shape_of_the_data(splits):
    assert {split: text.count("\n") for split, text in splits.items()} == SPLITS
    for split, text in splits.items():
        assert abs(len(text) / SPLITS[split] - mean_characters()) < 3  # 53
        assert text.endswith(".\n") and len(open_split("synthetic_language", split)) == 1
    assert 590_000 < len(splits["train"]) < 620_000
    words = {split: set(re.findall(r"\w+|[^\w\s]", text)) for split, text in splits.items()}
    assert 200 < len(words["train"]) < 300
    assert words["validation"] | words["test"] <= words["train"]  # nothing is unknown
    assert set(splits["train"]) >= set(splits["validation"] + splits["test"])
    assert find_text_fields(open_dataset("synthetic_language").info.features) == ["text"]


def test_words_and_marks_have_the_floor_of_the_characters(lines):
    """Texts that differ do so in their words and marks too: dropping the spaces loses nothing."""
    texts = set(lines)
    assert len({tuple(re.findall(r"\w+|[^\w ]", text)) for text in texts}) == len(texts) > 20_000


def test_the_prepared_folder_knows_its_floor(splits):
    folder = prepare_synthetic("synthetic_language")
    require_known_features(folder)
    nats = tfds.builder_from_directory(folder).info.metadata["nats"]
    assert nats == open_dataset("synthetic_language").info.metadata["nats"]
    assert set(nats) == set(SPLITS)
    read = math.fsum(read_nats(line) for line in splits["test"].splitlines(keepends=True))
    assert nats["test"] == pytest.approx(read, rel=1e-12)
    rng = random.Random(0)
    for split, count in SPLITS.items():
        written = [write_line(rng) for _ in range(count)]
        assert splits[split] == "".join(text for text, _ in written)
        assert nats[split] == pytest.approx(sum(more for _, more in written), rel=1e-12)


def cross_entropy(order, train, test):
    """Nats a character of an interpolated n-gram model (Witten & Bell 1991)."""
    counts = defaultdict(Counter)
    for size in range(order):
        for i in range(size, len(train)):
            counts[train[i - size : i]][train[i]] += 1
    sums = {history: (followers.total(), len(followers)) for history, followers in counts.items()}
    total = 0.0
    for i, character in enumerate(test):
        p = 1 / len(counts[""])
        for history in [test[i - size : i] for size in range(min(order, i + 1))]:
            if history in sums:
                seen, kinds = sums[history]
                p = (counts[history][character] + kinds * p) / (seen + kinds)
        total -= math.log(p)
    return total / len(test)


def test_counting_characters_is_not_enough(splits):
    floor = line_entropy() / mean_characters()
    train, test = splits["train"][:200_000], splits["test"][:20_000]
    assert cross_entropy(3, train, test) > 3 * floor  # found: 1.25 against 0.34
    assert cross_entropy(6, train, test) > 1.4 * floor  # 0.6; 0.57 with all of the training text


def test_the_texts_belong_to_their_version(splits):
    # A cache folder is found by the builder's VERSION: texts that change need a new one, and a new digest here.
    text = "".join(splits[split] for split in SPLITS)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "5db06f9361f26f88"


def test_the_lines_are_a_function_of_the_seed():
    def write(seed):
        rng = random.Random(seed)
        return [write_line(rng) for _ in range(50)]

    assert write(3) == write(3) != write(4)
