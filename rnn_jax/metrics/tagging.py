"""How well words are labelled: accuracies, span F1, and which labels are taken for which others."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from rnn_jax.tagging.spans import SpanTotals, conlleval_table, spans_of

UNLABELLED = ""  # the gold label of a word that counts nowhere
_EXAMPLES = 3  # of each confusion
_CONTEXT = 3  # words on either side of an example


class TaggingScores(NamedTuple):
    """Counts over the sentences of a part; words without a gold label count in none of them.

    mistakes: (gold, predicted) → places (sentence, word). spans: by the letter of the scheme; lenient_spans: as
    conlleval reads damaged spans; None where the labels spell no spans.
    """

    num_words: int
    num_correct: int
    num_unseen: int
    num_unseen_correct: int
    num_sentences: int
    num_sentences_correct: int
    confusion: Counter[tuple[str, str]]
    mistakes: dict[tuple[str, str], list[tuple[int, int]]]
    spans: SpanTotals | None
    lenient_spans: SpanTotals | None

    def summary(self) -> dict[str, float]:
        """accuracy, unseen_accuracy (words that training doesn't have; NaN without any), sentence_accuracy.

        With spans also precision, recall and f1 over all types, the same for each type as f1_PER …, and conlleval_f1.
        """
        summary = {
            "accuracy": _ratio(self.num_correct, self.num_words),
            "unseen_accuracy": _ratio(self.num_unseen_correct, self.num_unseen),
            "sentence_accuracy": _ratio(self.num_sentences_correct, self.num_sentences),
        }
        if self.spans is not None and self.lenient_spans is not None:
            by_type = {name.replace("/", "_"): value for name, value in self.spans.summary().items()}
            summary |= by_type | {"conlleval_f1": self.lenient_spans.summary()["f1"]}
        return summary

    def matrix(self, names: Sequence[str]) -> np.ndarray:
        """confusion[gold, predicted] of these labels."""
        index = {name: i for i, name in enumerate(names)}
        matrix = np.zeros((len(names), len(names)), np.int64)
        for (gold, predicted), count in self.confusion.items():
            if gold in index and predicted in index:
                matrix[index[gold], index[predicted]] = count
        return matrix


def score_tags(
    tokens: Sequence[Sequence[str]],
    gold: Sequence[Sequence[str]],
    predicted: Sequence[Sequence[str]],
    *,
    seen_words: Collection[str],
    scheme: str = "",
) -> TaggingScores:
    """Compares the predicted labels of sentences with the gold ones; all three have the same lengths.

    Raises:
      ValueError: they have not.
    """
    confusion: Counter[tuple[str, str]] = Counter()
    mistakes: dict[tuple[str, str], list[tuple[int, int]]] = {}
    unseen = unseen_correct = sentences = sentences_correct = 0
    spans, lenient = SpanTotals.zero(), SpanTotals.zero()
    for number, (words, truth, guess) in enumerate(zip(tokens, gold, predicted, strict=True)):
        if not len(words) == len(truth) == len(guess):
            raise ValueError(f"Sentence {number}: {len(words)} words, {len(truth)} labels, {len(guess)} predictions.")
        counted = [i for i, label in enumerate(truth) if label != UNLABELLED]
        wrong = [i for i in counted if truth[i] != guess[i]]
        new = {i for i in counted if words[i] not in seen_words}
        confusion.update((truth[i], guess[i]) for i in counted)
        for i in wrong:
            mistakes.setdefault((truth[i], guess[i]), []).append((number, i))
        unseen, unseen_correct = unseen + len(new), unseen_correct + len(new.difference(wrong))
        sentences, sentences_correct = sentences + bool(counted), sentences_correct + bool(counted and not wrong)
        if scheme:  # a span goes on behind a word that counts nowhere
            pair = [[row[i] for i in counted] for row in (truth, guess)]
            spans = spans.add(*(spans_of(row, scheme) for row in pair))
            lenient = lenient.add(*(spans_of(row, scheme, strict=False) for row in pair))
    return TaggingScores(
        num_words=confusion.total(),
        num_correct=sum(count for (truth, guess), count in confusion.items() if truth == guess),
        num_unseen=unseen,
        num_unseen_correct=unseen_correct,
        num_sentences=sentences,
        num_sentences_correct=sentences_correct,
        confusion=confusion,
        mistakes=mistakes,
        spans=spans if scheme else None,
        lenient_spans=lenient if scheme else None,
    )


def tagging_report(name: str, scores: TaggingScores, tokens: Sequence[Sequence[str]], num_confusions: int = 20) -> str:
    """A text for people: the accuracies, the spans by type, and the most frequent confusions with examples."""
    lines = [
        f"{name}: {scores.num_words:,} words in {scores.num_sentences:,} sentences",
        f"  words right           {_percent(scores.num_correct, scores.num_words)}",
        f"  unseen words right    {_percent(scores.num_unseen_correct, scores.num_unseen)}",
        f"  sentences all right   {_percent(scores.num_sentences_correct, scores.num_sentences)}",
    ]
    if scores.spans is not None:
        lines += ["", "Spans, spelt by the letter of the scheme (percent):"]
        lines += [conlleval_table(scores.spans, scores.num_words, scores.num_correct)]
    frequent = sorted(scores.mistakes.items(), key=lambda item: (-len(item[1]), item[0]))[:num_confusions]
    if frequent:
        lines += ["", "The most frequent confusions (gold → predicted), and where:"]
    for (gold, guess), places in frequent:
        share = _percent(len(places), scores.num_words)
        lines.append(f"  {gold} → {guess}: {share}")
        lines += [f"      {_in_context(tokens[sentence], word)}" for sentence, word in places[:_EXAMPLES]]
    return "\n".join(lines) + "\n"


def _in_context(words: Sequence[str], i: int) -> str:
    before, after = words[max(i - _CONTEXT, 0) : i], words[i + 1 : i + 1 + _CONTEXT]
    return " ".join([*before, f"[{words[i]}]", *after])


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _percent(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({_ratio(part, whole):.2%})" if whole else "none of them"


__all__ = ["UNLABELLED", "TaggingScores", "score_tags", "tagging_report"]
