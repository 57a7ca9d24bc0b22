"""Writing on: what is read before it, what is drawn or searched for, where it stops, and how it is shown."""

import io
import itertools
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from language_model_runs import model_of, stepper, trained_of

from rnn_jax.config import with_overrides
from rnn_jax.data.batching import Ragged
from rnn_jax.data.lanes import Lanes
from rnn_jax.data.lines import Lines
from rnn_jax.errors import UserError
from rnn_jax.models import writer
from rnn_jax.models.texts import answers, rendered, sample_texts
from rnn_jax.models.writer import searched, stream, texts_after
from rnn_jax.models.writing_config import WritingConfig
from rnn_jax.text.streams import LanguagePart

PAD, UNKNOWN, END = 0, 1, 2
ONE_TEXT, TEXTS = ["abcd abc ab a. "], ["abcd", "ab a.", "c"]


@pytest.fixture(scope="module")
def endless():
    """A model of one text, which has no end."""
    return trained_of(ONE_TEXT, scale=4.0)


@pytest.fixture(scope="module")
def ending():
    return trained_of(TEXTS, scale=4.0, seed=1)


@pytest.fixture(scope="module")
def in_bytes():
    return trained_of(["äöü 日本 🙂 ab"], tokenizer="byte", scale=1.0)


def config(**knobs):
    return with_overrides(WritingConfig(), {"max_new_tokens": 20, **knobs})


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def written(trained, prompts, settings, seed=0, at_once=None):
    prompts = [trained.codec.prompt(prompt) for prompt in prompts]
    if at_once is None:
        return texts_after(trained, trained.codec, prompts, settings, keys(len(prompts), seed))
    return list(stream(trained, trained.codec, prompts, settings, keys(len(prompts), seed), at_once=at_once))


def log_probs_after(trained, tokens):
    """log p of the next token after each prefix of some tokens, in a plain loop."""
    carry, step, found = model_of(trained).initial_carry(1), stepper(trained), []
    for token in tokens:
        carry, logits = step(carry, jnp.array([token], jnp.int32))
        found.append(np.asarray(jax.nn.log_softmax(logits[0]), np.float64))
    return found


def greedy(trained, prompt, count, forbidden):
    tokens, total = trained.codec.prompt(prompt).tolist(), 0.0
    start = len(tokens)
    for _ in range(count):
        scores = log_probs_after(trained, tokens)[-1]
        allowed = np.where(np.isin(np.arange(len(scores)), forbidden), -np.inf, scores)
        tokens.append(int(allowed.argmax()))
        total += scores[tokens[-1]]
        if tokens[-1] == END:
            break
    return tokens[start:], total


@pytest.mark.parametrize("prompt", ["", "a", "abcd ab"])
@pytest.mark.parametrize("name", ["endless", "ending"])
def test_the_most_probable_tokens_are_those_of_a_plain_loop(name, prompt, request):
    trained = request.getfixturevalue(name)
    forbidden = (PAD, UNKNOWN) if trained.codec.has_ends else (PAD, UNKNOWN, END)
    ids, total = greedy(trained, prompt, 7, forbidden)
    (found,) = written(trained, [prompt], config(temperature=0.0, max_new_tokens=7))
    assert found.text == trained.codec.text(ids) and found.num_tokens == len(ids)
    assert found.log_prob == pytest.approx(total, rel=1e-4)
    assert found.ended == (ids[-1] == END)


def test_a_prompt_leaves_the_carry_that_it_leaves_in_training(endless, monkeypatch):
    """As a lane that is read window by window, from the reset at its beginning on; prompts of other lengths beside."""
    monkeypatch.setattr(writer, "_READ_AT_ONCE", 8)
    model, texts = model_of(endless), ["abcd abc ab a. " * 3, "", "ab", "abcd abc", "abcd abc "]
    prompts = [endless.codec.prompt(text) for text in texts]
    writing = writer._read(endless, endless.codec, prompts, keys(len(prompts)))
    for row, prompt in enumerate(prompts):
        assert writing.last[row] == prompt[-1]
        np.testing.assert_array_equal(np.flatnonzero(writing.seen[row]), np.unique(prompt))
        carry = model.initial_carry(1)
        if len(prompt) > 1:
            lanes = Lanes(Ragged.from_rows([prompt[1:]]), 1, min(5, len(prompt) - 1), boundary=END, seed=0)
            for step in range(lanes.steps_per_epoch):
                batch = jax.tree.map(jnp.asarray, lanes.batch(step))
                mask = batch["weights"] > 0
                carry = model.read(batch["tokens"], carry=carry, resets=batch["resets"], mask=mask).carry
        for a, b in zip(jax.tree.leaves(writing.carry), jax.tree.leaves(carry), strict=True):
            np.testing.assert_allclose(a[row], b[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [254, 255, 256, 257, 258, 700])
def test_prompts_around_the_reading_window(endless, size):
    prompt = ("abcd abc ab a. " * 60)[:size]
    (found,) = written(endless, [prompt], config(temperature=0.0, max_new_tokens=1))
    scores = log_probs_after(endless, endless.codec.prompt(prompt))[-1]
    assert found.log_prob == pytest.approx(scores[3:].max(), rel=1e-4)


def test_a_very_long_prompt_is_read_window_by_window(endless):
    """20,000 tokens: no array that the model sees is longer than a window, and their beginning counts."""
    shapes = []

    def apply(function, batch, *more, **static):
        shapes.extend(np.shape(leaf) for leaf in jax.tree.leaves(batch))
        return endless(function, batch, *more, **static)

    prompt = endless.codec.prompt("abcd abc " * 2222)
    (found,) = texts_after(apply, endless.codec, [prompt], config(temperature=0.0, max_new_tokens=1), keys(1))
    assert len(prompt) > 19_990 and set(shapes) == {(1, 256)}
    tail = written(endless, ["abcd abc " * 30], config(temperature=0.0, max_new_tokens=1))
    assert found.log_prob == pytest.approx(tail[0].log_prob, rel=1e-3)


@pytest.mark.parametrize("name", ["endless", "ending", "in_bytes"])
def test_chunks_change_nothing(name, request):
    """Token by token, in sevens or at once: the same texts, numbers and ends, each exactly as long as may be."""
    trained = request.getfixturevalue(name)
    prompts, settings = ["a", "", "ab", "b"], config(max_new_tokens=20, temperature=1.5)
    one, seven, more = (written(trained, prompts, settings, at_once=n)[-1] for n in (1, 7, 32))
    for a, b, c in zip(one, seven, more, strict=True):
        assert a.text == b.text == c.text and a.num_tokens == b.num_tokens == c.num_tokens
        assert a.ended == b.ended == c.ended
        np.testing.assert_allclose([b.log_prob, c.log_prob], a.log_prob, rtol=1e-5)
    assert all(a.num_tokens == 20 or a.ended for a in one)
    if name == "ending":
        assert sum(a.ended for a in one) > 0
    if name == "endless":
        assert {(a.num_tokens, len(a.text)) for a in one} == {(20, 20)}


def test_log_prob_is_that_of_the_tokens_written(ending):
    """Under the model itself, whatever was drawn from; the end included."""
    settings = config(temperature=2.0, top_k=4, max_new_tokens=9)
    for prompt, found in zip(("a", "ab"), written(ending, ["a", "ab"], settings, seed=3), strict=True):
        start = ending.codec.prompt(prompt)
        ids = [*ending.codec.prompt(found.text)[1:], *([END] if found.ended else [])]
        scores = log_probs_after(ending, [*start, *ids[:-1]])[len(start) - 1 :]
        assert found.num_tokens == len(ids)
        assert found.log_prob == pytest.approx(sum(row[token] for row, token in zip(scores, ids)), rel=1e-4)


def test_the_same_seed_writes_the_same_text_and_others_others(endless):
    settings = config(temperature=2.0)

    def texts(**knobs):
        (answer,) = answers(endless, endless.codec, with_overrides(settings, knobs), ["ab"])
        return answer["texts"]

    assert texts() == texts() != texts(sampling_seed=1)
    three = texts(num_texts=3)
    assert len(set(three)) == 3 and three[0] == texts()[0]
    again = list(answers(endless, endless.codec, settings, ["ab", "ab"]))
    assert again[0]["texts"] != again[1]["texts"]  # two prompts are two draws


@pytest.mark.parametrize("stops", [("b",), ("ca", "d"), ("abc", "c"), ("c", "abc"), ("b.", "zzz"), ("\\n",)])
@pytest.mark.parametrize("at_once", [1, 5, 32])
def test_texts_end_before_the_first_stop_string_wherever_chunks_end(endless, stops, at_once):
    """What a reader of the stream would do who looks for them after every character."""
    settings = config(temperature=3.0, max_new_tokens=60)
    prompts = ["a", "ab", " ", "."]
    free = written(endless, prompts, settings)
    found = written(endless, prompts, with_overrides(settings, {"stop": stops}), at_once=at_once)[-1]
    for whole, cut in zip(free, found, strict=True):
        for size in range(1, len(whole.text) + 1):
            places = [place for stop in stops if (place := whole.text[:size].find(stop)) >= 0]
            if places:
                break
        assert cut.text == (whole.text[: min(places)] if places else whole.text)
        assert (cut.num_tokens, cut.ended) == (size, bool(places))
    assert any(one.ended for one in found) == (stops != ("\\n",))


def test_a_stopped_text_has_the_probability_of_its_tokens_alone(endless):
    settings = config(temperature=3.0, max_new_tokens=60, stop=("d",))
    (found,) = written(endless, ["a"], settings)
    start = endless.codec.prompt("a")
    ids = endless.codec.prompt(found.text + "d")[1:]
    scores = log_probs_after(endless, [*start, *ids[:-1]])[len(start) - 1 :]
    assert found.num_tokens == len(ids)
    assert found.log_prob == pytest.approx(sum(row[token] for row, token in zip(scores, ids)), rel=1e-4)


def test_stop_strings_are_spelt_as_in_c():
    """For flags, whose lists lose commas, and spaces around them."""
    stops = WritingConfig(stop=("\\n\\n", "a\\tb", ".\\x20", "\\x2C", "日", "\\x2", "c:\\dir")).stops()
    assert stops == ("\n\n", "a\tb", ". ", ",", "日", "\\x2", "c:\\dir")


def test_an_empty_stop_string_is_refused(endless):
    with pytest.raises(UserError, match="--stop=a,: one of these is empty"):
        written(endless, ["a"], config(stop=("a", "")))


def test_knobs_reach_the_draws(endless):
    """Where they leave one token, it is the most probable one."""
    (best,) = written(endless, ["a"], config(temperature=0.0))
    for knobs in ({"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-6}):
        (found,) = written(endless, ["a"], config(**{"temperature": 5.0} | knobs))
        assert found.text == best.text, knobs


@pytest.mark.parametrize("knobs", [{"top_k": 2}, {"top_p": 0.4}, {"typical_p": 0.3}])
def test_only_likely_tokens_are_drawn(endless, knobs):
    """At every step one of those that the cut leaves, by its definition."""
    (found,) = written(endless, ["ab"], config(temperature=1.0, max_new_tokens=40, **knobs))
    start = endless.codec.prompt("ab")
    ids = endless.codec.prompt(found.text)[1:]
    drawn = set()
    for row, token in zip(log_probs_after(endless, [*start, *ids[:-1]])[len(start) - 1 :], ids, strict=True):
        scores = np.where(np.arange(len(row)) < 3, -np.inf, row)
        p = np.exp(scores) / np.exp(scores).sum()
        if "top_k" in knobs:
            allowed = np.argsort(-p)[:2]
        else:
            entropy = -sum(x * np.log(x) for x in p if x)
            order = np.argsort(-p) if "top_p" in knobs else np.argsort(np.abs(-np.log(np.maximum(p, 1e-30)) - entropy))
            allowed = order[: 1 + int(np.searchsorted(np.cumsum(p[order]), *knobs.values()))]
        assert token in allowed
        drawn.add(len(allowed))
    assert len(ids) == 40 and drawn


def test_the_penalty_is_on_logits(ending):
    """Keskar et al. (2019): positive ones divided, negative ones multiplied, also of the prompt's tokens."""
    penalty, positive = 3.0, False
    tokens = ending.codec.prompt("ab a").tolist()
    step, carry = stepper(ending), model_of(ending).initial_carry(1)
    for position in itertools.count():
        carry, logits = step(carry, jnp.array(tokens[position : position + 1], jnp.int32))
        if position >= 4:
            scores = np.asarray(logits[0], np.float64)
            seen = np.isin(np.arange(len(scores)), tokens)
            penalised = np.where(seen, np.where(scores > 0, scores / penalty, scores * penalty), scores)
            tokens.append(3 + int(penalised[3:].argmax()) if penalised[3:].max() > penalised[END] else END)
            positive |= bool((seen & (scores > 0)).any())
            if tokens[-1] == END or len(tokens) == 11:
                break
    (found,) = written(ending, ["ab a"], config(temperature=0.0, repetition_penalty=penalty, max_new_tokens=6))
    assert found.text == ending.codec.text(tokens[5:]) and found.num_tokens == len(tokens) - 5 > 1
    assert positive


def best_of_all(trained, prompt, limit):
    """Every text of at most so many tokens, those that are cut and those that end, with log p; the best first."""
    tokens = trained.codec.prompt(prompt).tolist()
    letters = range(3, trained.codec.vocabulary_size)
    step, found = stepper(trained), {}

    def go_on(carry, last, ids, total):
        if len(ids) == limit:
            found[tuple(ids)] = total
            return
        carry, logits = step(carry, jnp.array([last], jnp.int32))
        scores = np.asarray(jax.nn.log_softmax(logits[0]), np.float64)
        if trained.codec.has_ends:
            found[(*ids, END)] = total + scores[END]
        for letter in letters:
            go_on(carry, letter, [*ids, letter], total + scores[letter])

    carry = model_of(trained).initial_carry(1)
    for token in tokens[:-1]:
        carry, _ = step(carry, jnp.array([token], jnp.int32))
    go_on(carry, tokens[-1], [], 0.0)
    return sorted(found.items(), key=lambda item: -item[1])


@pytest.mark.parametrize("texts", [["ab ab"], ["ab", "b a"]])
def test_a_wide_beam_is_exhaustive_search(texts):
    trained = trained_of(texts, scale=5.0)
    expected = best_of_all(trained, "a", 4)
    settings = config(writing="beam", beam_size=200, num_texts=6, max_new_tokens=4)
    found = searched(trained, trained.codec, trained.codec.prompt("a"), settings)
    np.testing.assert_allclose([one.log_prob for one in found], [total for _, total in expected[:6]], rtol=1e-4)
    for one, (ids, _) in zip(found, expected, strict=False):
        assert (one.text, one.num_tokens) == (trained.codec.text(ids), len(ids))
        assert one.ended == (ids[-1] == END)
    assert any(one.ended for one in found) == trained.codec.has_ends
    normalised = sorted(expected, key=lambda item: -item[1] / ((5 + len(item[0])) / 6) ** 2.0)
    (best,) = searched(
        trained,
        trained.codec,
        trained.codec.prompt("a"),
        with_overrides(settings, {"num_texts": 1, "length_penalty": 2.0}),
    )
    assert best.log_prob == pytest.approx(normalised[0][1], rel=1e-4)


@pytest.mark.parametrize("name", ["endless", "ending"])
def test_a_beam_of_one_is_greedy_and_texts_without_ends_are_as_long_as_they_may_be(name, request):
    trained = request.getfixturevalue(name)
    prompt = trained.codec.prompt("ab")
    (one,) = searched(trained, trained.codec, prompt, config(writing="beam", beam_size=1))
    (best,) = written(trained, ["ab"], config(temperature=0.0))
    assert one[:1] + one[2:] == best[:1] + best[2:] and one.log_prob == pytest.approx(best.log_prob, rel=1e-4)
    several = searched(trained, trained.codec, prompt, config(writing="beam", beam_size=4, num_texts=4))
    totals = [text.log_prob for text in several]
    assert len({text.text for text in several}) == 4 and totals == sorted(totals, reverse=True)
    if name == "endless":
        assert {(text.num_tokens, text.ended) for text in several} == {(20, False)}


def test_a_beam_finds_no_more_texts_than_there_are():
    trained = trained_of(["ab ab"])
    (answer,) = answers(trained, trained.codec, config(writing="beam", num_texts=5, max_new_tokens=1), ["a"])
    assert sorted(answer["texts"]) == [" ", "a", "b"]
    assert np.isfinite(answer["log_prob"]).all() and answer["num_tokens"] == [1, 1, 1]
    with pytest.raises(UserError, match="--num_texts=6 is more than --beam_size=5"):
        list(answers(trained, trained.codec, config(writing="beam", num_texts=6), ["a"]))


def test_a_broken_model_says_null(endless):
    broken = endless._replace(params=jax.tree.map(lambda leaf: leaf * jnp.nan, endless.params))
    for writing in ("sample", "beam"):
        settings = config(writing=writing, output_format="json")
        (answer,) = answers(broken, broken.codec, settings, ["a"])
        assert json.loads(rendered(settings, answer), parse_constant=pytest.fail)["log_prob"] == [None]


def test_unknown_characters_are_said_once_a_prompt(endless, capsys):
    prompts = ["aXbY", "ab", "", "ZZZ"]
    found = list(answers(endless, endless.codec, config(max_new_tokens=3), prompts))
    assert [answer["prompt"] for answer in found] == prompts
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "prompt 1: 2 of its 4 characters are not in the vocabulary" in said[0] and "prompt 4: 3 of its 3" in said[1]
    assert all(len(answer["texts"][0]) == 3 for answer in found)
    assert not any(mark in answer["texts"][0] for answer in found for mark in ("<unk>", "[END]"))


class Terminal(io.StringIO):
    """Remembers what was on it whenever somebody made it show that."""

    def __init__(self):
        super().__init__()
        self.shown = []

    def isatty(self):
        return True

    def flush(self):
        self.shown.append(self.getvalue())


@pytest.mark.parametrize(
    ("name", "knobs"),
    [
        ("endless", {}),
        ("endless", {"stop": ("cdd", "dd", "ab.")}),
        ("endless", {"stop": ("b",), "temperature": 3.0}),
        ("ending", {"temperature": 2.0}),
        ("in_bytes", {"temperature": 1.0}),
    ],
)
def test_a_terminal_shows_the_text_as_it_grows(name, knobs, monkeypatch, request):
    """What was shown is never taken back, and in the end it is the text of the JSON line."""
    trained, settings = request.getfixturevalue(name), config(max_new_tokens=40, **knobs)
    (answer,) = answers(trained, trained.codec, with_overrides(settings, {"output_format": "json"}), ["ab"])
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    for found in answers(trained, trained.codec, settings, Lines(iter(["ab"]))):
        terminal.write(rendered(settings, found))
    assert found == answer
    assert terminal.getvalue() == f"ab{answer['texts'][0]}\n\n"
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(terminal.shown))
    assert len(terminal.shown) == answer["num_tokens"][0]
    if name == "endless" and not knobs:
        assert [len(text) for text in terminal.shown] == list(range(3, 43))


def test_a_program_that_asks_for_texts_gets_them_and_a_terminal_nothing(endless, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    (answer,) = answers(endless, endless.codec, config(max_new_tokens=5), ["ab"])
    assert len(answer["texts"][0]) == 5 and not terminal.getvalue()


@pytest.mark.parametrize("num_texts", [1, 2, 5])
def test_which_prompts_are_answered_together_does_not_show(endless, num_texts, monkeypatch):
    """Five prompts, at most four texts side by side: in one go, in groups, one by one."""
    settings, prompts = config(num_texts=num_texts, max_new_tokens=9), ["ab", "", "abcd abc", "a", "c d"]
    together = list(answers(endless, endless.codec, settings, prompts))
    monkeypatch.setattr("rnn_jax.models.texts._ROWS_AT_ONCE", 4)
    for found, expected in zip(answers(endless, endless.codec, settings, prompts), together, strict=True):
        assert found.pop("log_prob") == pytest.approx(expected.pop("log_prob"), rel=1e-5)
        assert found == expected
    assert [found["prompt"] for found in together] == prompts


def test_a_person_is_answered_line_by_line(endless):
    asked = []

    def typed():
        for line in ("ab", "cd"):
            asked.append(line)
            yield line

    for number, _ in enumerate(answers(endless, endless.codec, config(), Lines(typed(), one_by_one=True)), start=1):
        assert len(asked) == number


def test_line_ends_in_prompts(endless):
    plain, escaped = config(max_new_tokens=3), config(max_new_tokens=3, escapes=True)
    asked = r"a\nb\t\x20c\q"
    (as_it_is,), (read,) = (answers(endless, endless.codec, settings, [asked]) for settings in (plain, escaped))
    assert as_it_is["prompt"] == asked and read["prompt"] == "a\nb\t c\\q"
    (same,) = answers(endless, endless.codec, plain, ["a\nb\t c\\q"])
    assert read == same


def test_a_program_sets_knobs_as_flags_do(endless):
    ids, _ = greedy(endless, "ab", 6, (PAD, UNKNOWN, END))
    (found,) = endless.answer(["ab"], temperature=0.0, max_new_tokens="6")
    assert found["texts"] == [endless.codec.text(ids)]
    (cut,) = endless.answer(["ab"], temperature=0.0, max_new_tokens=6, stop=[endless.codec.text(ids[3:4])])
    assert found["texts"][0].startswith(cut["texts"][0]) and len(cut["texts"][0]) <= 3
    for knobs, said in [
        ({"hidden_size": (9,)}, "hidden_size: part of what was trained"),
        ({"temprature": 1.0}, "unknown configuration field 'temprature'.*temperature"),
        ({"top_p": 2.0}, "top_p=2.0: "),
    ]:
        with pytest.raises(UserError, match=said):
            endless.answer(["ab"], **knobs)
    assert repr(endless).startswith("Trained(language_model, ") and "parameters)" in repr(endless)


def test_the_same_text_several_times_is_refused(endless):
    with pytest.raises(UserError, match=r"--temperature=0 .*--num_texts=3"):
        list(answers(endless, endless.codec, config(temperature=0.0, num_texts=3), ["a"]))
    assert list(answers(endless, endless.codec, config(temperature=0.0, max_new_tokens=2), ["a"]))


def test_half_a_character_is_not_shown(in_bytes, monkeypatch):
    """A model that says 日 and no more: nothing is on the terminal until its three bytes are there."""
    codec = in_bytes.codec
    ids = codec.prompt("日本a")[1:]

    def apply(function, batch, writing, *more, num_tokens=0, **static):
        if function is writer.read_prompts:
            return in_bytes(function, batch, writing)
        new = np.array([ids[int(writing.t) : int(writing.t) + num_tokens]])
        return writing._replace(t=writing.t + num_tokens), new, np.zeros(new.shape)

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    list(answers(apply, codec, config(max_new_tokens=7), Lines(iter([">"]))))
    assert terminal.shown == [">", ">", ">日", ">日", ">日", ">日本", ">日本a"]


def test_several_texts_and_formats(endless, monkeypatch):
    settings = config(num_texts=2, max_new_tokens=4)
    (answer,) = answers(endless, endless.codec, settings, ["ab"])
    one, two = answer["texts"]
    assert json.loads(rendered(settings, answer)) == answer  # no terminal: JSON
    as_text = with_overrides(settings, {"output_format": "text"})
    assert rendered(as_text, answer) == f"ab{one}\n\nab{two}\n\n"
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert list(answers(endless, endless.codec, settings, ["ab"])) == [answer] and not sys.stdout.getvalue()
    assert rendered(settings, answer) == f"ab{one}\n\nab{two}\n\n"
    assert json.loads(rendered(with_overrides(settings, {"output_format": "json"}), answer)) == answer


@pytest.mark.parametrize("kind", ["char", "word", "bpe", "byte"])
def test_texts_go_on_as_they_are_written(kind):
    """A prompt and what follows are one text, with a space between words; samples show where one ends."""
    text = "the cat sat, on the mat. " * 4
    trained = trained_of([text], tokenizer=kind, scale=2.0)
    settings = config(temperature=0.7, max_new_tokens=6)
    (answer,) = answers(trained, trained.codec, settings, ["the cat"])
    ids = trained.codec.prompt("the cat" + answer["texts"][0])
    if kind == "word":
        assert answer["texts"][0][0] in " ,." and len(ids) == 1 + 2 + 6
    part = LanguagePart("a.txt", trained.codec.encode([text]), len(text), None, lambda: None)
    samples = sample_texts(trained, trained.codec, part)
    assert len(samples) == 3 and all("▸" in sample for sample in samples)
    assert samples == sample_texts(trained, trained.codec, part)
    assert text.startswith(samples[0].partition("▸")[0].rstrip("\ufffd"))


def test_samples_of_texts_that_end_begin_with_nothing(ending):
    part = LanguagePart("a.txt", ending.codec.encode(TEXTS), 13, None, lambda: None)
    samples = sample_texts(ending, ending.codec, part)
    assert len(samples) == 3 and not any("▸" in sample for sample in samples)
