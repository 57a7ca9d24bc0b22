"""The knobs of a tagger beside its recurrent stack."""

import dataclasses

from rnn_jax.config import NETWORK, knob, when
from rnn_jax.models.recurrent_config import dropout_knob

CHARACTER_ENCODERS = ("none", "cnn", "bilstm")
DECODERS = ("softmax", "crf")
WITH_CHARACTERS = when(character_encoder=CHARACTER_ENCODERS[1:])


@dataclasses.dataclass(frozen=True)
class TaggerConfig:
    """What a tagger reads of a word, and how labels are chosen."""

    character_encoder: str = knob(
        "cnn", "how a word's characters are read", choices=CHARACTER_ENCODERS, short=True, inherited=NETWORK
    )
    character_embedding_size: int = knob(
        30, "size of the character embeddings", minimum=1, only_if=WITH_CHARACTERS, inherited=NETWORK
    )
    character_size: int = knob(
        50, "size of a word's character features", minimum=2, only_if=WITH_CHARACTERS, inherited=NETWORK
    )
    character_width: int = knob(
        3, "characters that the CNN reads at once", minimum=1, only_if=when(character_encoder="cnn"), inherited=NETWORK
    )
    decoder: str = knob(
        "softmax",
        "labels chosen one by one, or jointly by a linear-chain CRF",
        choices=DECODERS,
        short=True,
        inherited=NETWORK,
    )
    character_dropout: float = dropout_knob("dropout on the character embeddings", only_if=WITH_CHARACTERS)
