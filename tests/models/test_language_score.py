"""The score of a language model is that of a plain loop: all tokens, each once, given all before it."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from language_model_runs import model_of, stepper, trained_of

from rnn_jax.data.batching import Ragged
from rnn_jax.models import language_score
from rnn_jax.models.language_passage import draw_passage
from rnn_jax.models.language_score import document_nats, lane_nats
from rnn_jax.text.streams import LanguagePart

END, V = 2, 9


@pytest.fixture(scope="module")
def trained():
    return trained_of(["abcdef"], scale=4.0, cell=("gru", "lstm"), num_layers=2)


@pytest.fixture(scope="module")
def plain(trained):
    """Nats of each token of a text: a Python loop from the end token on."""
    model = model_of(trained)
    step = stepper(trained)

    def nats(tokens):
        carry, last, found = model.initial_carry(1), END, []
        for token in tokens:
            carry, logits = step(carry, jnp.array([last], jnp.int32))
            scores = np.asarray(logits[0], np.float64)
            found.append(np.log(np.exp(scores).sum()) - scores[token])
            last = int(token)
        return np.array(found)

    return nats


@pytest.fixture
def short_windows(monkeypatch):
    """Windows of 4 to 16 steps."""
    monkeypatch.setattr(language_score, "_LONGEST_WINDOW", 16)
    monkeypatch.setattr(language_score, "_SHORTEST_WINDOW", 4)


def text_of(size, seed=0):
    return np.random.default_rng(seed).integers(3, V, size).astype(np.int32)


@pytest.mark.usefixtures("short_windows")
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 9, 15, 16, 17, 31, 32, 33, 50])
def test_a_long_text_is_read_from_its_first_token_to_its_last(trained, plain, size):
    text = text_of(size)
    found = document_nats(trained, Ragged.from_rows([text]), 8, END)
    np.testing.assert_allclose(found, plain(text), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("short_windows")
@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_documents_side_by_side_have_the_nats_of_each_alone(trained, plain, batch_size):
    """Of lengths around those of windows, of none, more documents than a batch and fewer."""
    lengths = [5, 0, 16, 17, 1, 4, 33, 0, 3, 40, 2]
    rows = [text_of(length, seed) for seed, length in enumerate(lengths)]
    found = document_nats(trained, Ragged.from_rows(rows), batch_size, END)
    np.testing.assert_allclose(found, np.concatenate([plain(row) for row in rows]), rtol=1e-4, atol=1e-5)
    assert found.sum() == pytest.approx(sum(plain(row).sum() for row in rows), rel=1e-5)


def test_the_windows_of_users_give_the_same(trained, plain):
    rows = [text_of(length, seed) for seed, length in enumerate((1025, 16, 2))]
    found = document_nats(trained, Ragged.from_rows(rows), 2, END)
    np.testing.assert_allclose(found, np.concatenate([plain(row) for row in rows]), rtol=1e-3, atol=1e-4)


def test_no_documents_need_no_nats(trained):
    assert document_nats(trained, Ragged.from_rows([[], []]), 4, END).sum() == 0


@pytest.mark.usefixtures("short_windows")
@pytest.mark.parametrize(("size", "lanes"), [(1, 4), (3, 4), (9, 4), (50, 4), (67, 3), (40, 1)])
def test_lanes_use_all_tokens_and_each_begins_anew(trained, size, lanes):
    text, model = text_of(size), model_of(trained)
    ends = np.linspace(0, size, min(lanes, size) + 1).round().astype(int)
    step, expected = stepper(trained), 0.0
    for start, end in itertools.pairwise(ends):
        carry, last = model.initial_carry(1), text[start - 1] if start else END
        for token in text[start:end]:
            carry, logits = step(carry, jnp.array([last], jnp.int32))
            expected -= float(jax.nn.log_softmax(logits[0])[token])
            last = token
    assert lane_nats(trained, Ragged.from_rows([text]), lanes, END) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("size", [2, 600])
def test_a_passage_shows_the_nats_of_the_score(trained, plain, size):
    """Of the first tokens of a part, 512 at most; end tokens begin another document."""
    rows = [[*text_of(size), END], [*text_of(3, seed=1), END]]
    pages, seen = [], []

    def apply(function, batch, *more):
        pages.append(trained(function, batch, *more))
        seen.append(batch["labels"][0])
        return pages[-1]

    part = LanguagePart("a.txt", Ragged.from_rows(rows), 2 * size, None, lambda: None)
    page = draw_passage(apply, trained.codec, part, "a title")
    (nats, best, _), (labels,) = pages[0], seen
    expected = np.concatenate([plain(row) for row in rows])[:512]
    np.testing.assert_array_equal(labels, np.concatenate(rows)[:512])
    np.testing.assert_allclose(nats[0], expected, rtol=1e-3, atol=1e-4)
    assert best.shape == (1, len(labels), 3) and "a title" in page
    assert size == 600 or "⏹" in page


@pytest.mark.parametrize("kind", ["word", "bpe", "byte"])
def test_passages_of_all_units_and_of_fewer_outputs_than_are_drawn(kind):
    text = "the cat sat\non <the> mat & ü. " * 2
    trained = trained_of([text], tokenizer=kind, hidden_size=(2,), embedding_size=2)
    part = LanguagePart("a.txt", trained.codec.encode([text]), len(text), None, lambda: None)
    page = draw_passage(trained, trained.codec, part, "a.txt")
    assert "unit 0" in page and "unit 1" in page and "unit 2" not in page
    assert "<the>" not in page
