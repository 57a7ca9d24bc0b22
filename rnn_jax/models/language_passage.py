"""A passage as a trained language model reads it: the loss of each token, its alternatives, and units over the text."""

from typing import Any

import jax
import numpy as np

from rnn_jax.analysis.passage import passage_page
from rnn_jax.analysis.units import choose_units
from rnn_jax.models.apply import Apply
from rnn_jax.models.language_model import LanguageModel, nats_of
from rnn_jax.text.language_codec import END_ID, LanguageCodec
from rnn_jax.text.streams import LanguagePart
from rnn_jax.types import Array, Float, Int

_TOKENS, _UNITS, _ALTERNATIVES = 512, 6, 3


def draw_passage(apply: Apply, codec: LanguageCodec, part: LanguagePart, title: str) -> str:
    """An HTML page of the beginning of a part: of its first document, or of as many as fill a passage."""
    labels = part.documents.values[:_TOKENS]
    tokens = np.concatenate([[END_ID], labels[:-1]]).astype(np.int32)
    batch = {"tokens": tokens[None], "labels": labels[None], "resets": (tokens == END_ID)[None]}
    nats, best, ys = (np.asarray(array)[0] for array in jax.device_get(apply(reading, batch)))
    units = choose_units(ys.astype(np.float32), _UNITS)
    alternatives = [", ".join(map(repr, codec.names(row))) for row in best]
    activations = {f"last layer, unit {unit}": ys[:, unit].astype(np.float32) for unit in units}
    names = codec.names(labels)
    if codec.kind == "word":
        names = [name if name == "\n" else f"{name} " for name in names]
    return passage_page(title, names, nats, activations=activations, alternatives=alternatives, unit=codec.unit)


def reading(model: LanguageModel, batch: dict[str, jax.Array]) -> Any:
    """Of each step −log p of its label, the most probable tokens, and the outputs of the last layer."""
    read = model.read(batch["tokens"], resets=batch["resets"])

    def of_step(log_probs: Float[Array, "*B V"], labels: Int[Array, "*B"]) -> tuple[Array, Array]:
        return nats_of(log_probs, labels), jax.lax.top_k(log_probs, _ALTERNATIVES)[1]

    return *model.of_each_step(of_step, read.features, batch["labels"]), read.ys
