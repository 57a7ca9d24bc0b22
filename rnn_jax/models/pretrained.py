"""From a language model to the classifier that starts from it.

Dai & Le 2015, "Semi-supervised sequence learning" (SA-LSTM); Howard & Ruder 2018 (ULMFiT). Embedding and recurrent
layers are the language model's, and so is how texts become tokens. What is behind them begins anew.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from rnn_jax.data.codec import Codec
from rnn_jax.errors import UserError
from rnn_jax.models.classifier_config import ClassifierConfig
from rnn_jax.models.recurrent_config import RecurrentConfig
from rnn_jax.text.language_codec import LanguageCodec
from rnn_jax.text.text_codec import codec_of_language_model

PyTree = Any


class Pretrained(NamedTuple):
    """What a run gives to another that starts from it.

    params: under the names of the other's network; None where it goes on from a checkpoint of its own. lacks: first
    names of arrays that it does not have, beside the other's heads.
    """

    codec: Codec
    params: PyTree | None = None
    lacks: tuple[str, ...] = ()


@runtime_checkable
class LanguageModelRun(Protocol):
    """A trained language model."""

    @property
    def codec(self) -> LanguageCodec:
        """Its units."""

    @property
    def params(self) -> PyTree:
        """By the names of `LanguageModel`."""


def classifier_from(trained: LanguageModelRun, encoder: RecurrentConfig, classifier: ClassifierConfig) -> Pretrained:
    """What a text classifier with such knobs takes over of a language model.

    Raises:
      UserError: the classifier's recurrent layers are to read what a language model's do not.
    """
    if encoder.bidirectional:
        raise UserError("--bidirectional: the language model of --init_from reads forwards only. Leave it out.")
    if classifier.convolution_width:
        raise UserError(
            f"--convolution_width={classifier.convolution_width}: the recurrent layers of the language model of"
            " --init_from read embeddings, not windows of them. Leave it out."
        )
    taken = {name: trained.params[name] for name in ("embedding", "encoder")}
    return Pretrained(codec_of_language_model(trained.codec), taken, lacks=("pooling",))
