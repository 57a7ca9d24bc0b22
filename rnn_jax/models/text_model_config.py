"""The knobs that all networks of texts share."""

import dataclasses
from typing import Any

from rnn_jax.config import NETWORK, knob
from rnn_jax.models.recurrent_config import dropout_knob


@dataclasses.dataclass(frozen=True)
class TextModelConfig:
    """Word embeddings before a recurrent stack, an output layer behind it."""

    embedding_size: int = knob(
        100, "size of the embeddings of words or tokens", minimum=1, short=True, inherited=NETWORK
    )
    word_dropout: float = dropout_knob("words or tokens replaced by the unknown one")
    embedding_dropout: float = dropout_knob("rows of the embedding tables dropped in a batch")
    output_dropout: float = dropout_knob("dropout before the output layer", short=True)
    compute_dtype: str = knob("float32", "dtype of activations", choices=("float32", "bfloat16"))
    num_params: int = knob(0, "solve --hidden_size for this number of parameters (0 = off)", minimum=0)

    def arguments(self) -> dict[str, Any]:
        """Arguments of the networks."""
        return {
            "embedding_size": self.embedding_size,
            "word_dropout": self.word_dropout,
            "embedding_dropout": self.embedding_dropout,
            "output_dropout": self.output_dropout,
            "dtype": self.compute_dtype,
        }
