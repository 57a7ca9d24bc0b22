"""How many nats a language model needs for a part: by itself, or adapting to it as it reads."""

import numpy as np

from rnn_jax.models.adaptation_config import AdaptationConfig
from rnn_jax.models.apply import Apply
from rnn_jax.models.continuous_cache import cached_nats
from rnn_jax.models.dynamic_evaluation import dynamic_readings
from rnn_jax.models.language_score import (
    document_nats,
    lane_nats,
    readings,
    stream_windows,
    window_size,
)
from rnn_jax.text.language_codec import END_ID
from rnn_jax.text.language_config import UnitsConfig
from rnn_jax.text.streams import LanguagePart

_MOST_SCORES = 2**24  # of a window's tokens by those of the cache: 64 MiB


def score_part(
    apply: Apply,
    part: LanguagePart,
    text: UnitsConfig,
    config: AdaptationConfig,
    *,
    is_final: bool,
) -> float:
    """Σ −log p of the tokens of a part, each once; before the final score, one long text is read as lanes."""
    if not is_final and len(part.documents) == 1:
        return lane_nats(apply, part.documents, text.batch_size, END_ID)
    if is_final and config.is_on:
        nats = adaptive_nats(apply, part, config)
    else:
        nats = document_nats(apply, part.documents, text.score_batch_size, END_ID)
    return float(nats.sum(dtype=np.float64))


def adaptive_nats(apply: Apply, part: LanguagePart, config: AdaptationConfig) -> np.ndarray:
    """−log p of every token given all before it in its document, by dynamic evaluation, a continuous cache, or both.

    Documents are read one after the other, in their order.
    """
    size = min(window_size(part.num_tokens), max(_MOST_SCORES // max(config.cache_size, 1), 1))
    if config.dynamic_evaluation:
        size = max(size // config.dynamic_segment, 1) * config.dynamic_segment
    windows = stream_windows(part.documents, size, END_ID)
    if config.dynamic_evaluation:
        read = dynamic_readings(apply, config, part.train, windows)
    else:
        read = readings(apply, windows)
    alone = ((batch, np.asarray(reading.nats)[0]) for batch, reading in read)
    found = cached_nats(apply, config, read) if config.cache_size else alone
    return np.concatenate([np.zeros(0, np.float32), *(row[batch["weights"][0] > 0] for batch, row in found)])
