"""Classified texts as tokens: what is said of them."""

import dataclasses

import pytest

from rnn_jax.data.classification_config import LabelledTextConfig
from rnn_jax.text.text_config import TokenConfig
from rnn_jax.text.texts import read_texts


@pytest.fixture
def reviews(tmp_path):
    """Files of two classes; the test part has 4 words, one of which training never saw."""
    (tmp_path / "train.tsv").write_text("text\tlabel\n" + "good film\tpos\nbad film\tneg\n" * 10)
    (tmp_path / "test.tsv").write_text("text\tlabel\ngood film\tpos\nbad picture\tneg\n")
    return LabelledTextConfig(train_file=str(tmp_path / "train.tsv"), test_file=str(tmp_path / "test.tsv"))


def test_words_that_the_vocabulary_lacks_are_counted(reviews):
    data = read_texts(reviews, TokenConfig(), 0, None)
    assert [note for note in data.notes if "unknown" in note] == [
        "test: 25.0% of the tokens are unknown to the vocabulary."
    ]


def test_those_of_another_run_s_vocabulary_as_well(reviews, tmp_path):
    """What --init_from brings along: here only "good" is known."""
    (tmp_path / "other.tsv").write_text("text\tlabel\n" + "good\tpos\ngood\tneg\n" * 10)
    other = dataclasses.replace(reviews, train_file=str(tmp_path / "other.tsv"))
    known = read_texts(other, TokenConfig(), 0, None).codec
    notes = read_texts(reviews, TokenConfig(), 0, known).notes
    assert "test: 75.0% of the tokens are unknown to the vocabulary." in notes
