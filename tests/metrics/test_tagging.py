"""Scores of tags against counts made by hand."""

import math

import numpy as np
import pytest

from rnn_jax.metrics.tagging import score_tags, tagging_report

TOKENS = [["Ada", "met", "Bob", "Lee"], ["Rome", "fell"], ["don't", "go"]]
GOLD = [["B-PER", "O", "B-PER", "I-PER"], ["B-LOC", "O"], ["", "O"]]
PREDICTED = [["B-PER", "O", "B-PER", "O"], ["B-PER", "O"], ["B-PER", "O"]]
SEEN = {"Ada", "met", "Rome", "go"}


@pytest.fixture
def scores():
    return score_tags(TOKENS, GOLD, PREDICTED, seen_words=SEEN, scheme="bio")


def test_counts_by_hand(scores):
    summary = scores.summary()
    assert summary["accuracy"] == 5 / 7  # wrong: Lee, Rome; the ignored word is not among the seven
    assert summary["unseen_accuracy"] == 2 / 3  # Bob, Lee, fell
    assert summary["sentence_accuracy"] == 1 / 3
    # gold: Ada, Bob Lee, Rome; predicted: Ada, Bob, Rome as PER; right: Ada.
    assert (summary["precision"], summary["recall"], summary["f1"]) == (1 / 3, 1 / 3, 1 / 3)
    assert (summary["precision_PER"], summary["recall_PER"], summary["f1_PER"]) == (1 / 3, 1 / 2, pytest.approx(0.4))
    assert summary["f1_LOC"] == 0 and summary["conlleval_f1"] == 1 / 3
    assert scores.matrix(["O", "B-PER", "I-PER", "B-LOC"]).tolist() == [
        [3, 0, 0, 0],
        [0, 2, 0, 0],
        [1, 0, 0, 0],
        [0, 1, 0, 0],
    ]


def test_a_span_without_its_beginning_is_none_but_conlleval_takes_it():
    summary = score_tags([["a", "b"]], [["B-X", "I-X"]], [["I-X", "I-X"]], seen_words=(), scheme="bio").summary()
    assert summary["f1"] == 0 and summary["conlleval_f1"] == 1 and summary["accuracy"] == 0.5


def test_a_span_goes_on_behind_a_word_that_counts_nowhere():
    gold = [["B-PER", "", "I-PER", "O"]]
    words = [["Ada", "x", "Lovelace", "left"]]
    assert score_tags(words, gold, [["B-PER", "B-PER", "I-PER", "O"]], seen_words=(), scheme="bio").summary()["f1"] == 1
    assert score_tags(words, gold, [["B-PER", "O", "O", "O"]], seen_words=(), scheme="bio").summary()["f1"] == 0


def test_types_with_a_slash():
    summary = score_tags([["a"]], [["B-person/actor"]], [["B-person/actor"]], seen_words=(), scheme="bio").summary()
    assert summary["f1_person_actor"] == 1 and not any("/" in name for name in summary)


def test_labels_without_spans():
    scores = score_tags([["a", "b"]], [["NN", "VB"]], [["NN", "NN"]], seen_words={"a", "b"})
    summary = scores.summary()
    assert set(summary) == {"accuracy", "unseen_accuracy", "sentence_accuracy"}
    assert summary["accuracy"] == 0.5 and math.isnan(summary["unseen_accuracy"])
    assert np.array_equal(scores.matrix(["NN", "VB"]), [[1, 0], [1, 0]])


def test_the_report(scores):
    report = tagging_report("test", scores, TOKENS)
    assert "test: 7 words in 3 sentences" in report
    assert "5 of 7 (71.43%)" in report and "2 of 3 (66.67%)" in report
    assert "B-LOC → B-PER: 1 of 7 (14.29%)\n      [Rome] fell" in report
    assert "I-PER → O: 1 of 7" in report and "Ada met Bob [Lee]" in report
    assert "PER: precision:  33.33%; recall:  50.00%; FB1:  40.00" in report
    assert "confusions" not in tagging_report("x", score_tags(TOKENS, GOLD, GOLD, seen_words=SEEN), TOKENS)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="zip"):
        score_tags([["a"]], [], [["X"]], seen_words=())
    with pytest.raises(ValueError, match="Sentence 0: 1 words, 2 labels, 1 pred"):
        score_tags([["a"]], [["X", "Y"]], [["X"]], seen_words=())
