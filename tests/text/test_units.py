"""Units: texts come back from their ids, ids are those of counts by hand, and a long text is cut where nobody sees."""

import json
import os
import random
import re
import subprocess
import sys
import unicodedata
from collections import Counter

import numpy as np
import pytest

from rnn_jax.data import kept
from rnn_jax.errors import UserError
from rnn_jax.text import units
from rnn_jax.text.units import (
    END_ID,
    PAD_ID,
    UNITS,
    UNKNOWN_ID,
    decode_units,
    encode_units,
    fit_units,
    looks_tokenized,
    unit_names,
)
from rnn_jax.text.vocabulary import encode

NASTY = [
    "👩‍👩‍👧‍👦 👍🏽 🇩🇪",
    "e\u0301a\u0308 \u0301x q\u0323\u0307 \u1100\u1161\u11a8",
    "a\r\nb\r\n",
    "\x00\x01 a\x1cb",
    "\t\ttabs\t",
    "a\u00a0b\u2028c\x85d\u3000e\u200be",
    "שָׁלוֹם עולם مرحبا",
    "今天天气很好，我们去公园。",
    "",
    "   ",
    "\n\n\n",
    " \n a  b \n",
    "ŉ ﬁ İ ΑΣ Σ \u212b ½",
    "[END] [PAD] <unk> x[END]y [UNK] [no text] [end of text]",
    "<br />x<br  >y ’s don’t it's",
    "Ġ Ċ ▁ ## </w>",
]
# (kind, whether words stand between spaces)
KINDS = [("char", False), ("word", False), ("word", True), ("bpe", False), ("byte", False)]


def nfc(text):
    return unicodedata.normalize("NFC", text)


def fit(texts, kind="char", pretokenized=False, **options):
    options.setdefault("vocabulary_size", 300 if kind == "bpe" else 0)
    return fit_units(texts, kind=kind, pretokenized=pretokenized, **options)


def ids_of(tokenizer, text):
    return encode_units(tokenizer, [text]).values.tolist()


def vocabulary_of(tokenizer):
    """The units behind the special ones, in the order of their ids, which are 0, 1, …"""
    vocabulary = tokenizer.get_vocab()
    assert sorted(vocabulary.values()) == list(range(len(vocabulary))) and tokenizer.get_vocab_size() == len(vocabulary)
    return sorted(vocabulary, key=vocabulary.__getitem__)[3:]


def by_frequency(counts):
    return sorted(counts, key=lambda unit: (-counts[unit], unit))


@pytest.mark.parametrize("kind", ["char", "bpe", "byte"])
@pytest.mark.parametrize("size", [1, 50_000])
def test_texts_come_back(kind, size, monkeypatch):
    tokenizer = fit(NASTY, kind)
    monkeypatch.setattr(units, "_PIECE", size)
    for text in NASTY:
        ids = ids_of(tokenizer, text)
        assert decode_units(tokenizer, ids) == nfc(text)
        assert not {PAD_ID, UNKNOWN_ID, END_ID} & set(ids)
        assert kind != "char" or len(ids) == len(nfc(text))
        assert kind != "byte" or len(ids) == len(nfc(text).encode())


@pytest.mark.parametrize("kind", ["bpe", "byte"])
def test_bytes_know_what_training_does_not_have(kind):
    tokenizer = fit(["abc"], kind)
    for text in NASTY:
        assert decode_units(tokenizer, ids_of(tokenizer, text)) == nfc(text)


@pytest.mark.parametrize("pretokenized", [False, True])
def test_words_come_back_but_for_the_spaces(pretokenized):
    tokenizer = fit(NASTY, "word", pretokenized)
    for text in NASTY:
        expected = nfc(text) if pretokenized else re.sub(r"<br\s*/?>", "", nfc(text).replace("’", "'"))
        if not pretokenized or "[END]" not in text:  # where "<unk>" is the unknown word
            found = decode_units(tokenizer, ids_of(tokenizer, text))
            assert re.sub(r"[^\S\n\x1c]", "", found) == re.sub(r"[^\S\n\x1c]", "", expected)


@pytest.mark.parametrize(
    ("text", "pretokenized", "words"),
    [
        ("Don't go, it isn't\ngood!", False, ["Don't", "go", ",", "it", "isn't", "\n", "good", "!"]),
        ("a<br />b\n\n’s", False, ["a", "b", "\n", "\n", "'s"]),
        (" \n = It 's\tn't \n u.s. <unk> \n", True, ["\n", "=", "It", "'s", "n't", "\n", "u.s.", "<unk>", "\n"]),
        ("(a) b,c\r\nd", True, ["(a)", "b,c", "\n", "d"]),
    ],
)  # fmt: skip
def test_words_by_hand(text, pretokenized, words):
    tokenizer = fit([text], "word", pretokenized)
    assert unit_names(tokenizer, ids_of(tokenizer, text)) == words


PIECES = [
    "",
    "\n" * 40,
    " " * 40,
    "a" * 90,
    "今天天气很好" * 12,
    "the dog  barks.\n\n\nIt's   a\tdog's life\n" * 3 + "   end   ",
    "\n \n  \n   x \n y\n" * 5,
    "x" * 30 + " " * 30 + "it's" * 10 + "\n" + "!?" * 20 + " !?",
    "one<br />two<br\n>three <BR  /> four<br / > five" * 2,
    "e\u0301\u0323" * 20 + " \u0301" * 20 + "\n\u0301",
    "a\u00a0b\u2003 c\u3000\u2028d\x85e \x1cf\x1c g!\x1c! \r\n\r\nh" * 3,
    "ΑΣ ΟΔΟΣ\nİI ΑΣΣ" * 5,
    "I'll don't we're 'twas '' ' s's\n's 'S 'd" * 3,
    "<unk> <un k> [END]\n[PAD] [end of text] x" * 3,
    "1234 56,789.0 1\u00bd 👩‍👩‍👧‍👦👍🏽 🇩🇪🇩🇪 " * 4,
]


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize(("kind", "pretokenized"), KINDS)
def test_pieces_of_a_text_are_encoded_as_the_whole(kind, pretokenized, lowercase, monkeypatch):
    options = {"kind": kind, "pretokenized": pretokenized, "lowercase": lowercase, "vocabulary_size": 400}
    whole = fit(PIECES, **options)
    expected = [whole.encode(nfc(text), add_special_tokens=False).ids for text in PIECES]
    for size in (1, 2, 3, 7, 20):
        monkeypatch.setattr(units, "_PIECE", size)
        found = encode_units(whole, PIECES)
        for row, text in enumerate(PIECES):
            assert found.row(row).tolist() == expected[row], text
        assert fit(PIECES, **options).to_str() == whole.to_str()  # and counted as in the whole


@pytest.mark.parametrize(("kind", "most"), [("char", 100), ("byte", 100), ("word", 130), ("bpe", 130)])
def test_no_more_than_a_piece_is_encoded_at_once(kind, most, monkeypatch):
    monkeypatch.setattr(units, "_PIECE", 100)
    sizes = []

    def measured(tokenizer, pieces):
        sizes.extend(map(len, pieces))
        return encode(tokenizer, pieces)

    monkeypatch.setattr(units, "encode", measured)
    text = "some words of a text\n" * 100 + ("x" * 1000 if kind in ("char", "byte") else "")
    encode_units(fit([text], kind), [text, text])
    assert sum(sizes) == 2 * len(text) and max(sizes) <= most


def test_characters_against_a_count_in_python():
    rng = random.Random(0)
    text = "".join(rng.choices("abcdefg \né🙂", weights=[9, 8, 7, 6, 5, 4, 3, 2, 1, 1, 1], k=300)) + "zyx"
    counts = Counter(text)
    assert vocabulary_of(fit([text])) == by_frequency(counts)
    assert vocabulary_of(fit([text], min_count=2)) == [unit for unit in by_frequency(counts) if counts[unit] > 1]
    kept = by_frequency(counts)[:4]
    tokenizer = fit([text], vocabulary_size=7)
    assert vocabulary_of(tokenizer) == kept
    assert ids_of(tokenizer, text) == [3 + kept.index(c) if c in kept else UNKNOWN_ID for c in text]


def test_words_against_a_count_in_python():
    rng = np.random.default_rng(0)
    lines = [" ".join(f"w{i}" for i in rng.zipf(1.3, 12) if i < 300) for _ in range(300)]
    text = "".join(f" {line} \n" for line in lines)
    counts = Counter(text.replace("\n", " ↵ ").split())
    counts["\n"] = counts.pop("↵")
    for options, expected in (
        ({}, by_frequency(counts)),
        ({"min_count": 3}, [word for word in by_frequency(counts) if counts[word] > 2]),
        ({"vocabulary_size": 50}, by_frequency(counts)[:47]),
        ({"vocabulary_size": 50, "min_count": 400}, [word for word in by_frequency(counts) if counts[word] > 399]),
        ({"vocabulary_size": 10_000}, by_frequency(counts)),
    ):
        assert vocabulary_of(fit([text], "word", True, **options)) == expected


def test_an_unknown_word_of_the_text_has_one_id_and_costs_none():
    text = "a <unk> <unk> <unk> b a c <unk> \n"
    tokenizer = fit([text], "word", True)
    assert vocabulary_of(tokenizer) == ["a", "\n", "b", "c"]
    assert ids_of(tokenizer, "<unk> a [END] [PAD] <unk>x") == [1, 3, 1, 1, 1]
    assert vocabulary_of(fit([text], "word", True, vocabulary_size=6)) == ["a", "\n", "b"]
    assert ids_of(fit([text.upper()], "word", True, lowercase=True), "<UNK>") == [UNKNOWN_ID]
    assert vocabulary_of(fit([text], "word")) == ["<", ">", "unk", "a", "\n", "b", "c"]  # in raw text


def test_subwords_are_sorted_by_how_often_they_occur():
    text = "the cat sat on the mat, the rat sat on the hat.\n" * 5 + "banana bandana 🙂"
    tokenizer = fit([text, "the end"], "bpe", vocabulary_size=275)
    vocabulary = vocabulary_of(tokenizer)
    assert len(vocabulary) == 272
    counts = Counter(tokenizer.encode(text).tokens + tokenizer.encode("the end").tokens)
    assert vocabulary == sorted(vocabulary, key=lambda unit: (-counts[unit], unit))
    assert vocabulary[0] == "Ġthe" and counts["Ġthe"] == 15
    assert len(vocabulary_of(fit([text], "bpe", vocabulary_size=5000))) < 400  # an upper limit


def test_the_default_of_subwords_is_8000():
    rng = random.Random(0)
    text = " ".join("".join(rng.choices("abcdefghij", k=5)) for _ in range(8_000))
    assert fit_units([text, text], kind="bpe").get_vocab_size() == 8000


@pytest.mark.parametrize(("kind", "pretokenized"), KINDS)
def test_padding_and_end_cannot_be_typed(kind, pretokenized):
    text = "[PAD] [END] [UNK]x[END] [no text] [end of text] <s> </s> <pad> <|endoftext|>\n" * 9
    for vocabulary_size in (0, 400):
        tokenizer = fit([text], kind, pretokenized, vocabulary_size=vocabulary_size)
        ids = ids_of(tokenizer, text)
        assert min(ids) > END_ID
        assert decode_units(tokenizer, [PAD_ID, *ids, END_ID, END_ID]) == decode_units(tokenizer, ids)
        assert len(unit_names(tokenizer, [PAD_ID, UNKNOWN_ID, END_ID])) == 3


@pytest.mark.parametrize(("kind", "pretokenized"), KINDS)
def test_the_order_of_the_texts_does_not_matter_but_their_number_does(kind, pretokenized):
    texts = [f"{a}{b} {b}{a}{c}\n" for a in "abcde" for b in "fghij" for c in "kl"]
    fitted = set()
    for seed in range(3):
        random.Random(seed).shuffle(texts)
        fitted.add(fit(texts, kind, pretokenized, vocabulary_size=290 if kind == "bpe" else 12).to_str())
    assert len(fitted) == 1
    more = fit([*texts, *["zzzz yyyy"] * 99], kind, pretokenized, vocabulary_size=290 if kind == "bpe" else 12)
    assert (more.to_str() in fitted) == (kind == "byte")


def test_fitting_is_the_same_in_every_process():
    program = (
        "import hashlib, random\n"
        "from rnn_jax.text.units import UNITS, fit_units\n"
        "rng = random.Random(0); words = [a + b + c for a in 'abcdefgh' for b in 'ijklm' for c in 'nopq']\n"
        "texts = [' '.join(rng.choices(words, k=20)) for _ in range(60)]\n"
        "fitted = [fit_units(texts, kind=kind, vocabulary_size=300).to_str() for kind in UNITS]\n"
        "print([hashlib.sha256(text.encode()).hexdigest() for text in fitted])\n"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"TOKENIZERS_PARALLELISM": parallel, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, parallel in (("1", "true"), ("2", "false"))
    }
    assert len(digests) == 1 and len(set(json.loads(digests.pop().replace("'", '"')))) == len(UNITS)


@pytest.mark.parametrize(("kind", "pretokenized"), KINDS)
def test_case_is_folded_only_where_asked(kind, pretokenized):
    texts = ["ÄB Äb äb"] * 3
    kept, folded = (fit(texts, kind, pretokenized, lowercase=fold) for fold in (False, True))
    assert decode_units(kept, ids_of(kept, "ÄB äb")) == "ÄB äb"
    assert decode_units(folded, ids_of(folded, "ÄB äb")) == "äb äb"


def test_ids_kept_on_the_disk_are_the_same(monkeypatch):
    monkeypatch.setattr(kept, "LARGE", 10_000)  # characters
    text = "Some words, some of them äöü.\n" * 2_000
    tokenizer = fit([text])
    line = ids_of(tokenizer, text[:30])
    for _ in range(2):
        ids = encode_units(tokenizer, [text, "S"])
        assert ids.lengths.tolist() == [len(text), 1]
        assert (ids.row(0).reshape(-1, 30) == line).all()


def test_half_a_character_and_single_units():
    tokenizer = fit(["abc"], "byte")
    ids = ids_of(tokenizer, "aé b")
    assert decode_units(tokenizer, ids[:2]) == "a\ufffd"
    assert unit_names(tokenizer, ids) == ["a", "\ufffd", "\ufffd", " ", "b"]
    words = fit(["a b\nc"], "word")
    assert decode_units(words, [*ids_of(words, "a b\n\nc x"), END_ID, PAD_ID]) == "a b\n\nc <unk>"
    assert unit_names(words, [UNKNOWN_ID, 99]) == ["<unk>", "<unk>"]


PTB = " aer banknote berlitz \n pierre <unk> N years old will join the board as a nonexecutive director nov. N \n"
WIKITEXT = ' \n = Robert <unk> = \n \n Robert <unk> is an English film , television and theatre actor . He had a guest @-@ starring role on the series The Bill in 2000 . This was ( 1 @,@ 000 ) " so " . \n'  # noqa: E501
CHINESE = "最愛青青水國中，莫愁門外間花紅。\n纖纖無力勝春色，撼起啼鶯恨晚風。\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PTB, True),
        (PTB + " of calif. and messrs. smith of the corp. in the u.s. \n" + PTB * 100, True),
        (WIKITEXT, True),
        ("我 们 去 公园 。 \n 你 好 ， 世界 ！ \n", True),
        ('"Well," he said, "I am here."\nAnd off he went; gone.', False),
        ("No commas here. There are only sentences. They stand in lines.\nSeveral of them, too.", False),
        ("The children sleep. The letters arrive. Nobody answers.", False),
        ("int main(void) { return f(x); }\n", False),
        (CHINESE, False),
        ("مرحبا، كيف حالك؟", False),
        ("", False),
        ("  \n ", False),
    ],
)
def test_texts_that_are_tokenised_already(text, expected):
    assert looks_tokenized([text]) is expected
    assert looks_tokenized([*text.splitlines(keepends=True), ""]) is expected


def test_nothing_looks_tokenised_without_texts():
    assert looks_tokenized([]) is False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "bpe", "vocabulary_size": 258}, "^--vocabulary_size=258 is too small: bpe needs 259 or more"),
        ({"kind": "char", "vocabulary_size": 3}, "^--vocabulary_size=3 is too small: char needs 4 or more"),
        ({"kind": "word", "vocabulary_size": 1}, "^--vocabulary_size=1 is too small: word needs 4 or more"),
        ({"kind": "char", "min_count": 2}, "no character that occurs 2 times: lower --min_count"),
        ({"kind": "word", "min_count": 9}, "no word that occurs 9 times: lower --min_count"),
    ],
)
def test_errors(options, message):
    with pytest.raises(UserError, match=message):
        fit_units(["abc"], **options)


def test_smallest_vocabularies():
    assert fit(["abc"], "bpe", vocabulary_size=259).get_vocab_size() == 259
    assert vocabulary_of(fit(["abb"], vocabulary_size=4)) == ["b"]
