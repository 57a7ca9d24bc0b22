"""The knobs of an encoder–decoder beside the encoder's recurrent stack."""

import dataclasses

from rnn_jax.config import NETWORK, knob, when
from rnn_jax.models.recurrent_config import RecurrentConfig

# Of registries whose modules import JAX; a test compares them.
ATTENTION_NAMES = ("additive", "dot", "general", "concat", "multi_head")
BRIDGES = ("linear", "copy", "zero")


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
    """The decoder's stack, where it is not as the encoder's. What is dropped is the same in both."""

    cell: tuple[str, ...] = knob(
        (), "cell of the decoder's layers, or one a layer (default: as --cell)", code=True, inherited=NETWORK
    )
    hidden_size: tuple[int, ...] = knob(
        (), "hidden size of the decoder (default: as --hidden_size)", minimum=1, inherited=NETWORK
    )
    cell_options: tuple[str, ...] = knob(
        (),
        "further fields of the decoder's cells (default: as --cell_options, unless there is a --decoder_cell)",
        inherited=NETWORK,
    )
    num_layers: int = knob(0, "layers of the decoder (0 = as --num_layers)", minimum=0, inherited=NETWORK)

    def stack(self, encoder: RecurrentConfig) -> RecurrentConfig:
        """The knobs of the decoder's stack: its own where they are given, else the encoder's; it reads one way."""
        return dataclasses.replace(
            encoder,
            cell=self.cell or encoder.cell,
            hidden_size=self.hidden_size or encoder.hidden_size,
            num_layers=self.num_layers or encoder.num_layers,
            cell_options=self.cell_options or (() if self.cell else encoder.cell_options),
            bidirectional=False,
        )


@dataclasses.dataclass(frozen=True)
class Seq2SeqConfig:
    """What joins encoder and decoder; readouts are as large as embeddings."""

    attention: str = knob(
        "additive",
        "how the decoder attends to the source",
        choices=("none", *ATTENTION_NAMES),
        short=True,
        inherited=NETWORK,
    )
    attention_size: int = knob(
        0,
        "numbers in additive and concat, and in all heads (0 = embedding_size)",
        minimum=0,
        only_if=when(attention=("additive", "concat", "multi_head")),
        inherited=NETWORK,
    )
    attention_heads: int = knob(
        4, "heads of --attention=multi_head", minimum=1, only_if=when(attention="multi_head"), inherited=NETWORK
    )
    bridge: str = knob(
        "linear", "the decoder's initial carry: from the encoder, or zero", choices=BRIDGES, inherited=NETWORK
    )
    input_feeding: bool = knob(
        False, "the decoder also reads what it last attended to; slower: step by step", inherited=NETWORK
    )
    tie_embeddings: bool = knob(
        True, "one embedding table for source and target", only_if=when(joint_vocabulary=True), inherited=NETWORK
    )
    tie_output: bool = knob(True, "the output weights are the target embeddings", inherited=NETWORK)
    label_smoothing: float = knob(0.0, "share of the target spread over all tokens", minimum=0.0, maximum=0.9)
