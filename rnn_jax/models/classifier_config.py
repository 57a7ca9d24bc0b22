"""The knobs of a text classifier beside its recurrent stack."""

import dataclasses
from typing import Any

from rnn_jax.config import ABOVE_ZERO, NETWORK, knob, when
from rnn_jax.models.recurrent_config import dropout_knob

NGRAM_FUSIONS = ("input", "output")
POOLINGS = ("last", "mean", "max", "mean_max", "last_mean_max", "attention")  # of `modules.Pooling`; a test compares
WITH_NGRAMS = when(ngram_vocabulary_size=ABOVE_ZERO)


@dataclasses.dataclass(frozen=True)
class ClassifierConfig:
    """N-grams, a convolution before the recurrence, and how its outputs become one vector."""

    ngram_embedding_size: int = knob(
        32, "size of the n-gram embeddings", minimum=1, only_if=WITH_NGRAMS, inherited=NETWORK
    )
    ngram_fusion: str = knob(
        "input",
        "n-grams join the encoder's input, or a bag at the output",
        choices=NGRAM_FUSIONS,
        only_if=WITH_NGRAMS,
        inherited=NETWORK,
    )
    convolution_width: int = knob(
        0, "width of the convolution before the recurrence (0 = off)", minimum=0, inherited=NETWORK
    )
    convolution_size: int = knob(
        128, "features of the convolution", minimum=1, only_if=when(convolution_width=ABOVE_ZERO), inherited=NETWORK
    )
    pooling: str = knob("last", "from all outputs to one vector", choices=POOLINGS, short=True, inherited=NETWORK)
    ngram_dropout: float = dropout_knob("n-grams left out", only_if=WITH_NGRAMS)

    def arguments(self) -> dict[str, Any]:
        """Arguments of the network."""
        return dataclasses.asdict(self)
