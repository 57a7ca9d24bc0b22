"""Scores of generated texts against references: sacreBLEU, chrF, exact match; by length of the source too."""

from collections.abc import Sequence
from typing import Any

import sacrebleu

_BOUNDS = (5, 10, 15, 20, 30, 50)


def score_texts(
    hypotheses: Sequence[str], references: Sequence[str], *, tokenizer: str = "13a", lowercase: bool = False
) -> dict[str, float]:
    """bleu and chrf of the corpus (0 to 100; Post 2018, Popović 2015), and exact_match, the share of equal texts.

    Texts are as people write them: cased (but for `lowercase`, which folds both sides), detokenised; sacreBLEU
    tokenises both sides. NaN without any text.
    """
    if not hypotheses:
        return dict.fromkeys(("bleu", "chrf", "exact_match"), float("nan"))
    bleu, chrf = _metrics(tokenizer, lowercase)
    if lowercase:
        hypotheses, references = ([text.lower() for text in texts] for texts in (hypotheses, references))
    pairs = list(zip(hypotheses, references, strict=True))
    return {
        "bleu": bleu.corpus_score(hypotheses, [references]).score,
        "chrf": chrf.corpus_score(hypotheses, [references]).score,
        "exact_match": sum(hypothesis == reference for hypothesis, reference in pairs) / len(pairs),
    }


def signatures(*, tokenizer: str = "13a", lowercase: bool = False) -> dict[str, str]:
    """How bleu and chrf are computed, so that others can compute the same."""
    metrics = _metrics(tokenizer, lowercase)
    for metric in metrics:
        metric.corpus_score(["a"], [["a"]])  # before, a signature does not know the number of references
    return {f"{name}_signature": str(metric.get_signature()) for name, metric in zip(("bleu", "chrf"), metrics)}


def _metrics(tokenizer: str, lowercase: bool) -> tuple[Any, Any]:
    # force: no warning where a text looks tokenised.
    bleu = sacrebleu.BLEU(tokenize=tokenizer, lowercase=lowercase, force=True)
    return bleu, sacrebleu.CHRF(lowercase=lowercase)


def translation_report(
    name: str,
    sources: Sequence[str],
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    num_samples: int = 10,
    **settings: Any,
) -> str:
    """A text for people: scores in buckets of source length (words between spaces), and sample translations.

    settings: as those of `score_texts`.
    """
    lines = [f"{name}: {len(sources):,} texts", "", "  words    texts   BLEU   chrF  exact match  length/reference"]
    lengths = [len(source.split()) for source in sources]
    lower = 0
    for upper in (*_BOUNDS, max([*lengths, _BOUNDS[-1] + 1])):
        rows = [row for row, length in enumerate(lengths) if lower < length <= upper or (length == lower == 0)]
        if rows:
            ours, theirs = [hypotheses[row] for row in rows], [references[row] for row in rows]
            scores = score_texts(ours, theirs, **settings)
            ratio = sum(map(len, ours)) / max(sum(map(len, theirs)), 1)
            lines.append(
                f"  {lower + 1:>3}–{upper:<3} {len(rows):>7,} {scores['bleu']:>6.2f} {scores['chrf']:>6.2f}"
                f" {scores['exact_match']:>12.1%} {ratio:>17.2f}"
            )
        lower = upper
    lines += ["", sample_translations(sources, hypotheses, references, num_samples)]
    return "\n".join(lines)


def sample_translations(
    sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str], num_samples: int = 10
) -> str:
    """Texts evenly spread over the data, each with its reference and what was generated."""
    count = min(num_samples, len(sources))
    blocks = [
        f"source     {sources[row]}\nreference  {references[row]}\nours       {hypotheses[row]}\n"
        for row in (i * len(sources) // count for i in range(count))
    ]
    return "\n".join(blocks)


__all__ = ["sample_translations", "score_texts", "signatures", "translation_report"]
