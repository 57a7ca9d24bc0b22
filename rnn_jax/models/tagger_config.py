"""The knobs of a tagger, and the model that they describe."""

import dataclasses

from flax import nnx

from rnn_jax.config import knob, new_default
from rnn_jax.data.tagging_inputs import UNKNOWN_ID, TaggingInputs
from rnn_jax.errors import UserError
from rnn_jax.models.characters import CHARACTER_ENCODERS, CharacterEncoder
from rnn_jax.models.recurrent_config import dropout_knob, make_stack
from rnn_jax.models.tagger import DECODERS, Tagger
from rnn_jax.models.text_model_config import TextModelConfig
from rnn_jax.tagging.crf import Legal
from rnn_jax.tagging.spans import legal_transitions
from rnn_jax.types import Key


@dataclasses.dataclass(frozen=True)
class TaggerConfig(TextModelConfig):
    """What a tagger reads of a word, the recurrent stack, and how labels are chosen."""

    bidirectional: bool = new_default(TextModelConfig, "bidirectional", True)
    word_dropout: float = new_default(TextModelConfig, "word_dropout", 0.1)
    character_encoder: str = knob("cnn", "how a word's characters are read", choices=CHARACTER_ENCODERS)
    character_embedding_size: int = knob(30, "size of the character embeddings", minimum=1)
    character_size: int = knob(50, "size of a word's character features", minimum=2)
    character_width: int = knob(3, "characters that the CNN reads at once", minimum=1)
    decoder: str = knob("softmax", "labels chosen one by one, or jointly by a linear-chain CRF", choices=DECODERS)
    character_dropout: float = dropout_knob("dropout on the character embeddings")


def make_tagger(config: TaggerConfig, inputs: TaggingInputs, seed: int | Key) -> Tagger:
    """The model, with fresh parameters.

    Raises:
      UserError: layers or sizes that do not fit.
    """
    rngs, characters = nnx.Rngs(seed), None
    if config.character_encoder == "bilstm" and config.character_size % 2:
        raise UserError(f"--character_size={config.character_size} must be even: both directions share it.")
    if config.character_encoder != "none":
        characters = CharacterEncoder(
            config.character_encoder,
            num_characters=inputs.num_characters,
            embedding_size=config.character_embedding_size,
            size=config.character_size,
            width=config.character_width,
            dropout=config.character_dropout,
            rngs=rngs,
        )
    return Tagger(
        make_stack(config),
        vocabulary_size=inputs.num_words,
        num_labels=len(inputs.model_labels),
        embedding_size=config.embedding_size,
        characters=characters,
        decoder=config.decoder,
        legal=_legal(inputs) if inputs.scheme and config.decoder == "crf" else None,
        word_dropout=config.word_dropout,
        embedding_dropout=config.embedding_dropout,
        output_dropout=config.output_dropout,
        unknown_id=UNKNOWN_ID,
        dtype=config.compute_dtype,
        rngs=rngs,
    )


def _legal(inputs: TaggingInputs) -> Legal:
    # NumPy's arrays: known while the model is traced, too.
    return Legal(*legal_transitions(inputs.model_labels, inputs.model_scheme))  # type: ignore[arg-type]
