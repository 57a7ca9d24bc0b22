"""The knobs that all models of texts share, and what every script says and records of such a model."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

from flax import nnx

from rnn_jax.config import knob
from rnn_jax.models.recurrent_config import RecurrentConfig, dropout_knob, with_hidden_size
from rnn_jax.training.steps import count_parameters
from rnn_jax.training.summary import num_parameters


@dataclasses.dataclass(frozen=True)
class TextModelConfig(RecurrentConfig):
    """A recurrent stack between word embeddings and an output layer."""

    embedding_size: int = knob(100, "size of the embeddings of words or tokens", minimum=1)
    word_dropout: float = dropout_knob("words or tokens replaced by the unknown one")
    embedding_dropout: float = dropout_knob("rows of the embedding tables dropped in a batch")
    output_dropout: float = dropout_knob("dropout before the output layer")
    compute_dtype: str = knob("float32", "dtype of activations", choices=("float32", "bfloat16"))
    num_params: int = knob(0, "solve --hidden_size for this number of parameters (0 = off)", minimum=0)


M = TypeVar("M", bound=TextModelConfig)


def solve_width(config: M, inputs: Any, make_model: Callable[[M, Any], nnx.Module]) -> M:
    """The config with the hidden size that --num_params asks for.

    Raises:
      UserError: as `with_hidden_size`.
    """
    return with_hidden_size(config, config.num_params, lambda c: count_parameters(make_model, c, inputs))


def model_size(config: TextModelConfig, inputs: Any, make_model: Callable[..., nnx.Module], params: Any) -> dict:
    """What result.json says of a model's size."""
    width = solve_width(config, inputs, make_model).hidden_size
    return {"num_parameters": num_parameters(params), "hidden_size": ",".join(map(str, width))}


def describe_cells(config: RecurrentConfig) -> str:
    """As in "2-layer bidirectional gru"."""
    return f"{config.num_layers}-layer {'bidirectional ' * config.bidirectional}{' + '.join(config.cell)}"
