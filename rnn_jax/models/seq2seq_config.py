"""The knobs of an encoder–decoder, and the model that they describe."""

import dataclasses

from flax import nnx

from rnn_jax.attention import ATTENTIONS, Attention, make_attention
from rnn_jax.config import knob, new_default
from rnn_jax.data.subwords import PAD_ID, START_ID, UNKNOWN_ID
from rnn_jax.data.translation_inputs import TranslationInputs
from rnn_jax.errors import UserError
from rnn_jax.models.recurrent_config import RecurrentConfig, make_stack
from rnn_jax.models.seq2seq import BRIDGES, Seq2Seq
from rnn_jax.models.text_model_config import TextModelConfig
from rnn_jax.types import Key


@dataclasses.dataclass(frozen=True)
class Seq2SeqConfig(TextModelConfig):
    """The encoder's stack, the decoder's, and what joins them.

    What is dropped is the same for both stacks, and readouts are as large as embeddings.
    """

    bidirectional: bool = new_default(TextModelConfig, "bidirectional", True)
    variational_dropout: bool = new_default(TextModelConfig, "variational_dropout", True)
    embedding_size: int = new_default(TextModelConfig, "embedding_size", 128)
    decoder_cell: tuple[str, ...] = knob((), "cell of the decoder's layers, or one a layer (default: as --cell)")
    decoder_hidden_size: tuple[int, ...] = knob((), "hidden size of the decoder (default: as --hidden_size)", minimum=1)
    decoder_cell_options: tuple[str, ...] = knob(
        (), "further fields of the decoder's cells (default: as --cell_options, unless there is a --decoder_cell)"
    )
    decoder_num_layers: int = knob(0, "layers of the decoder (0 = as --num_layers)", minimum=0)
    attention: str = knob("additive", "how the decoder attends to the source", choices=("none", *ATTENTIONS))
    attention_size: int = knob(0, "numbers in additive and concat, and in all heads (0 = embedding_size)", minimum=0)
    attention_heads: int = knob(4, "heads of --attention=multi_head", minimum=1)
    bridge: str = knob("linear", "the decoder's initial carry: from the encoder, or zero", choices=BRIDGES)
    input_feeding: bool = knob(False, "the decoder also reads what it last attended to; slower: step by step")
    tie_embeddings: bool = knob(True, "one embedding table for source and target (joint vocabulary only)")
    tie_output: bool = knob(True, "the output weights are the target embeddings")


def make_seq2seq(config: Seq2SeqConfig, inputs: TranslationInputs, seed: int | Key) -> Seq2Seq:
    """The model, with fresh parameters.

    Raises:
      UserError: layers, sizes or kinds that do not fit.
    """
    sizes = (inputs.source.get_vocab_size(), inputs.target.get_vocab_size())
    try:
        return Seq2Seq(
            make_stack(config),
            make_stack(decoder_config(config), part="decoder_"),
            source_vocabulary_size=sizes[0],
            target_vocabulary_size=sizes[1],
            embedding_size=config.embedding_size,
            attention=_attention(config),
            bridge=config.bridge,
            input_feeding=config.input_feeding,
            tie_embeddings=config.tie_embeddings and inputs.is_joint,
            tie_output=config.tie_output,
            word_dropout=config.word_dropout,
            embedding_dropout=config.embedding_dropout,
            output_dropout=config.output_dropout,
            unknown_id=UNKNOWN_ID,
            forbidden=(PAD_ID, UNKNOWN_ID, START_ID),
            dtype=config.compute_dtype,
            rngs=nnx.Rngs(seed),
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


def decoder_config(config: Seq2SeqConfig) -> RecurrentConfig:
    """The knobs of the decoder's stack: its own where they are given, else the encoder's."""
    of_decoder = {
        "cell": config.decoder_cell or config.cell,
        "hidden_size": config.decoder_hidden_size or config.hidden_size,
        "num_layers": config.decoder_num_layers or config.num_layers,
        "cell_options": config.decoder_cell_options or (() if config.decoder_cell else config.cell_options),
        "bidirectional": False,
    }
    shared = {field.name: getattr(config, field.name) for field in dataclasses.fields(RecurrentConfig)}
    return RecurrentConfig(**(shared | of_decoder))


def _attention(config: Seq2SeqConfig) -> Attention | None:
    if config.attention == "none":
        return None
    options = {"num_heads": config.attention_heads} if config.attention == "multi_head" else {}
    return make_attention(config.attention, config.attention_size or config.embedding_size, **options)
