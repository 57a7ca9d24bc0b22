"""From knobs and a codec to an encoder–decoder."""

from flax import nnx

from rnn_jax.attention import Attention, make_attention
from rnn_jax.errors import UserError
from rnn_jax.models.recurrent_config import RecurrentConfig
from rnn_jax.models.seq2seq import Seq2Seq
from rnn_jax.models.seq2seq_config import DecoderConfig, Seq2SeqConfig
from rnn_jax.models.stack import make_stack
from rnn_jax.models.text_model_config import TextModelConfig
from rnn_jax.text.subwords import PAD_ID, START_ID, UNKNOWN_ID
from rnn_jax.text.translation_codec import TranslationCodec


def make_seq2seq(
    encoder: RecurrentConfig,
    decoder: DecoderConfig,
    model: TextModelConfig,
    config: Seq2SeqConfig,
    codec: TranslationCodec,
    rngs: nnx.Rngs,
) -> Seq2Seq:
    """The network, with fresh parameters.

    Raises:
      UserError: layers, sizes or kinds that do not fit.
    """
    try:
        return Seq2Seq(
            make_stack(encoder),
            make_stack(decoder.stack(encoder), part="decoder_"),
            source_vocabulary_size=codec.source.get_vocab_size(),
            target_vocabulary_size=codec.target.get_vocab_size(),
            attention=_attention(config, model.embedding_size),
            bridge=config.bridge,
            input_feeding=config.input_feeding,
            tie_embeddings=config.tie_embeddings and codec.is_joint,
            tie_output=config.tie_output,
            label_smoothing=config.label_smoothing,
            unknown_id=UNKNOWN_ID,
            forbidden=(PAD_ID, UNKNOWN_ID, START_ID),
            rngs=rngs,
            **model.arguments(),
        )
    except ValueError as error:
        raise UserError(f"The encoder and the decoder cannot be joined: {error}{_remedy(config)}") from error


def _remedy(config: Seq2SeqConfig) -> str:
    flags = []
    if config.attention == "dot":
        flags.append("--attention=general or a --decoder_hidden_size that is the size of the encoder's output")
    if config.bridge == "copy":
        flags.append("--bridge=linear or a decoder with the encoder's cells and sizes (of both directions together)")
    return f" Give {', and '.join(flags)}." if flags else ""


def _attention(config: Seq2SeqConfig, embedding_size: int) -> Attention | None:
    if config.attention == "none":
        return None
    options = {"num_heads": config.attention_heads} if config.attention == "multi_head" else {}
    return make_attention(config.attention, config.attention_size or embedding_size, **options)
