"""Scores of translations against n-grams counted by hand."""

import math
import re

import pytest

from rnn_jax.data.translation_config import BLEU_TOKENIZERS
from rnn_jax.metrics.translation import (
    sample_translations,
    score_texts,
    signatures,
    translation_report,
)

HYPOTHESES = ["the cat sat on the mat today", "a dog runs fast"]
REFERENCES = ["the cat sat on the mat", "a dog runs fast today, too."]


def bleu(*precisions, brevity_penalty=1.0):
    return pytest.approx(100 * brevity_penalty * math.prod(precisions) ** 0.25)


def test_bleu_by_hand():
    """Counts are summed over the corpus: of the first text 6 of 7 words match, 5 of 6 pairs, 3 of 4, 4 of 5 …"""
    # 13a splits "today, too." into four: 11 words against 6 + 8.
    precisions = (6 + 4) / (7 + 4), (5 + 3) / (6 + 3), (4 + 2) / (5 + 2), (3 + 1) / (4 + 1)
    assert score_texts(HYPOTHESES, REFERENCES)["bleu"] == bleu(*precisions, brevity_penalty=math.exp(1 - 14 / 11))
    # Split at spaces alone, the references have 6 + 6 words, and the same n-grams match.
    scores = score_texts(HYPOTHESES, REFERENCES, tokenizer="none")
    assert scores["bleu"] == bleu(*precisions, brevity_penalty=math.exp(1 - 12 / 11))


def test_case_is_folded_where_asked_and_the_signature_says_so():
    cased, folded = (
        score_texts(["eine rote katze da"], ["Eine Rote KATZE da"], lowercase=fold) for fold in (False, True)
    )
    assert folded == {"bleu": pytest.approx(100), "chrf": pytest.approx(100), "exact_match": 1.0}
    assert cased["bleu"] < 50 and cased["chrf"] < 80 and cased["exact_match"] == 0.0
    assert "case:mixed" in signatures()["bleu_signature"] and "case:lc" in signatures(lowercase=True)["bleu_signature"]


@pytest.mark.parametrize(
    ("hypothesis", "reference", "precisions"),
    [
        ("a a b c d", "a b c d", (4 / 5, 3 / 4, 2 / 3, 1 / 2)),  # the second "a" finds no partner; long is no fault
        ("A b c d e", "a b c d e", (4 / 5, 3 / 4, 2 / 3, 1 / 2)),  # case counts
        ("a b c d", "a b c e", (3 / 4, 2 / 3, 1 / 2, 1 / 2)),  # exponential smoothing: no 4-gram of 1 is ½ of 1
        ("a b c, d.", "a b c , d .", (1, 1, 1, 1)),  # 13a splits both sides alike
        ("x y z w", "a b c d", (0, 0, 0, 0)),
    ],
)
def test_bleu_of_one_text_by_hand(hypothesis, reference, precisions):
    assert score_texts([hypothesis], [reference])["bleu"] == bleu(*precisions)


def test_bleu_of_characters():
    # a b c d | a b c e: 3 of 4, "ab" and "bc" of 3, "abc" of 2, none of 1 (½)
    assert score_texts(["abcd"], ["abce"], tokenizer="char")["bleu"] == bleu(3 / 4, 2 / 3, 1 / 2, 1 / 2)
    assert score_texts(["abcd"], ["abce"])["bleu"] == 0


def test_chrf_by_hand():
    """Spaces don't count: "abd" against "abcd". Precision and recall are means over the n that both texts have."""
    precision = (3 / 3 + 1 / 2 + 0 / 1) / 3  # a, b, d; ab; none of abd
    recall = (3 / 4 + 1 / 3 + 0 / 2) / 3
    expected = 100 * 5 * precision * recall / (4 * precision + recall)  # recall counts twice as much
    assert score_texts(["a bd"], ["abcd"])["chrf"] == pytest.approx(expected) == pytest.approx(650 / 17)
    # Of a corpus, the counts are summed: "xy" adds 2 letters and 1 pair that match to both sides.
    precision, recall = ((3 + 2) / (3 + 2) + (1 + 1) / (2 + 1)) / 3, ((3 + 2) / (4 + 2) + (1 + 1) / (3 + 1)) / 3
    expected = 100 * 5 * precision * recall / (4 * precision + recall)
    assert score_texts(["a bd", "xy"], ["abcd", "xy"])["chrf"] == pytest.approx(expected)


def test_exact_match_is_the_share_of_equal_texts():
    assert score_texts(["a", "b ", "C", "", "e"], ["a", "b", "c", "", "e"])["exact_match"] == 3 / 5
    same = score_texts(REFERENCES, REFERENCES)
    assert same == {"bleu": pytest.approx(100), "chrf": pytest.approx(100), "exact_match": 1}


def test_without_texts_there_is_no_score():
    scores = score_texts([], [])
    assert set(scores) == {"bleu", "chrf", "exact_match"} and all(math.isnan(score) for score in scores.values())
    assert score_texts([""], ["a b"]) == {"bleu": 0, "chrf": 0, "exact_match": 0}


def test_as_many_hypotheses_as_references():
    with pytest.raises(ValueError, match="zip"):
        score_texts(["a"], ["a", "b"])


def test_signatures_say_how_scores_are_computed():
    said = signatures()
    assert set(said) == {"bleu_signature", "chrf_signature"}
    assert said["bleu_signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert said["chrf_signature"].startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:")
    for tokenizer in BLEU_TOKENIZERS:
        assert f"|tok:{tokenizer}|" in signatures(tokenizer=tokenizer)["bleu_signature"]


WORDS = {0: 1, 1: 1, 5: 2, 6: 1, 15: 3, 16: 1, 50: 1, 51: 1, 70: 1}  # words of a source: how many such sources
SOURCES = [" ".join("w" * words) for words, count in WORDS.items() for _ in range(count)]


def buckets(report):
    """bounds: (texts, BLEU, chrF, exact match, ratio)."""
    rows = re.findall(r"^ +(\d+–\d+) +(\d+) +([\d.]+) +([\d.]+) +([\d.]+)% +([\d.]+)$", report, re.MULTILINE)
    return {row[0]: tuple(float(value) for value in row[1:]) for row in rows}


def test_the_reports_buckets_by_hand():
    references = ["a b c d e"] * len(SOURCES)
    ours = list(references)
    ours[0] = ours[3] = "a b c d x y z"  # in the first bucket (0, 1, 5 and 5 words): 2 of 4 are right
    report = translation_report("test_2016", SOURCES, ours, references)
    assert report.startswith("test_2016: 12 texts\n")
    found = buckets(report)
    assert list(found) == ["1–5", "6–10", "11–15", "16–20", "31–50", "51–70"]
    assert [row[0] for row in found.values()] == [4, 1, 3, 1, 1, 2]
    # 2 · (4 + 5) of 24 words, 2 · (3 + 4) of 20 pairs, 2 · (2 + 3) of 16, 2 · (1 + 2) of 12; 44 characters for 36
    assert found["1–5"][1] == pytest.approx(100 * (18 / 24 * 14 / 20 * 10 / 16 * 6 / 12) ** 0.25, abs=0.005)
    assert found["1–5"][3:] == (50.0, round(44 / 36, 2))
    assert found["11–15"] == (3, 100, 100, 100, 1)


def test_a_report_of_short_sources_and_of_none():
    assert set(buckets(translation_report("x", ["a b"] * 3, ["c"] * 3, ["d"] * 3, tokenizer="char"))) == {"1–5"}
    report = translation_report("x", [], [], [])
    assert report.startswith("x: 0 texts") and not buckets(report)


@pytest.mark.parametrize(
    ("size", "num_samples", "rows"),
    [
        (3, 10, [0, 1, 2]),  # every one once where there are fewer
        (10, 10, list(range(10))),
        (19, 10, [0, 1, 3, 5, 7, 9, 11, 13, 15, 17]),  # to the end, not the first ten
        (1000, 4, [0, 250, 500, 750]),
        (5, 0, []),
        (0, 10, []),
    ],
)
def test_samples_are_spread_over_the_data(size, num_samples, rows):
    texts = [[f"{kind}{row}" for row in range(size)] for kind in ("source", "ours", "reference")]
    expected = [f"source     source{row}\nreference  reference{row}\nours       ours{row}\n" for row in rows]
    assert sample_translations(*texts, num_samples) == "\n".join(expected)


def test_the_report_ends_with_samples():
    texts = [[f"{kind} {row}" for row in range(4)] for kind in ("source", "ours", "reference")]
    report = translation_report("x", *texts, num_samples=2)
    assert report.endswith("\n\n" + sample_translations(*texts, 2)) and report.count("ours  ") == 2
