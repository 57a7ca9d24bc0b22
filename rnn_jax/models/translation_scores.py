"""How well a trained encoder–decoder translates a part of the data."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from rnn_jax.data.paired import TextPairs
from rnn_jax.data.translation_inputs import EncodedPairs, TranslationInputs
from rnn_jax.metrics.translation import score_texts
from rnn_jax.models.translator import Translator


def encode_part(
    inputs: TranslationInputs, part: TextPairs, max_tokens: int, say: Callable[[str], None]
) -> EncodedPairs:
    """The pairs to score, each source cut to `max_tokens`; says how many were."""
    encoded = inputs.encode(part.sources, part.targets, max_tokens)
    if encoded.num_cut:
        say(f"warning: {part.name}: {encoded.num_cut:,} sources of more than {max_tokens} tokens were cut")
    return encoded


def source_limit(config: Any) -> int:
    """The most tokens of a source that a trained model reads."""
    return config.max_source_tokens or config.max_tokens


class Scored(NamedTuple):
    """The metrics of a part, and the best hypothesis of each of its sources."""

    metrics: dict[str, float]
    texts: list[str]


def score(translator: Translator, part: TextPairs, encoded: EncodedPairs) -> Scored:
    """Loss in nats a target token, its exponential, and the scores of the texts."""
    loss = translator.loss(encoded)
    texts = translator.translate(encoded.sources)
    scores = score_texts(texts, part.targets, **scoring(translator.config))
    return Scored({"loss": loss, "perplexity": math.exp(min(loss, 700.0))} | scores, texts)


def scoring(config: Any) -> dict[str, Any]:
    """How texts are compared."""
    return {"tokenizer": config.bleu_tokenizer, "lowercase": config.lowercase}
