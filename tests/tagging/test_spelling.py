"""How labels spell spans, by hand: schemes, the letters of others, and labels among tags that are none."""

import pytest

from rnn_jax.tagging.spelling import Spelling, find_spelling, meant, spelt_otherwise


def sentences(text):
    return [sentence.split() for sentence in text.split("/")]


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("bio", "B-X I-X O / B-X B-X"),
        ("bio", "O / B-X"),
        ("bio", "B-X I-X I-Y B-Y"),  # damaged: I-Y begins a span, and so does B-X
        ("bio", "I-X O B-X"),
        ("bio", "I-X / B-X"),  # a sentence's end lies between
        ("bio", "I-X B-Y"),
        ("iob1", "I-X I-X O / I-X B-X"),
        ("iob1", "O I-X"),
        ("iob1", "I-X I-Y B-Y B-Y"),
        ("iob1", "I-X O I-Y O B-X"),  # one slip does not make it another scheme
        ("bioes", "B-X E-X"),
        ("bioes", "O S-A-B"),
        ("bioes", "I-X E-X / B-X"),
        ("bio", "B I O / O B"),
        ("iob1", "I I O"),
        ("bioes", "B E S"),
        ("", ""),
        ("", "O O / O"),
        ("", "DT NN -LRB- ,"),
        ("", "I S / S"),  # letters are much else than tags
        ("", "S O O"),
        ("", "A B C I D O"),
        ("", "B-X NN DT"),
    ],
)
def test_schemes(scheme, tags):
    assert find_spelling(sentences(tags)) == Spelling(scheme)


@pytest.mark.parametrize(
    ("tags", "letters", "name", "canonical"),
    [
        ("B-X I-X L-X O / U-Y", "BILU", "BILOU", "B-X I-X E-X O S-Y"),
        ("B-X L-X U-X", "BILU", "BILOU", "B-X E-X S-X"),
        ("B-X M-X E-X S-Y O", "BMES", "BMES", "B-X I-X E-X S-Y O"),
        ("B-X M-X E-X W-Y O", "BMEW", "BMEWO", "B-X I-X E-X S-Y O"),
        ("B M E S S", "BMES", "BMES", "B I E S S"),  # the words of Chinese
        ("B-X E-X O S-X", "BIES", "bioes", "B-X E-X O S-X"),
    ],
)
def test_letters_of_others(tags, letters, name, canonical):
    spelling = find_spelling(sentences(tags))
    assert (spelling.scheme, spelling.letters, spelling.name) == ("bioes", letters, name)
    assert [spelling.canonical(label) for label in tags.replace("/", "").split()] == canonical.split()


MANY = " / ".join(["B-PER I-PER O O O"] * 30)


@pytest.mark.parametrize("odd", ["B_PER", "label", "o", "PER-B", "B", "B-", "I-", "E-PER", "S-PER", "L-PER", "U-PER"])
def test_one_odd_label_among_many_tags(odd):
    assert find_spelling(sentences(f"{MANY} / {odd}")) == Spelling("bio", odd=frozenset([odd]))


def test_odd_labels_in_other_schemes():
    bilou = MANY.replace("I-PER", "L-PER")
    assert find_spelling(sentences(f"{bilou} / E-PER")) == Spelling("bioes", "BILU", frozenset(["E-PER"]))
    untyped = MANY.replace("-PER", "")
    assert find_spelling(sentences(f"{untyped} / X")) == Spelling("bio", odd=frozenset("X"))  # one of 151 words
    assert find_spelling(sentences(f"{untyped} / X X X")) == Spelling("")
    many_others = f"{MANY} / " + "X " * 100  # more words than tags have; but one name beside two
    assert find_spelling(sentences(many_others)) == Spelling("bio", odd=frozenset("X"))
    assert find_spelling(sentences("B-X I-X O / NN DT"), "bio") == Spelling("bio", odd=frozenset(["NN", "DT"]))
    assert find_spelling(sentences("B-X I-X O / S-X"), "bio") == Spelling("bio", odd=frozenset(["S-X"]))
    assert find_spelling(sentences("B-X I-X"), "bioes") == Spelling("bioes")


@pytest.mark.parametrize(
    ("label", "tag"),
    [
        *(("B_PER", "B-PER"), ("b-PER", "B-PER"), ("PER-B", "B-PER"), ("i:x-y", "I-x-y"), ("b", "B")),
        *(("o", "O"), ("0", "O"), ("O", ""), ("B-PER", ""), ("E-PER", ""), ("B", ""), ("label", ""), ("NN", "")),
    ],
)
def test_what_was_meant(label, tag):
    assert meant(label) == tag


def test_labels_that_are_spelt_otherwise_throughout():
    assert spelt_otherwise(sentences("B_PER I_PER O / B_LOC B_PER")) == "B_PER"
    assert spelt_otherwise(sentences("b-per i-per o")) in ("b-per", "i-per")
    assert spelt_otherwise(sentences("PER-B PER-I O")) in ("PER-B", "PER-I")
    assert spelt_otherwise(sentences("B_PER I_PER O / B-PER I-PER B_PER")) == "B_PER"  # one half of them
    assert not spelt_otherwise(sentences("B-PER I-PER O"))
    assert not spelt_otherwise(sentences("b-per i-per o nn"))
    assert not spelt_otherwise(sentences("NN DT O"))
    assert not spelt_otherwise(sentences("NN-S VB-I O"))  # nothing that begins
    assert not spelt_otherwise([])
