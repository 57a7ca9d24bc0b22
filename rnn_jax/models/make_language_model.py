"""From the knobs of a language model and its vocabulary to the network."""

import functools
from typing import Any

from flax import nnx

from rnn_jax.errors import UserError
from rnn_jax.models.language_heads import AdaptiveHead, MixtureHead, SoftmaxHead
from rnn_jax.models.language_model import LanguageModel
from rnn_jax.models.language_model_config import LanguageModelConfig
from rnn_jax.models.recurrent_config import RecurrentConfig
from rnn_jax.models.stack import make_stack
from rnn_jax.models.text_model_config import TextModelConfig
from rnn_jax.text.language_codec import UNKNOWN_ID, LanguageCodec


def make_language_model(
    encoder: RecurrentConfig,
    model: TextModelConfig,
    language: LanguageModelConfig,
    codec: LanguageCodec,
    rngs: nnx.Rngs,
) -> LanguageModel:
    """The network.

    Raises:
      UserError: what cannot be a language model.
    """
    tied = language.tie_output and language.head != "adaptive"
    return LanguageModel(
        check_stack(encoder),
        _head(language, codec, tied),
        vocabulary_size=codec.vocabulary_size,
        projected_size=model.embedding_size if tied else 0,
        variational_output=language.variational_output,
        activation_penalty=language.activation_penalty,
        temporal_penalty=language.temporal_penalty,
        unknown_id=UNKNOWN_ID,
        rngs=rngs,
        **model.arguments(),
    )


def check_stack(encoder: RecurrentConfig) -> Any:
    """The stack, which reads in one direction.

    Raises:
      UserError: it reads backwards too: it would see the tokens that it has to say.
    """
    if encoder.bidirectional:
        raise UserError("--bidirectional: a language model reads forwards only; it would see what it has to predict.")
    return make_stack(encoder)


def _head(language: LanguageModelConfig, codec: LanguageCodec, tied: bool) -> Any:
    """The class of the head with its settings; the size of its input and the source of keys are left open."""
    size = codec.vocabulary_size
    if language.head == "adaptive":
        cutoffs = language.cutoffs or (max(size // 10, 1), max(size // 3, 2))
        if list(cutoffs) != sorted(set(cutoffs)) or cutoffs[-1] >= size:
            raise UserError(
                f"--cutoffs={','.join(map(str, cutoffs))}: numbers that rise, below the size of the vocabulary, {size}."
                " A small vocabulary needs no --head=adaptive."
            )
        return functools.partial(AdaptiveHead, size, cutoffs=cutoffs)
    if language.head == "mixture":
        return functools.partial(MixtureHead, size, tied=tied, num_mixtures=language.num_mixtures)
    return functools.partial(SoftmaxHead, size, tied=tied, num_sampled=language.num_sampled)
