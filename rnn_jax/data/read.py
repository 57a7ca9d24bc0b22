"""What reading the data of a task gives."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rnn_jax.data.codec import Codec
from rnn_jax.data.sources import Source

PyTree = Any


class Data(NamedTuple):
    """The training data, parts to score, and the codec.

    train: makes the source that training reads; evaluation and prediction never ask for it.
    parts: "validation" first, then the tests: whatever `score` takes. train_part: makes one of the training data.
    notes: what the user should know of the data.
    start: of fresh parameters those to begin with, where the data brings some (pretrained word vectors).
    """

    train: Callable[[], Source]
    parts: Mapping[str, Any]
    codec: Codec
    notes: tuple[str, ...] = ()
    start: Callable[[PyTree], PyTree] = lambda params: params
    train_part: Callable[[], Any] = lambda: None
