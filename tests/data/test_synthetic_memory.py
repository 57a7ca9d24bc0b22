"""The embedded memory task: the first colour is the class, and nothing else says so."""

import hashlib
from collections import Counter

import numpy as np
import pytest
import tensorflow_datasets as tfds
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from rnn_jax.data.classification import LabelledTextConfig, load_classification
from rnn_jax.data.datasets import open_split
from rnn_jax.data.synthetic.memory_grammar import COLOURS, FILLERS, unique_texts

NAMES = ("red", "orange", "yellow", "green", "blue", "purple", "brown", "white")


@pytest.fixture(scope="module")
def data():
    return load_classification(LabelledTextConfig(dataset="synthetic_memory"))


@pytest.fixture(scope="module")
def rows(data):
    """(words, class name) of every text of every part."""
    parts = (data.train, data.validation, data.test)
    return [(text.split(), NAMES[label]) for part in parts for text, label in zip(part.texts, part.labels, strict=True)]


def accuracy(data, vectorizer):
    model = LogisticRegression(max_iter=300)
    model.fit(vectorizer.fit_transform(data.train.texts), data.train.labels)
    return model.score(vectorizer.transform(data.test.texts), data.test.labels)


def test_the_first_colour_is_the_class(rows):
    assert all(next(word for word in words if word in NAMES) == name for words, name in rows)
    assert all(words[1] == name for words, name in rows)


def test_every_text_has_every_colour_once(rows):
    assert COLOURS == NAMES and not set(NAMES) & set(FILLERS)
    for words, _ in rows:
        assert all(words.count(name) == 1 for name in NAMES)
        assert set(words) <= {*NAMES, *FILLERS}


def test_words_and_pairs_of_words_tell_nothing(data):
    """Chance is 0.125 ± 0.01 on 1,000 texts; the same classifier is always right if it is shown the second word."""
    assert accuracy(data, CountVectorizer()) < 0.165
    assert accuracy(data, CountVectorizer(ngram_range=(2, 2))) < 0.165
    assert accuracy(data, CountVectorizer(analyzer=lambda text: text.split()[1:2])) == 1.0


def test_only_a_long_memory_excludes_many_classes(rows):
    """Who remembers the last 30 words can exclude the colours among them: about one guess in five is right then."""
    chances = [1 / (8 - len(set(words[-30:]) & set(NAMES))) for words, _ in rows]
    assert 0.16 < np.mean(chances) < 0.20


def test_places_and_lengths_are_spread(rows):
    lengths = np.array([len(words) for words, _ in rows])
    assert (lengths.min(), lengths.max()) == (62, 122) and 91 < lengths.mean() < 93
    # A colour that is not the first: anywhere in the text behind it.
    places = [(words.index(name) - 2) / (len(words) - 2) for words, first in rows for name in NAMES if name != first]
    shares = np.histogram(places, bins=10, range=(0, 1))[0] / len(places)
    assert (abs(shares - 0.1) < 0.012).all()
    fillers = Counter(word for words, _ in rows for word in words if word in FILLERS)
    assert len(fillers) == 24 and max(fillers.values()) < 1.05 * min(fillers.values())


def test_shape_of_the_data(data):
    assert [len(part.texts) for part in (data.train, data.validation, data.test)] == [4_000, 1_000, 1_000]
    assert data.label_names == NAMES and data.notes == ()
    counts = np.bincount(data.train.labels, minlength=8)
    assert counts.min() > 420 and counts.max() < 580  # 500 ± 21 each
    features = open_split("synthetic_memory", "test").dataset_info.features
    assert isinstance(features["text"], tfds.features.Text) and isinstance(features["label"], tfds.features.ClassLabel)


def test_no_text_is_there_twice(rows):
    assert len({" ".join(words) for words, _ in rows}) == len(rows) == 6_000


def test_the_texts_belong_to_their_version(rows):
    # A cache folder is found by the builder's VERSION: texts that change need a new one, and a new digest here.
    prepared = sorted(" ".join(words) for words, _ in rows)  # TFDS shuffles
    assert prepared == sorted(text for text, _ in unique_texts(6_000, seed=0))
    assert hashlib.sha256("\n".join(prepared).encode()).hexdigest()[:16] == "ee56a34451a10a9f"


def test_the_texts_are_a_function_of_the_seed():
    texts = list(unique_texts(20, seed=3))
    assert texts == list(unique_texts(30, seed=3))[:20]
    assert not set(texts) & set(unique_texts(20, seed=4))
