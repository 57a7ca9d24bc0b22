"""The embedded tags: neither a word nor one side of its context is enough, both are, and training lacks some names."""

import hashlib
import re
from collections import Counter, defaultdict

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from rnn_jax.data.source import open_split, read_examples
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
def sentences():
    """Sentences by another seed, with names of all kinds."""
    return unique_sentences({"test": 40_000}, seed=11)["test"]


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


def test_the_files_hold_the_sentences_of_the_grammar(splits):
    assert unique_sentences(SIZES, seed=0) == splits


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
    """No two sentences that differ in their names alone have different tags, so there is no noise."""
    tags_of = {}
    for tokens, tags in sentences:
        frame = tuple("-" if token in NAMES else token for token in tokens)
        assert tags_of.setdefault(frame, tags) == tags, tokens
    assert len(tags_of) < 0.9 * len(sentences)  # many were compared


def test_names_of_one_type_alone_have_it(sentences):
    for tokens, tags in sentences:
        for token, tag in zip(tokens, tags):
            if token in NAMES and token not in SHARED_NAMES:
                assert tag[2:] == {"son": "PER", "lle": "LOC", "orp": "ORG"}[token[-3:]]


def span(tokens, tags):
    """The types of the spans with their words."""
    found = []
    for token, tag in zip(tokens, tags):
        if tag[0] == "B":
            found.append((tag[2:], token))
        elif tag[0] == "I":
            found[-1] = (tag[2:], f"{found[-1][1]} {token}")
    return found


@pytest.mark.parametrize(
    ("pattern", "types"),
    [
        (r"(\w+), so the story goes, resigned", ["PER"]),
        (r"(\w+ \w+), after a long winter, sank into the sea", ["LOC"]),
        (r"(\w+ \w+ \w+), to the surprise of many, went bankrupt", ["ORG"]),
        (r"It was (\w+), .*, that paid a fine", ["ORG"]),
        (r"(\w+) and (\w+), so the story goes: the former fell ill, the latter merged", ["PER", "ORG"]),
        (r"The (?:jury|most) \w+ (\w+), so the story goes, for a \w+, but it was an island", ["LOC"]),
        (r"Of a general and a town, (\w+), so the story goes, was the former", ["PER"]),
        (r"Of a general and a town, (\w+), so the story goes, was the latter", ["LOC"]),
        (r"What merged, after a long winter, was (\w+), not (\w+)", ["ORG", "ORG"]),
        (r"A bank and a nurse, after a long winter, were called (\w+) and (\w+)", ["ORG", "PER"]),
        (r"In (\w+) (\w+), so the story goes, resigned", ["LOC", "PER"]),
        (r"In (\w+ \w+), so the story goes, nobody slept", ["LOC"]),
        (r"(\w+) and (\w+), so the story goes, were the names of two banks", ["ORG", "ORG"]),
        (r"(\w+ and \w+), so the story goes, was the name of a bank", ["ORG"]),
    ],
)
def test_tags_as_a_reader_understands_them(pattern, types, sentences):
    pass
