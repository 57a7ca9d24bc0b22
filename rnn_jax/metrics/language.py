"""What a language model needs to say a text, in units that compare."""

import math

_MOST_NATS = 700.0  # exp of more is no float


def language_metrics(
    nats: float, *, num_tokens: int, num_characters: int, num_unknown: int, source_nats: float | None = None
) -> dict[str, float]:
    """loss = nats / tokens; perplexity = exp loss; bits_per_character = nats / ln 2 / characters; unknown: a share.

    A perplexity is one of its vocabulary: models of other units compare by bits_per_character. Where the unknown share
    is large neither says much, as all unknown tokens are one.

    source_nats: −log of the probability that the source of the text gave it; perplexity_floor is what no model is
    expected to undercut.
    """
    loss = nats / max(num_tokens, 1)
    metrics = {"loss": loss, "perplexity": math.exp(min(loss, _MOST_NATS))}
    metrics["bits_per_character"] = nats / math.log(2) / max(num_characters, 1)
    metrics["unknown"] = num_unknown / max(num_tokens, 1)
    if source_nats is not None:
        metrics["perplexity_floor"] = math.exp(min(source_nats / max(num_tokens, 1), _MOST_NATS))
    return metrics
