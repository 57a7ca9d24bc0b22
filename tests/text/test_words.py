"""Words as English treebanks cut them, and what holds for any text."""

import time
import unicodedata

import hypothesis
import hypothesis.strategies as st
import pytest

from rnn_jax.text.words import split_words

# Text → words with "|" between them.
CASES = {
    "Hello, world!": "Hello|,|world|!",
    '"Hello," he said... (why?)': '"|Hello|,|"|he|said|...|(|why|?|)',
    "Wait...what?! No!!! yes…": "Wait|...|what|?!|No|!!!|yes|…",
    "“Curly” ‘quotes’ «too» [x] {y}": "“|Curly|”|‘|quotes|’|«|too|»|[|x|]|{|y|}",
    "'quoted' ''twice''": "'|quoted|'|''|twice|''",
    # contractions and possessives
    "I don't, DON'T, don’t, can't, won't": "I|do|n't|,|DO|N'T|,|do|n’t|,|ca|n't|,|wo|n't",
    "it's we'll I'm you're I've he'd": "it|'s|we|'ll|I|'m|you|'re|I|'ve|he|'d",
    "it’s WE'LL I'd've": "it|’s|WE|'LL|I|'d|'ve",
    "cannot Cannot cannots": "can|not|Can|not|cannots",
    "dont wont didnt gonna wanna gotta": "do|nt|wo|nt|did|nt|gon|na|wan|na|got|ta",
    "want went isnts": "want|went|isnts",
    "dog's dogs' Jess's": "dog|'s|dogs|'|Jess|'s",
    "O'Brien o'clock rock'n'roll Qa'ida 'em": "O'Brien|o'clock|rock'n'roll|Qa'ida|'em",
    "the '90s, 80's, 1990s, '07": "the|'90s|,|80's|,|1990s|,|'07",
    # numbers
    "$1,000.50 is €5, 50% US$10": "$|1,000.50|is|€|5|,|50|%|US|$|10",
    "3:30 12:30:45 3:30pm 5 p.m. 10am": "3:30|12:30:45|3:30|pm|5|p.m.|10|am",
    "$3.5m, 35mm 20kg 2k 100x": "$|3.5|m|,|35|mm|20|kg|2|k|100|x",
    "1st 22nd 3D F16 MP3 1e9": "1st|22nd|3D|F16|MP3|1e9",
    "9/11 12/31/2001 1-2-03 2001-02-03": "9/11|12/31/2001|1-2-03|2001-02-03",
    "1970-1980 pages 3-4": "1970|-|1980|pages|3|-|4",
    "713-853-3989 1-800-555-1234 555-1234": "713-853-3989|1-800-555-1234|555-1234",
    "#1 A+ 7.": "#|1|A|+|7|.",
    # full stops
    "Mr. Li, Dr. No and MRS. X of the U.S. etc.": "Mr.|Li|,|Dr.|No|and|MRS.|X|of|the|U.S.|etc.",
    "i.e. e.g. a.m. U.S.A. Ph.D. vs.": "i.e.|e.g.|a.m.|U.S.A.|Ph.D.|vs.",
    "John F. Kennedy. It was I. She left": "John|F.|Kennedy|.|It|was|I|.|She|left",
    "No. 5? No. On Dec. 3 in St. Louis.": "No.|5|?|No|.|On|Dec.|3|in|St.|Louis|.",
    "the end.Then more": "the|end|.|Then|more",
    # hyphens, slashes, joined words
    "a well-known state-of-the-art x-ray": "a|well|-|known|state|-|of|-|the|-|art|x|-|ray",
    "e-mail co-workers non-Arab mid-80s pre- E-J": "e-mail|co-workers|non-Arab|mid-80s|pre|-|E|-|J",
    "so -- or — dash–dash ---": "so|--|or|—|dash|–|dash|---",
    "and/or w/o w/ AT&T B&B a&b": "and|/|or|w/o|w/|AT&T|B&B|a|&|b",
    "snake_case _word_ ____": "snake_case|_|word|_|____",
    # in one piece
    "(see http://a.org/b?c=d&e=1#f).": "(|see|http://a.org/b?c=d&e=1#f|)|.",
    "www.a.org, a.com! news.bbc.co.uk/2/x.stm?": "www.a.org|,|a.com|!|news.bbc.co.uk/2/x.stm|?",
    "me.you+x@mail.example.org, a@b": "me.you+x@mail.example.org|,|a@b",
    "see a-b_1.pdf and x.TXT.": "see|a-b_1.pdf|and|x.TXT|.",
    ":) ;-) :( :-( :D =) :/ <3 ^_^": ":)|;-)|:(|:-(|:D|=)|:/|<3|^_^",
    "great:) (see: this) a:b": "great|:)|(|see|:|this|)|a|:|b",
    # other scripts, combining marks, emoji
    "café Straße naïve Ærø": "café|Straße|naïve|Ærø",
    "cafe\u0301s n\u0303": "caf\u00e9s|\u00f1",
    "हिन्दी भाषा, العَرَبِيَّة": "हिन्दी|भाषा|,|العَرَبِيَّة",
    "日本語のテキスト。中文,": "日本語のテキスト|。|中文|,",
    "ok👍🏽🙂 👩‍👩‍👧 🇩🇪🇫🇷 ❤️!": "ok|👍🏽|🙂|👩‍👩‍👧|🇩🇪|🇫🇷|❤️|!",
    "soft\xadhyphen no\u00a0break": "soft\xadhyphen|no|break",
}


@pytest.mark.parametrize("text", CASES)
def test_words(text):
    assert split_words(text) == CASES[text].split("|")


def test_no_words():
    assert split_words("") == split_words(" \n\t\u3000 ") == []


def test_a_bar_is_a_word():
    assert split_words("a|b") == ["a", "|", "b"]


# Pieces that the rules look at, so that they meet in ways that nobody thought of.
MARKS = "aZé日_0'’`\".,:;-–/@#$%&+=<>^()|!?… \n\u0301\u200d\u20e3\ufe0f👍🏽🇩\x1c\u00a0"
PARTS = ("n't", "can", "not", "'s", "http://", "www.", "Mr", "U.S", "e-", ".com", "nt", "12", "pm", "do")
pieces = st.sampled_from([*MARKS, *PARTS])


@hypothesis.given(st.one_of(st.text(), st.lists(pieces, max_size=20).map("".join)))
@hypothesis.settings(max_examples=500)
def test_nothing_but_white_space_is_lost(text):
    words = split_words(text)
    assert "".join(words) == "".join(unicodedata.normalize("NFC", text).split())
    assert all(word and not any(map(str.isspace, word)) for word in words)


UNITS = ["a.", "a-", "1.", "1,1:", "a_", "_", "'", "a'", "x@", "a.b@", "can", "n't", "http://!", "a.com/(", "a\u0301"]
UNITS += ["\u0301", "\u200d", "👩\u200d", "1-", ":-", "日", "!"]


@pytest.mark.parametrize("unit", UNITS)
def test_time_is_in_proportion_to_length(unit):
    text = unicodedata.normalize("NFC", "a" + unit * (200_000 // len(unit)))
    began = time.monotonic()
    assert "".join(split_words(text)) == text
    assert time.monotonic() - began < 20  # a tenth of a second; minutes if anything were quadratic
