"""The embedded tags: neither a word nor one side of its context is enough, both are, and training lacks some names."""

import hashlib
import re
from collections import Counter, defaultdict

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from rnn_jax.data.datasets import open_split, read_examples
from rnn_jax.data.synthetic.tag_grammar import CUES, HELD_OUT_NAMES, OWN_NAMES, SHARED_NAMES, TAGS, unique_sentences

SIZES = {"train": 12_000, "validation": 1_000, "test": 1_000}
HELD_OUT = {name for names in HELD_OUT_NAMES.values() for name in names}
NAMES = {*SHARED_NAMES, *HELD_OUT, *(name for names in OWN_NAMES.values() for name in names)}


@pytest.fixture(scope="module")
def splits():
    """Split → [(tokens, tags)] as they come out of the prepared files."""
    splits = {}
    for split in SIZES:
        source = open_split("synthetic_tags", split)
        names = source.dataset_info.features["tags"].feature.names
        splits[split] = [
            (tuple(token.decode() for token in example["tokens"]), tuple(names[tag] for tag in example["tags"]))
            for example in read_examples(source)
        ]
    return splits


@pytest.fixture(scope="module")
def sentences(splits):
    return [row for rows in splits.values() for row in rows]


def words(rows):
    return Counter(token for tokens, _ in rows for token in tokens)


def test_shape_of_the_data(splits):
    assert {split: len(rows) for split, rows in splits.items()} == SIZES
    for rows in splits.values():
        lengths = [len(tokens) for tokens, _ in rows]
        assert lengths == [len(tags) for _, tags in rows]
        assert min(lengths) >= 8
        assert np.quantile(lengths, 0.95) <= 30
        assert max(lengths) <= 45
        counts = Counter(tag for _, tags in rows for tag in tags)
        assert set(counts) == set(TAGS)
        assert 0.6 < counts["O"] / counts.total() < 0.7
        assert min(counts.values()) / counts.total() > 0.04
    assert 250 < len(words(splits["train"])) < 600
    assert min(words(splits["train"]).values()) >= 20


def test_no_sentence_is_in_two_splits(splits):
    everything = [tokens for rows in splits.values() for tokens, _ in rows]
    assert len(set(everything)) == len(everything) == sum(SIZES.values())


def test_tags_are_legal(splits):
    for rows in splits.values():
        for tokens, tags in rows:
            for before, tag in zip(("O", *tags), tags):
                assert tag[0] != "I" or before[1:] == tag[1:], tokens


def test_training_lacks_some_names(splits):
    known = words(splits["train"])
    assert not HELD_OUT & set(known)
    for split in ("validation", "test"):
        counts = words(splits[split])
        assert set(counts) - set(known) == HELD_OUT
        assert 0.02 < sum(counts[name] for name in HELD_OUT) / counts.total() < 0.04


def test_the_words_around_the_names_decide(sentences):
    """Two sentences that differ in nothing but the names have the same tags: there is no noise."""
    tags_of = {}
    for tokens, tags in sentences:
        frame = tuple("-" if token in NAMES else token for token in tokens)
        assert tags_of.setdefault(frame, tags) == tags, tokens
    assert len(sentences) - len(tags_of) > 300  # were compared


def test_names_of_one_type_alone_have_it(sentences):
    for tokens, tags in sentences:
        for token, tag in zip(tokens, tags):
            if token in NAMES and token not in SHARED_NAMES:
                assert tag[2:] == {"son": "PER", "lle": "LOC", "orp": "ORG"}[token[-3:]]


def spans_of(tokens, tags):
    """The spans in their order, each with its type: "Lincoln Morgan" → PER."""
    spans = []
    for token, tag in zip(tokens, tags):
        if tag[0] == "B":
            spans.append((token, tag[2:]))
        elif tag[0] == "I":
            spans[-1] = (f"{spans[-1][0]} {token}", spans[-1][1])
    return spans


def any_of(kind, cue):
    return f"(?:{'|'.join(CUES[kind][cue])})"


PERSON, PLACE, COMPANY = (any_of(kind, "role") for kind in ("PER", "LOC", "ORG"))
PERSON_DID, PLACE_DID, COMPANY_DID = (any_of(kind, "did") for kind in ("PER", "LOC", "ORG"))


@pytest.mark.parametrize(
    ("pattern", "types"),
    [
        (rf"(\w+) , [^,]* , {PERSON_DID} \.", ["PER"]),
        (rf"(\w+ \w+) , [^,]* , {PLACE_DID} \.", ["LOC"]),
        (rf"It was (\w+ \w+ \w+) , .* , that {COMPANY_DID} \.", ["ORG"]),
        (rf"(\w+) and (\w+(?: \w+)*) , .* : the former {PERSON_DID} , the latter {PLACE_DID} \.", ["PER", "LOC"]),
        (rf"(\w+) and (\w+ \w+) , .* , were {COMPANY} and {PERSON} \.", ["ORG", "PER"]),
        (rf".* took (\w+) , [^,]* , for {PERSON} , but it was {PLACE} \.", ["LOC"]),
        (rf".* took (\w+) , [^,]* , for {PLACE} , but it was {PERSON} \.", ["PER"]),
        (rf"As {PLACE} , .* chose (\w+) \.", ["LOC"]),
        (rf"What {PERSON_DID} , .* , was (\w+) , not (\w+ \w+) \.", ["PER", "PER"]),
        (rf"Not {COMPANY} but {PLACE} , .* , was called (\w+) \.", ["LOC"]),
        (rf"It was not {COMPANY} : (\w+) , .* , was not {PERSON} either \.", ["LOC"]),
        (rf"It was not {PLACE} : (\w+) , .* , was not {PERSON} either \.", ["ORG"]),
        (rf"In (\w+) (\w+) , .* , {PERSON_DID} \.", ["LOC", "PER"]),
        (r"In (\w+ \w+) , .* , (?:nobody slept|the weather changed|people danced) \.", ["LOC"]),
        (r"(\w+) and (\w+) , .* , were the names of two banks \.", ["ORG", "ORG"]),
        (rf"(\w+ and \w+) , .* , was the name of {PLACE} \.", ["LOC"]),
        (r"One of the towns was called , .* , (\w+ and \w+) \.", ["LOC"]),
    ],
)
def test_tags_as_a_reader_understands_them(pattern, types, sentences):
    matches = 0
    for tokens, tags in sentences:
        if match := re.fullmatch(pattern, " ".join(tokens), re.IGNORECASE):
            matches += 1
            type_of = dict(spans_of(tokens, tags))  # no name occurs twice in a sentence
            assert [type_of.get(span) for span in match.groups()] == types, match[0]
    assert matches >= 5


def labels_of(rows):
    return np.array([TAGS.index(tag) for _, tags in rows for tag in tags])


def test_a_lookup_is_not_enough(splits):
    counts = defaultdict(Counter)
    for tokens, tags in splits["train"]:
        for token, tag in zip(tokens, tags):
            counts[token][tag] += 1
    tag_of = {token: tags.most_common(1)[0][0] for token, tags in counts.items()}
    right = [tag_of.get(token, "O") == tag for row in splits["test"] for token, tag in zip(*row)]
    assert 0.67 < np.mean(right) < 0.80  # asked for: below 0.80; found: 0.73
    ambiguous = [name for name in SHARED_NAMES if len(counts[name]) == len(TAGS) - 1]
    assert len(ambiguous) == len(SHARED_NAMES)  # each of them begins and continues spans of every type


def one_hot(rows, id_of, before, after, bag=None):
    """(N, F): each word, the words next to it by their place, and all words on one side as a bag."""
    width = len(id_of) + 2
    places, columns, count = [], [], 0
    for tokens, _ in rows:
        ids = [id_of.get(token, 1) for token in tokens]
        padded = [0] * before + ids + [0] * after
        for i in range(len(ids)):
            here = [k * width + padded[i + k] for k in range(before + 1 + after)]
            side = {"left": ids[:i], "right": ids[i + 1 :], None: []}[bag]
            here += [(before + 1 + after) * width + j for j in sorted(set(side))]
            places += [count] * len(here)
            columns += here
            count += 1
    return csr_matrix((np.ones(len(places)), (places, columns)), shape=(count, (before + after + 2) * width))


@pytest.mark.parametrize(
    ("before", "after", "bag", "most"),
    [
        (3, 0, "left", 0.92),  # asked for: below 0.95; found: 0.88, and 0.89 with all training sentences
        (0, 3, "right", 0.90),  # 0.81, 0.82
        (2, 2, None, 0.90),  # asked for: below 0.92; found: 0.85, 0.86
    ],
)
def test_one_side_of_the_context_is_not_enough(splits, before, after, bag, most):
    train, test = splits["train"][:2000], splits["test"]
    id_of = {token: index for index, token in enumerate(sorted(words(train)), start=2)}
    model = LogisticRegression(max_iter=500, tol=1e-3)
    with threadpool_limits(1):  # more threads wait for each other on a busy machine
        model.fit(one_hot(train, id_of, before, after, bag), labels_of(train))
    assert 0.75 < model.score(one_hot(test, id_of, before, after, bag), labels_of(test)) < most


def test_the_sentences_belong_to_their_version(splits):
    # A cache folder is found by the builder's VERSION: sentences that change need a new one, and a new digest here.
    text = repr({split: sorted(rows) for split, rows in splits.items()})  # TFDS shuffles
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "d3807ca7c2a2f797"


def test_the_sentences_are_a_function_of_the_seed():
    sizes = {"train": 50, "test": 20}
    assert unique_sentences(sizes, seed=3) == unique_sentences(sizes, seed=3) != unique_sentences(sizes, seed=4)
    assert unique_sentences({"train": 70}, seed=3)["train"][:50] == unique_sentences(sizes, seed=3)["train"]
