"""From knobs and a codec to a tagger."""

from flax import nnx

from rnn_jax.errors import UserError
from rnn_jax.models.characters import CharacterEncoder
from rnn_jax.models.recurrent_config import RecurrentConfig
from rnn_jax.models.stack import make_stack
from rnn_jax.models.tagger import Tagger
from rnn_jax.models.tagger_config import TaggerConfig
from rnn_jax.models.text_model_config import TextModelConfig
from rnn_jax.tagging.crf import Legal
from rnn_jax.tagging.spans import legal_transitions
from rnn_jax.text.tagging_codec import UNKNOWN_ID, TaggingCodec


def make_tagger(
    encoder: RecurrentConfig, model: TextModelConfig, config: TaggerConfig, codec: TaggingCodec, rngs: nnx.Rngs
) -> Tagger:
    """The network, with fresh parameters.

    Raises:
      UserError: layers or sizes that do not fit.
    """
    characters = None
    if config.character_encoder == "bilstm" and config.character_size % 2:
        raise UserError(f"--character_size={config.character_size} must be even: both directions share it.")
    if config.character_encoder != "none":
        characters = CharacterEncoder(
            config.character_encoder,
            num_characters=codec.num_characters,
            embedding_size=config.character_embedding_size,
            size=config.character_size,
            width=config.character_width,
            dropout=config.character_dropout,
            rngs=rngs,
        )
    return Tagger(
        make_stack(encoder),
        vocabulary_size=codec.num_words,
        num_labels=len(codec.model_labels),
        characters=characters,
        decoder=config.decoder,
        legal=_legal(codec) if codec.scheme and config.decoder == "crf" else None,
        unknown_id=UNKNOWN_ID,
        rngs=rngs,
        **model.arguments(),
    )


def _legal(codec: TaggingCodec) -> Legal:
    # NumPy's arrays: known while the model is traced, too.
    return Legal(*legal_transitions(codec.model_labels, codec.model_scheme))  # type: ignore[arg-type]
