"""The embedded reviews: counting words is not enough, labels are without noise, and preparing them is safe."""

import hashlib
import os
import random
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from rnn_jax.data.classification import LabelledTextConfig, load_classification
from rnn_jax.data.synthetic.prepare import cache_dir, prepare_synthetic
from rnn_jax.data.synthetic.review_grammar import CHOICES, unique_reviews, write_review
from rnn_jax.errors import UserError
from rnn_jax.text.vocabulary import encode, fit_tokenizer


@pytest.fixture(scope="module")
def reviews():
    return load_classification(LabelledTextConfig())


@pytest.fixture(scope="module")
def sentences():
    return list(unique_reviews(40_000, seed=11))


@pytest.fixture(scope="module")
def many_reviews():
    """Sentence → label of reviews by another seed; no sentence may have two."""
    label_of = {}
    rng = random.Random(11)
    for _ in range(50_000):
        positive = rng.random() < 0.5
        assert label_of.setdefault(write_review(positive, rng), positive) == positive
    return label_of


def bag_of_words_accuracy(reviews, longest):
    vectorizer = CountVectorizer(ngram_range=(1, longest), token_pattern=r"\w+n't|\w+|[^\w\s]")
    model = LogisticRegression(max_iter=200)
    model.fit(vectorizer.fit_transform(reviews.train.texts), reviews.train.labels)
    return model.score(vectorizer.transform(reviews.test.texts), reviews.test.labels)


def test_a_bag_of_words_is_not_enough(reviews):
    assert bag_of_words_accuracy(reviews, longest=1) < 0.65  # asked for: below 0.80; found: 0.55
    assert 0.6 < bag_of_words_accuracy(reviews, longest=2) < 0.80  # pairs of words: 0.70


def test_shape_of_the_data(reviews):
    assert [len(part.texts) for part in (reviews.train, reviews.validation, reviews.test)] == [20_000, 2_000, 2_000]
    assert reviews.label_names == ("neg", "pos")
    assert reviews.notes == ()
    for part in (reviews.train, reviews.validation, reviews.test):
        assert abs(np.mean(part.labels) - 0.5) < 0.03
    tokenizer = fit_tokenizer(reviews.train.texts)
    lengths = encode(tokenizer, reviews.train.texts).lengths
    assert 200 < tokenizer.get_vocab_size() < 500
    assert 12 < lengths.mean() < 25
    assert lengths.max() < 60
    assert (encode(tokenizer, reviews.test.texts).values > 1).all()  # no unknown words


def test_no_sentence_is_in_two_splits_or_has_two_labels(reviews, sentences):
    texts = reviews.train.texts + reviews.validation.texts + reviews.test.texts
    assert len(set(texts)) == len(texts) == 24_000
    label_of = {}
    for text, positive in sentences:
        assert label_of.setdefault(text, positive) == positive
    for part in (reviews.train, reviews.validation, reviews.test):
        for text, label in zip(part.texts, part.labels, strict=True):
            assert label_of.get(text, bool(label)) == bool(label)


def adjective_is_positive(word):
    assert word in CHOICES["+adj"] + CHOICES["-adj"]
    return word in CHOICES["+adj"]


@pytest.mark.parametrize(
    ("pattern", "sign"),
    [
        (r"The \w+ was (\w+)\.", 1),
        (r"The \w+ was not (\w+)\.", -1),
        (r"The \w+ wasn't (\w+) *\.", -1),
        (r"I would not say that the \w+ was (\w+)\.", -1),
        (r"I would not say that the \w+ was not (\w+)\.", 1),
        (r".*, but the \w+ was (\w+)\.", 1),
        (r".*, but the \w+ was anything but (\w+)\.", -1),
        (r"The \w+ was (\w+), (?:although|even though) .*", 1),
        (r"(?:Although|While) .*, the \w+ was not (\w+)\.", -1),
        (r"The \w+ said that the \w+ was (\w+), and they were wrong\.", -1),
        (r"(?:My|The) \w+ said that the \w+ was (\w+), and they were right\.", 1),
        (r"It went from (\w+) to \w+ .*", -1),
        (r"It was (\w+), not \w+\.", 1),
    ],
)
def test_labels_as_a_reader_understands_them(pattern, sign, sentences):
    matches = 0
    for text, positive in sentences:
        if match := re.fullmatch(pattern, text):
            matches += 1
            assert positive == (adjective_is_positive(match[1]) == (sign > 0)), text
    assert matches >= 5


def test_the_sentences_belong_to_their_version():
    # A cache folder is found by the builder's VERSION: sentences that change need a new one, and a new digest here.
    text = "".join(f"{review}{positive}" for review, positive in unique_reviews(24_000, seed=0))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "89e5c6892d7f911f"


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"RNN_JAX_CACHE": "/a/b", "XDG_CACHE_HOME": "/c"}, "/a/b"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/rnn_jax"),
        ({"HOME": "/home/someone"}, "/home/someone/.cache/rnn_jax"),
    ],
)
def test_where_the_cache_is(monkeypatch, environment, folder):
    for name in ("RNN_JAX_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert str(cache_dir()) == folder


PREPARE = (
    "import sys\n"
    "from rnn_jax.data.datasets import open_split\n"
    "print(len(open_split('synthetic_reviews', 'train')), end='')\n"
)


def start(cache):
    return subprocess.Popen(
        [sys.executable, "-c", PREPARE],
        env=os.environ | {"RNN_JAX_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_and_one_that_is_killed(tmp_path):
    datasets = tmp_path / "datasets"
    killed = start(tmp_path)
    while not list(datasets.glob(".preparing-*/*/*/*train*")):  # in the middle of writing
        assert killed.poll() is None
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    assert not (datasets / "synthetic_reviews").exists() or not list((datasets / "synthetic_reviews").iterdir())
    leftover = next(datasets.glob(".preparing-*"))

    both = [start(tmp_path), start(tmp_path)]
    outputs = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert [output for output, _ in outputs] == ["20000", "20000"]  # and nothing of TFDS on stdout
    assert "Generating" not in outputs[0][1] + outputs[1][1]

    assert list(datasets.glob(".preparing-*")) == [leftover]  # perhaps somebody's who is still at it
    os.utime(leftover, (0, 0))
    (datasets / "synthetic_reviews" / "1.0.0").rename(tmp_path / "away")
    os.environ["RNN_JAX_CACHE"], before = str(tmp_path), os.environ["RNN_JAX_CACHE"]
    try:
        prepare_synthetic("synthetic_reviews")
    finally:
        os.environ["RNN_JAX_CACHE"] = before
    assert list(datasets.glob(".preparing-*")) == []


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RNN_JAX_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"Cannot prepare the dataset 'synthetic_reviews' in .*Set .*RNN_JAX_CACHE"):
        prepare_synthetic("synthetic_reviews")
