"""Texts are in NFC, whoever typed them and wherever they are read: the same word is the same everywhere.

Whatever is written here is decomposed, as macOS and some keyboards have it; what is read must be composed.
"""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow_datasets as tfds
from data.builders import TEXTS, classes, prepare

from rnn_jax.data.classification import load_classification
from rnn_jax.data.classification_config import LabelledTextConfig
from rnn_jax.data.documents import read_part
from rnn_jax.data.language_config import LanguageConfig
from rnn_jax.data.lines import open_lines
from rnn_jax.data.paired import read_pairs_file
from rnn_jax.data.series.table import read_table
from rnn_jax.data.tagging import load_tagged_part, load_tagging
from rnn_jax.data.tagging_config import TaggedTextConfig, WordsConfig
from rnn_jax.text.embeddings import match_vectors, read_vectors
from rnn_jax.text.subwords import fit_subwords
from rnn_jax.text.tagging_codec import fit_tagging_codec
from rnn_jax.text.text_codec import fit_text_codec
from rnn_jax.text.text_config import TokenConfig
from rnn_jax.text.words import split_at_spaces, split_words

COMPOSED = ("caf\u00e9", "Z\u00fcrich", "\ud55c\uad6d")
CAFE, ZURICH, KOREA = ("cafe\u0301", "Zu\u0308rich", "\u1112\u1161\u11ab\u1100\u116e\u11a8")


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        (tmp_path / name).write_bytes(content.encode())
        return str(tmp_path / name)

    return write


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", f"text,label\n{CAFE},{ZURICH}\n{KOREA},x\n"),
        ("a.tsv", f"text\tlabel\n{CAFE}\t{ZURICH}\n{KOREA}\tx\n"),
        *(
            ("a.jsonl", "".join(json.dumps({"text": a, "label": b}, ensure_ascii=escaped) + "\n" for a, b in rows))
            for escaped in (True, False)
            for rows in [((CAFE, ZURICH), (KOREA, "x"))]
        ),
    ],
)
def test_labelled_files_and_class_names(write, name, content):
    path = write(name, content)
    data = load_classification(LabelledTextConfig(train_file=path, validation_file=path))
    assert data.train.texts == [COMPOSED[0], COMPOSED[2]]
    assert data.label_names == (COMPOSED[1], "x")


def test_datasets_and_their_class_names(tmp_path):
    text = {"text": tfds.features.Text(), "label": tfds.features.ClassLabel(names=[ZURICH, "x"])}
    prepare(tmp_path, "texts", text, {"train": [{"text": CAFE, "label": i} for i in (0, 1)] * 2})
    data = load_classification(LabelledTextConfig(dataset="texts", data_dir=str(tmp_path)))
    assert {*data.train.texts} == {COMPOSED[0]} and data.label_names == (COMPOSED[1], "x")
    tagged = {"tokens": TEXTS, "tags": classes(ZURICH, "x")}
    prepare(tmp_path, "words", tagged, {"train": [{"tokens": [CAFE, KOREA], "tags": [0, 1]}] * 4})
    words = load_tagging(TaggedTextConfig(dataset="words", data_dir=str(tmp_path)))
    assert words.train.tokens[0] == [COMPOSED[0], COMPOSED[2]] and words.train.labels[0] == [COMPOSED[1], "x"]


def test_a_tagger_knows_a_word_in_either_form(write):
    train = write("a.conll", "".join(f"{word} {label}\n\n" for word, label in zip(COMPOSED, "ABA", strict=True)) * 2)
    test = write("b.conll", f"{CAFE} A\n{ZURICH} B\n{KOREA} A\nnew B\n")
    config = TaggedTextConfig(train_file=train)
    data = load_tagging(config)
    codec = fit_tagging_codec(WordsConfig(), [list(COMPOSED)], data.label_names, scheme="")
    tokens = load_tagged_part(config, test, data.label_names, "").tokens
    assert tokens == [[*COMPOSED, "new"]]
    said = [split_words(f"{CAFE} {ZURICH} {KOREA} new"), split_at_spaces(f"{CAFE} {ZURICH} {KOREA} new")]
    for sentence in (*tokens, *said):
        encoded = codec.encode([sentence])
        known = encoded.word_ids[encoded.forms.row(0)]
        assert [codec.words[i - 2] if i > 1 else i for i in known] == [*COMPOSED, 1]
        assert (encoded.characters[1:4] != 1).all() and (encoded.characters[1:4, 0] > 1).all()  # 1: unknown


def test_ignored_labels(write):
    path = write("a.conll", f"a A\nb B\nc {ZURICH}\n\na A\nb B\n")
    data = load_tagging(TaggedTextConfig(train_file=path, validation_file=path, ignore_label=(ZURICH,)))
    assert data.label_names == ("A", "B") and data.train.labels[0] == ["A", "B", ""]


@pytest.mark.parametrize("form", [0, 1])
def test_names_of_columns(write, form):
    header, flag = (f"{CAFE},{ZURICH}", COMPOSED[:2]) if form else (",".join(COMPOSED[:2]), (CAFE, ZURICH))
    path = write("a.csv", f"{header}\na,A\nb,B\n")
    config = LabelledTextConfig(train_file=path, validation_file=path, text_field=flag[0], label_field=flag[1])
    assert load_classification(config).train.texts == ["a", "b"]
    pairs = read_pairs_file(write("a.tsv", f"{header}\na,A\n".replace(",", "\t")), *flag)
    assert (pairs.sources, pairs.targets) == (["a"], ["A"])


def test_pairs_and_what_a_translator_reads(write):
    pairs = read_pairs_file(write("a.tsv", f"{CAFE}\t{ZURICH}\n"))
    assert (pairs.sources, pairs.targets) == ([COMPOSED[0]], [COMPOSED[1]])
    both = read_pairs_file(f"{write('a.en', CAFE)},{write('a.de', ZURICH)}")
    assert (both.sources, both.targets) == ([COMPOSED[0]], [COMPOSED[1]])
    for kind in ("bpe", "char"):
        tokenizer = fit_subwords([" ".join(COMPOSED)] * 3, kind=kind, vocabulary_size=300)
        assert tokenizer.encode(f"{CAFE} {ZURICH}").ids == tokenizer.encode(" ".join(COMPOSED[:2])).ids


@pytest.mark.parametrize("kind", ["word", "bpe", "char"])
def test_what_a_classifier_reads(kind):
    config = dataclasses.replace(TokenConfig(), tokenizer=kind, vocabulary_size=400)
    tokenizer = fit_text_codec(config, [" ".join(COMPOSED)] * 3, ("A", "B")).tokenizer
    decomposed = tokenizer.encode(f"{CAFE} {ZURICH} {KOREA}").ids
    assert decomposed == tokenizer.encode(" ".join(COMPOSED)).ids and 1 not in decomposed  # 1: unknown


def test_texts_of_language_models_lines_to_answer_and_tables(write, tmp_path):
    path = write("a.txt", f"{CAFE}\n{ZURICH}")
    assert read_part(LanguageConfig(train_file=path), path).texts == [f"{COMPOSED[0]}\n{COMPOSED[1]}"]
    with open_lines(path) as lines:
        assert list(lines) == [COMPOSED[0], COMPOSED[1]]
    table = read_table(write("b.csv", f"{CAFE},y\n{ZURICH},1\n{KOREA},2\n"))
    assert table.texts(COMPOSED[0]) == [COMPOSED[1], COMPOSED[2]]


def test_keys_of_word_vectors(write):
    path = write("a.vec", f"{CAFE} 1 2\n{COMPOSED[0]} 9 9\n{ZURICH} 3 4\nother 5 6\n")
    vectors = read_vectors(path, size=2, wanted={*COMPOSED})
    assert vectors.words == [COMPOSED[0], COMPOSED[1]]  # of two rows of one word, the first
    rows, found, _ = match_vectors(COMPOSED, vectors)
    assert found.tolist() == [True, True, False]
    np.testing.assert_array_equal(rows, np.array([[1, 2], [3, 4], [0, 0]], np.float32))
