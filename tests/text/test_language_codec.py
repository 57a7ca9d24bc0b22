"""What a language model reads of texts, and texts from what it says: ends, prompts, marks for spaces, and spelling."""

import dataclasses
import random
import unicodedata

import numpy as np
import pytest

from rnn_jax.data import kept
from rnn_jax.errors import UserError
from rnn_jax.text import language_codec
from rnn_jax.text.language_codec import END_ID, PAD_ID, UNKNOWN_ID, LanguageCodec, fit_language_codec, prepare
from rnn_jax.text.language_config import UnitsConfig
from rnn_jax.text.units import UNITS

KINDS = ("char", "word", "bpe", "byte")
TEXT = "He said: \"It's (nearly) 5 % more, isn't it?\"\nNo; they'd {not} [seen] $ 10.\n\nÄh … 🙂\n"


def fit(*texts, **knobs):
    return fit_language_codec(UnitsConfig(**{"min_count": 1} | knobs), texts)


def rows(ragged):
    return [ragged.row(i).tolist() for i in range(len(ragged))]


def test_the_knob_has_all_kinds():
    (field,) = (field for field in dataclasses.fields(UnitsConfig) if field.name == "tokenizer")
    assert set(KINDS) == set(UNITS)
    for kind in KINDS:
        assert fit(TEXT, tokenizer=kind).kind == kind
    assert field.default == "char"


def test_the_only_text_has_no_end():
    codec = fit("abca")  # a twice; b and c once
    assert not codec.has_ends
    assert rows(codec.encode(["cab", "", "x"])) == [[5, 3, 4], [], [UNKNOWN_ID]]


def test_several_texts_end():
    codec = fit("ab", "", "ac")
    assert codec.has_ends
    found = codec.encode(["cab", "", "", "b"])
    assert rows(found) == [[5, 3, 4, END_ID], [END_ID], [END_ID], [4, END_ID]]
    assert found.values.dtype == np.int32 and found.offsets.dtype == np.int64
    assert rows(codec.encode([])) == [] and rows(codec.encode([""])) == [[END_ID]]


@pytest.mark.parametrize("texts", [("ab",), ("ab", "a")])
def test_a_prompt_begins_like_a_text(texts):
    codec = fit(*texts)
    assert codec.prompt("ba").tolist() == [END_ID, *codec.encode(["ba"]).values[:2]]
    assert codec.prompt("").tolist() == [END_ID]
    assert codec.prompt("ba").dtype == codec.prompt("").dtype == np.int32


@pytest.mark.parametrize("kind", ["char", "bpe", "byte"])
@pytest.mark.parametrize("texts", [(TEXT,), (TEXT, "x")])
def test_texts_come_back(kind, texts):
    codec = fit(*texts, tokenizer=kind)
    assert codec.text(codec.encode([TEXT]).values) == TEXT
    assert codec.text(codec.prompt(TEXT)) == TEXT
    assert codec.text([END_ID, PAD_ID]) == codec.text([]) == ""


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("It's the dogs' movie, isn't it?", "It's the dogs ' movie, isn't it?"),
        ("They'd (nearly) left; we'll {see} [it]: 5 % of $ 10!", "They'd (nearly) left; we'll {see} [it]: 5% of $10!"),
        ("one\n\n  two .\nthree", "one\n\ntwo.\nthree"),
        ("curly ’s<br />x", "curly's x"),
    ],
)
def test_words_are_written_as_people_do(text, written):
    codec = fit(text, tokenizer="word", pretokenized="no")
    assert codec.text(codec.encode([text]).values) == written


def test_tokenised_words_are_written_as_they_stand():
    text = " \n = It 's = \n \n He did n't , <unk> . \n"
    codec = fit(text, tokenizer="word")
    assert codec.pretokenized
    assert codec.text(codec.encode([text]).values) == "\n= It 's =\n\nHe did n't , <unk> .\n"
    assert not fit(text, tokenizer="word", pretokenized="no").pretokenized
    assert not fit("Raw text, as it is.", tokenizer="word").pretokenized
    assert fit("Raw text, as it is.", tokenizer="word", pretokenized="yes").pretokenized
    assert not fit(text, tokenizer="char").pretokenized and not fit(text, tokenizer="bpe").pretokenized


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_and_its_continuation_are_the_whole(kind):
    codec = fit(TEXT * 3, tokenizer=kind, pretokenized="no") if kind == "word" else fit(TEXT * 3, tokenizer=kind)
    ids = codec.encode([TEXT * 3]).values
    for at in range(len(ids)):
        prompt = np.concatenate([[END_ID], ids[:at]])
        for length in (0, 1, 2, 20):
            whole = codec.text([*prompt, *ids[at : at + length]])
            if not codec.text(prompt).endswith("\ufffd"):  # half a character, which is none of its text
                assert codec.text(prompt) + codec.continuation(prompt, ids[at : at + length].tolist()) == whole


def test_continuations_of_words_in_any_order():
    codec = fit(TEXT, tokenizer="word", pretokenized="no")
    rng = random.Random(0)
    for _ in range(500):
        ids = [rng.randrange(codec.vocabulary_size) for _ in range(rng.randrange(30))]
        at = rng.randrange(len(ids) + 1)
        prompt = np.array([END_ID, *ids[:at]])
        assert codec.text(prompt) + codec.continuation(prompt, ids[at:]) == codec.text(ids)


def test_half_characters_of_a_prompt_are_not_counted_twice():
    codec = fit("🙂" * 30, tokenizer="byte")
    ids = codec.encode(["🙂" * 30]).values
    for at in range(1, 100):
        found = codec.continuation(ids[:at], ids[at : at + 8].tolist())
        assert found == "🙂🙂" if at % 4 == 0 else found.strip("\ufffd") == "🙂"


def test_names_of_tokens():
    codec = fit("ab ", "")
    assert codec.names(codec.encode(["a x"]).values) == ["a", " ", "<unk>", "⏹"]
    assert fit("é", tokenizer="byte").names(fit("é", tokenizer="byte").encode(["éa"]).values) == [
        "\ufffd",
        "\ufffd",
        "a",
    ]
    assert fit("a\nb", tokenizer="word").names(fit("a\nb", tokenizer="word").encode(["b\na"]).values) == [
        "b",
        "\n",
        "a",
    ]


@pytest.mark.parametrize("kind", ["char", "byte"])
def test_spaces_have_a_mark_and_lines_none_around_them(kind):
    text = " aer banknote \n no  it\twas \t\n\n \n\t end"
    assert prepare(text, "_") == "aer_banknote\nno__it\twas\n\n\nend"
    codec = fit(text, tokenizer=kind, space_mark="_", lowercase=True)
    assert codec.text(codec.encode([text.upper()]).values) == "aer_banknote\nno__it\twas\n\n\nend"
    assert codec.prompt(" No it ").tolist() == [END_ID, *codec.encode(["no_it"]).values]
    assert codec.describe().startswith(f"{codec.vocabulary_size} {kind}{'acter' * (kind == 'char')}s, spaces as _, ")


def test_texts_are_composed_before_they_are_counted():
    assert prepare(" cafe\u0301 ") == " café " and prepare("e\u0301 x", "·") == "é·x"


def test_a_long_line_of_spaces_takes_no_time():
    # Half an hour, were every space tried as the first of those at the end.
    assert prepare("a" + " " * 1_000_000 + "b", "_") == "a" + "_" * 1_000_000 + "b"


@pytest.mark.parametrize("mark", [" ", "\t", "\n", "\u00a0", "__", "<s>", "\u0301", "\x00", "\u200b"])
def test_marks_that_are_none(mark):
    with pytest.raises(UserError, match=r"^--space_mark=.* must be one visible character, such as _\."):
        fit("a b", space_mark=mark)


@pytest.mark.parametrize("mark", ["_", "·", "▁", "␣", "空", "🙂"])
def test_marks(mark):
    codec = fit(" a b ", space_mark=mark)
    assert codec.text(codec.encode([" b a "]).values) == f"b{mark}a"


def test_vocabulary_knobs():
    text = "a a a b b c C"
    assert fit(text, tokenizer="word").vocabulary_size == 3 + 4
    assert fit(text, tokenizer="word", lowercase=True).vocabulary_size == 3 + 3
    assert fit(text, tokenizer="word", min_count=2).vocabulary_size == 3 + 2
    # By default words that occur once are unknown where they were split off, and no others.
    for pretokenized, size in (("no", 2), ("yes", 4)):
        config = UnitsConfig(tokenizer="word", pretokenized=pretokenized)
        assert fit_language_codec(config, [text]).vocabulary_size == 3 + size
    assert fit(text, tokenizer="word", vocabulary_size=4).encode([text]).values.tolist() == [3, 3, 3, 1, 1, 1, 1]
    assert fit(text, tokenizer="byte").vocabulary_size == 259
    for kind, unit in zip(KINDS, ("character", "word", "subword", "byte"), strict=True):
        codec = fit(text, tokenizer=kind, **({"pretokenized": "no"} if kind == "word" else {}))
        assert codec.unit == unit and f" {unit}s, {codec.digest[:8]}" in codec.describe()
    assert " tokenised words, " in fit(text, tokenizer="word", pretokenized="yes").describe()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_on_the_disk_is_the_same(kind, tmp_path):
    codec = fit(TEXT, "b", tokenizer=kind)
    codec.save(tmp_path)
    again = LanguageCodec.load(tmp_path)
    assert again == codec and hash(again) == hash(codec) and again.describe() == codec.describe()
    assert again != dataclasses.replace(codec, has_ends=False) and again != fit(
        TEXT, "bb", "c" * 9, tokenizer=kind, lowercase=True
    )
    ids = codec.encode([TEXT, "unknown ж\n"])
    assert rows(again.encode([TEXT, "unknown ж\n"])) == rows(ids)
    assert again.text(ids.values) == codec.text(ids.values) and again.names(ids.values) == codec.names(ids.values)


def test_a_large_text_is_fitted_once(monkeypatch):
    monkeypatch.setattr(kept, "LARGE", 10_000)  # characters
    text = "Some words, some of them äöü.\n" * 500
    first = fit(text, tokenizer="word")

    def again(*args, **kwargs):
        raise RuntimeError("fitted again")

    monkeypatch.setattr(language_codec, "fit_units", again)
    assert fit(text, tokenizer="word") == first
    with pytest.raises(RuntimeError, match="fitted again"):
        fit(text, tokenizer="word", lowercase=True)


def test_decomposed_texts_are_those_of_composed_ones():
    text = unicodedata.normalize("NFD", "Ångström é 한국어")
    for kind in KINDS:
        codec = fit(text, tokenizer=kind)
        assert codec.text(codec.encode([text]).values) == unicodedata.normalize("NFC", text)
