"""The page of a passage: its texts come back from HTML, colours by hand, contrast by WCAG; units by a plain loop."""

import math
import re
from html.parser import HTMLParser

import jax.numpy as jnp
import numpy as np
import pytest

from rnn_jax.analysis.passage import passage_page
from rnn_jax.analysis.passage_style import STYLE
from rnn_jax.analysis.units import choose_units

TOKENS = [
    "To",
    " be",
    ",\n",
    "\n",
    "<script>alert('1')</script>",
    "&amp;",
    '"x" onclick="',
    "\t",
    "שלום",
    "你好\u3000",
    "",
]
TOKENS += ["e", "\u0301", "\u093f", " ", "·", "⏎", "👩", "\u200d👩"]


class Page(HTMLParser):
    """The spans of every text and legend, as (classes, strength, tooltip, text), and what is in the headings."""

    def __init__(self, html):
        super().__init__()
        self.open, self.texts, self.legends, self.headings, self.tags = [], [], [], [], set()
        self.place = None
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add((tag, *(name for name, _ in attrs)))
        attributes = dict(attrs)
        if tag == "p":
            classes = attributes["class"].split()
            self.place = self.texts if classes[0] == "text" else self.legends if classes[0] == "legend" else None
            if self.place is not None:
                self.place.append([])
        if tag == "span":
            style = re.fullmatch(r"--a:(\d\.\d{3})", attributes["style"]) if "style" in attributes else None
            strength = float(style[1]) if style else None
            self.place[-1].append([set(attributes["class"].split()), strength, attributes.get("title"), "", []])
        if tag == "i":
            self.place[-1][-1][4].append([attributes["class"], ""])
        if tag in ("h1", "h2", "h3") or attributes.get("class") == "status":
            self.headings.append("")
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "span" in self.open:
            self.place[-1][-1][3] += data
            if self.open[-1] == "i":
                self.place[-1][-1][4][-1][1] += data
        elif self.open and (self.open[-1] in ("h1", "h2", "h3") or (self.open[-1] == "p" and self.place is None)):
            self.headings[-1] += data


def page(tokens, nats, activations=None, **options):
    activations = {name: np.asarray(values, np.float64) for name, values in (activations or {}).items()}
    html = passage_page("A & <b>", tokens, np.asarray(nats, np.float64), activations=activations, **options)
    html.encode("utf-8")
    return Page(html)


def strengths(spans):
    return [span[1] for span in spans]


def test_texts_come_back_exactly_in_every_picture():
    units = {"layer 0, unit 3": np.ones(len(TOKENS)), "layer 1, unit <7>": -np.ones(len(TOKENS))}
    shown = page(TOKENS, np.ones(len(TOKENS)), units, alternatives=["<i>\n&quot;"] * len(TOKENS))
    assert len(shown.texts) == 3
    for spans in shown.texts:
        assert [span[3] for span in spans] == TOKENS
    assert shown.headings == ["A & <b>", shown.headings[1], "Units", "layer 0, unit 3", "layer 1, unit <7>"]


def test_nothing_of_a_text_becomes_html():
    """Tags and attributes are the same for texts that are full of them as for one that has none."""
    hostile = TOKENS[4:7]
    harmless = page(["a b"] * 3, np.ones(3), {"u": np.ones(3)}, alternatives=["a"] * 3)
    attacked = page(hostile, np.ones(3), {hostile[0]: np.ones(3)}, alternatives=hostile, unit=hostile[0])
    assert attacked.tags == harmless.tags
    assert "script" not in {tag for tag, *_ in attacked.tags}
    for span, token in zip(attacked.texts[0], hostile, strict=True):
        assert span[2].split("\n") == [token.replace(" ", "·"), "1.00 nats (1.44 bits), probability 0.368", token]


def test_the_page_asks_for_nothing_from_outside():
    html = passage_page("t", "text", np.ones(4), activations={"u": np.ones(4)})
    assert not re.search(r"<script|<link|<img|src=|href=|url\(|@import|//", html)


def test_white_space_is_marked_where_it_is():
    ((words, *_, marks), line, tab, empty) = page(["a  b\n", "\n\n", "\t\u00a0", ""], np.ones(4)).texts[0]
    assert words == {"loss"}
    assert marks == [["space", " "], ["space", " "], ["break", "\n"]]
    assert line[4] == [["break", "\n"], ["break", "\n"]]
    assert tab[4] == [["tab", "\t"], ["space", "\u00a0"]]
    assert empty[0] == {"loss", "empty"}
    for name, sign in {"space": "·", "break": "⏎", "tab": "⇥", "empty": "∅", "mark": "◌"}.items():
        assert f'.{name}::before {{ content: "{sign}";' in STYLE
    assert "white-space: break-spaces" in STYLE  # a line break breaks the line


def test_a_mark_without_its_letter_stands_on_a_circle():
    spans = page(["e", "\u0301", "e\u0301", "\u093f", "\ufe0f"], np.ones(5)).texts[0]
    assert ["mark" in span[0] for span in spans] == [False, True, False, True, True]


def test_what_html_cannot_hold_or_would_turn_the_text_is_shown_by_its_escape():
    spans = page(["\x00", "a\r\n", "\ud800", "\u202eb", "\u2028"], np.ones(5), {"\ud800": np.ones(5)}).texts[0]
    assert [span[3] for span in spans] == ["\\x00", "a\\r\n", "\\ud800", "\\u202eb", "\\u2028"]
    assert [span[2].split("\n")[0] for span in spans] == ["\\x00", "a\\r⏎", "\\ud800", "\\u202eb", "\\u2028"]


def test_colours_grow_with_the_loss():
    """To full at the 99th percentile, 2.955 here, rounded up."""
    shown = page("abcd", [1.5, 0.0, 3.0, 0.5])
    np.testing.assert_allclose(strengths(shown.texts[0]), [0.5, 0.0, 1.0, 0.167])
    legend = [(strength, text) for _, strength, _, text, _ in shown.legends[0]]
    assert legend == [(0, "0"), (0.25, "0.75"), (0.5, "1.5"), (0.75, "2.25"), (1, "3"), (None, "not finite")]


def test_one_surprise_leaves_the_other_colours():
    nats = np.append(np.linspace(0, 4, 200), 40.0)
    found = strengths(page("x" * 201, nats).texts[0])
    assert found == sorted(found)
    np.testing.assert_allclose(found, np.minimum(nats / 4, 1), atol=5e-4)


def test_small_losses_are_pale_and_rounding_below_zero_is_none():
    spans = page("abc", [0.1, -1e-7, -0.0]).texts[0]
    assert strengths(spans) == [0.1, 0, 0]
    assert spans[1][2] == "b\n0.00 nats (0.00 bits), probability 1"
    assert spans[2][2] == "c\n0.00 nats (0.00 bits), probability 1"


def test_losses_that_are_not_finite_are_grey():
    shown = page("abc", [math.nan, math.log(4), math.inf])
    assert [span[:2] for span in shown.texts[0]] == [[{"unknown"}, None], [{"loss"}, 0.693], [{"unknown"}, None]]
    assert [span[2].split("\n")[1] for span in shown.texts[0]] == [
        "no loss (NaN)",
        "1.39 nats (2.00 bits), probability 0.25",
        "∞ nats (∞ bits), probability 0",
    ]


@pytest.mark.parametrize(
    ("nats", "expected"),
    [
        ([math.log(2), math.log(8)], "1.386 nats a word (2.000 bits), perplexity 4; 2 words."),
        (
            [math.nan, math.log(2), math.log(8)],
            "1.386 nats a word (2.000 bits), perplexity 4; 3 words, 1 of them without a loss.",
        ),
        ([0.0], "0.000 nats a word (0.000 bits), perplexity 1; 1 word."),
        ([1.0, math.inf], "∞ nats a word (∞ bits), perplexity ∞; 2 words."),
        ([800.0], "800.000 nats a word (1154.156 bits), perplexity ∞; 1 word."),
        ([math.nan], "1 word, none with a loss."),
        ([], "The passage is empty: no words."),
    ],
)
def test_summary(nats, expected):
    shown = page("x" * len(nats), nats, {"u": np.ones(len(nats))}, unit="word")
    assert shown.headings[1] == expected
    assert len(shown.texts) == (2 if nats else 0)


def test_units_are_blue_below_zero_and_red_above_each_on_its_own_scale():
    activations = {"wide": [-2.0, 1.0, 0.0, math.nan], "narrow": [0.01, -0.005, -0.01, math.inf], "none": np.zeros(4)}
    _, wide, narrow, none = page("abcd", np.ones(4), activations).texts
    assert [span[:3] for span in wide] == [
        [{"minus"}, 1.0, "−2"],
        [{"plus"}, 0.5, "+1"],
        [{"plus"}, 0.0, "+0"],
        [{"unknown"}, None, "NaN"],
    ]
    assert [(*span[0], span[1]) for span in narrow] == [("plus", 1), ("minus", 0.5), ("minus", 1), ("unknown", None)]
    assert strengths(none) == [0, 0, 0, 0]


def test_legend_of_a_unit():
    _, legend = page("ab", np.ones(2), {"u": [-0.5, 0.25]}).legends
    assert [(*span[0], span[1], span[3]) for span in legend] == [
        ("minus", 1, "−0.5"),
        ("minus", 0.5, "−0.25"),
        ("plus", 0, "0"),
        ("plus", 0.5, "+0.25"),
        ("plus", 1, "+0.5"),
    ]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("colour", ["loss", "plus", "minus", "unknown"])
def test_text_can_be_read_on_every_colour(scheme, colour):
    """Contrast of at least 4.5, WCAG 2 level AA, and more of the colour is further from the paper."""
    rules = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[scheme]
    colours = {name: np.array(rgb.split(), float) for name, rgb in re.findall(r"--(\w+): (\d+ \d+ \d+);", rules)}

    def luminance(rgb):
        share = rgb / 255
        return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    def contrast(one, other):
        low, high = sorted([luminance(one), luminance(other)])
        return (high + 0.05) / (low + 0.05)

    laid = [colours["paper"] * (1 - a) + colours[colour] * a for a in np.linspace(0, 1, 11)]
    assert min(contrast(rgb, colours["ink"]) for rgb in laid) >= 4.5
    from_paper = [contrast(rgb, colours["paper"]) for rgb in laid]
    assert from_paper == sorted(from_paper)
    assert from_paper[-1] > 1.5


def test_arrays_of_jax_and_of_half_precision():
    nats = jnp.array([0.5, 1.0], jnp.bfloat16)
    html = passage_page("t", "ab", nats, activations={"u": jnp.array([1.0, -1.0], jnp.float16)})
    loss, unit = Page(html).texts
    assert strengths(loss) == [0.5, 1.0]
    assert [span[0] for span in unit] == [{"plus"}, {"minus"}]


def test_messages():
    with pytest.raises(ValueError, match=r"nats has one number for each of the 2 tokens; got shape \(3,\)"):
        page("ab", np.ones(3))
    with pytest.raises(ValueError, match=r"activations\['u'\] has one number for each of the 2 tokens"):
        page("ab", np.ones(2), {"u": np.ones(1)})
    with pytest.raises(ValueError, match="alternatives has one line for each of the 2 tokens; got 1"):
        page("ab", np.ones(2), alternatives=["a"])
    with pytest.raises(ValueError, match="nats are −log probability, at least 0; got -2"):
        page("ab", [1.0, -2.0])


def by_a_loop(values, lag):
    mean = sum(values) / len(values)
    return sum((values[t] - mean) * (values[t + lag] - mean) for t in range(len(values) - lag)) / len(values)


@pytest.mark.parametrize("lag", [1, 5, 40])
def test_units_in_the_order_of_their_autocovariance(lag):
    values = np.random.default_rng(0).normal(size=(30, 12)).cumsum(axis=0)
    expected = sorted(range(12), key=lambda unit: -by_a_loop(values[:, unit].tolist(), min(lag, 29)))
    assert choose_units(values, 12, lag) == expected
    assert choose_units(values, 4, lag) == expected[:4]


def test_units_that_hold_something_come_first():
    """A switch, a weaker switch, noise as loud as the first, and one that flips at every token."""
    rng, steps = np.random.default_rng(1), np.arange(400)
    switch = np.where(steps // 25 % 2, 1.0, -1.0)
    noise, flips = rng.choice([-1.0, 1.0], size=400), np.where(steps % 2, 1.0, -1.0)
    activations = np.stack([flips, noise, 0.5 * switch, switch, np.ones(400)], axis=1).astype(np.float32)
    assert choose_units(activations, 5) == [3, 2, 1, 0]
    assert choose_units(jnp.asarray(activations), 1) == [3]


def test_units_that_have_nothing_to_show_are_left_out():
    values = np.array([[0.1, 1.0, 0.0, 0.0, 2.0], [0.1, np.nan, 1.0, 1.0, np.inf], [0.1, 0.0, 1.0, 1.0, 0.0]])
    assert choose_units(values, 5) == [2, 3]  # equal ones in the order of their numbers
    assert choose_units(values[:1], 5) == choose_units(values[:0], 5) == choose_units(values[:, :0], 5) == []


def test_messages_of_units():
    for number in (0, True):
        with pytest.raises(ValueError, match=f"number is an integer of at least 1; got {number}"):
            choose_units(np.ones((3, 2)), number)
    with pytest.raises(ValueError, match="lag is an integer of at least 1; got 0"):
        choose_units(np.ones((3, 2)), 1, 0)
