"""Subwords: texts come back from their ids, the merges are those of a count by hand, and no special token is typed."""

import random

import pytest

from rnn_jax.errors import UserError
from rnn_jax.text.subwords import END_ID, PAD_ID, START_ID, UNKNOWN_ID, decode, fit_subwords
from rnn_jax.text.vocabulary import encode, load_tokenizer

TEXTS = ["low lower lowest, don't [END]"] * 5 + ["newest: Über\tdas\nMeer…  🙂"] * 3 + ["[START] [PAD] [UNK] wide"]


def ids_of(tokenizer, text):
    return encode(tokenizer, [text]).values.tolist()


@pytest.fixture(scope="module")
def tokenizers():
    return {"bpe": fit_subwords(TEXTS, vocabulary_size=300), "char": fit_subwords(TEXTS, kind="char")}


@pytest.mark.parametrize(
    "text",
    [
        "lowest",
        "Don't SHOUT, it isn't “good”!",  # nothing is folded or replaced, unlike in `vocabulary`
        "it's <br /> ﬁne ＡＢ ½",
        "two  spaces, a\ttab, a\nnewline, a\u2028separator and \x00",
        "日本 🙂 ПРИВЕТ naïve",
        "[PAD] [UNK] [START] [END]",
        "x ▁ Ġ Ċ y",  # characters that other tokenizers take for spaces
        "",
    ],
)
def test_bytes_give_every_text_back(tokenizers, text):
    ids = ids_of(tokenizers["bpe"], text)
    assert all(i > END_ID for i in ids)
    assert decode(tokenizers["bpe"], ids) == text


@pytest.mark.parametrize("kind", ["bpe", "char"])
def test_unicode_is_composed_and_white_space_around_a_text_goes(kind):
    tokenizer = fit_subwords(["  cafe\u0301  noir "], kind=kind, vocabulary_size=300)
    assert decode(tokenizer, ids_of(tokenizer, " cafe\u0301  noir\n")) == "caf\u00e9  noir"


def test_characters_give_known_texts_back_and_unknown_ones_are_left_out(tokenizers):
    for text in TEXTS:
        ids = ids_of(tokenizers["char"], text)
        assert len(ids) == len(text)
        assert decode(tokenizers["char"], ids) == text
    ids = ids_of(tokenizers["char"], "lo日w")
    assert ids[2] == UNKNOWN_ID and UNKNOWN_ID not in (ids[0], ids[1], ids[3])
    assert decode(tokenizers["char"], ids) == "low"


def test_the_most_frequent_characters_are_kept():
    tokenizer = fit_subwords(["bbb aa", "b c d", "c a"], kind="char", vocabulary_size=8)  # b 4, space 4, a 3, c 2, d 1
    assert [tokenizer.id_to_token(i) for i in range(4, tokenizer.get_vocab_size())] == [" ", "b", "a", "c"]
    assert ids_of(tokenizer, "ab d") == [6, 5, 4, 1]


def test_merges_by_hand():
    # Ġab 4 times, Ġcab 3, Ġdab 2. Pairs: "a b" 9 times; then "Ġ ab" 4, "Ġ c" and "c ab" 3.
    tokenizer = fit_subwords(["ab ab cab", "ab ab cab dab", "cab dab"], vocabulary_size=262)
    assert tokenizer.get_vocab_size() == 262  # 4 special ones, 256 bytes, 2 merges
    assert [tokenizer.id_to_token(i) for i in (260, 261)] == ["ab", "Ġab"]
    assert tokenizer.encode("ab cab").tokens == ["Ġab", "Ġ", "c", "ab"]
    assert tokenizer.encode("a b").tokens == ["Ġ", "a", "Ġ", "b"]  # never across a space


@pytest.mark.parametrize("kind", ["bpe", "char"])
def test_special_tokens_have_the_first_ids_and_cannot_be_typed(tokenizers, kind):
    names = [tokenizers[kind].id_to_token(i) for i in (PAD_ID, UNKNOWN_ID, START_ID, END_ID)]
    assert names == ["[PAD]", "[UNK]", "[START]", "[END]"] and (PAD_ID, UNKNOWN_ID, START_ID, END_ID) == (0, 1, 2, 3)
    for name in names:  # all are in the training texts
        ids = ids_of(tokenizers[kind], f"a {name}{name}")
        assert len(ids) > 5 and not {PAD_ID, START_ID, END_ID} & set(ids)


def test_special_ids_are_left_out_of_the_text(tokenizers):
    low, wide = (ids_of(tokenizers["bpe"], text) for text in ("low", "wide"))
    ids = [START_ID, *low, UNKNOWN_ID, *wide, END_ID, PAD_ID, PAD_ID]
    assert decode(tokenizers["bpe"], ids) == "low wide"
    assert decode(tokenizers["bpe"], [START_ID, END_ID]) == ""


def test_half_a_character_becomes_a_replacement_character():
    tokenizer = fit_subwords(["abc"], vocabulary_size=260)
    ids = ids_of(tokenizer, "aé b")
    assert len(ids) == 6  # space, a, two bytes, space, b
    assert decode(tokenizer, ids[:3]) == "a\ufffd"
    assert decode(tokenizer, ids[:3] + ids[4:]) == "a\ufffd b"


@pytest.mark.parametrize("kind", ["bpe", "char"])
def test_case_is_folded_only_where_asked(kind):
    texts = ["ÄB Äb äb"] * 3
    kept, folded = (fit_subwords(texts, kind=kind, vocabulary_size=300, lowercase=fold) for fold in (False, True))
    assert decode(kept, ids_of(kept, "ÄB äb")) == "ÄB äb"
    assert decode(folded, ids_of(folded, "ÄB äb")) == "äb äb"


@pytest.mark.parametrize("kind", ["bpe", "char"])
def test_the_order_of_the_texts_does_not_matter_but_their_number_does(kind):
    texts = [f"{a}{b} {b}{a}{c}" for a in "abcde" for b in "fghij" for c in "kl"]
    fitted = set()
    for seed in range(4):
        random.Random(seed).shuffle(texts)
        fitted.add(fit_subwords(texts, kind=kind, vocabulary_size=290 if kind == "bpe" else 12).to_str())
    assert len(fitted) == 1
    more = fit_subwords([*texts, *["zzzz yyyy"] * 99], kind=kind, vocabulary_size=290 if kind == "bpe" else 12)
    assert more.to_str() not in fitted


@pytest.mark.parametrize("kind", ["bpe", "char"])
def test_a_tokenizer_from_the_disk_writes_texts_too(tokenizers, kind, tmp_path):
    tokenizers[kind].save(str(tmp_path / "a.json"))
    again = load_tokenizer(tmp_path / "a.json")
    for text in TEXTS:
        assert decode(again, ids_of(again, text)) == text
    assert ids_of(again, TEXTS[0]) == ids_of(tokenizers[kind], TEXTS[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "word"}, "Unknown tokenizer 'word'; it can be bpe, char"),
        ({"kind": "bpe", "vocabulary_size": 259}, "^--vocabulary_size=259 is too small: bpe needs 260 or more"),
        ({"kind": "char", "vocabulary_size": 4}, "^--vocabulary_size=4 is too small: char needs 5 or more"),
    ],
)
def test_errors(options, message):
    with pytest.raises(UserError, match=message):
        fit_subwords(["a"], **options)
