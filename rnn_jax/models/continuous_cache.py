"""A continuous cache (Grave, Joulin & Usunier 2017): tokens that were seen in a like context are likely again.

    p(w) = (1 − λ) p_model(w) + λ p_cache(w),        p_cache(w) ∝ Σ_{i = t−n … t−1} 1{w_i = w} exp(θ f_t · f_i)

f_i are the features from which the model said w_i, those that its head reads. Of a document's first token there is
nothing in the cache, and p is p_model. Nothing is learned: θ and λ are tuned on validation data.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.models.adaptation_config import AdaptationConfig
from rnn_jax.models.apply import Apply
from rnn_jax.models.language_score import Batch, Reading
from rnn_jax.numerics import logsumexp
from rnn_jax.types import Array, Float, Int

_NO_DOCUMENT = -1


class Cache(NamedTuple):
    """The last n tokens, the features that they were said from, and the number of the document that each is of."""

    features: Float[Array, "n F"]
    labels: Int[Array, " n"]
    documents: Int[Array, " n"]


def empty_cache(size: int, num_features: int) -> Cache:
    """Nothing was seen yet."""
    documents = jnp.full(size, _NO_DOCUMENT, jnp.int32)
    return Cache(jnp.zeros((size, num_features), jnp.float32), jnp.zeros(size, jnp.int32), documents)


def cached_nats(
    apply: Apply, config: AdaptationConfig, readings: Iterable[tuple[Batch, Reading]]
) -> Iterator[tuple[Batch, np.ndarray]]:
    """−log p (T,) of the labels of each window of one lane, which goes on from the window before."""
    cache = None
    for batch, reading in readings:
        if cache is None:
            cache = empty_cache(config.cache_size, reading.features.shape[-1])
        numbers = {"weight": config.cache_weight, "flatness": config.cache_flatness}
        window = {name: batch[name][0] for name in ("labels", "documents")}
        nats, cache = apply(mixed, {}, window, reading.nats[0], reading.features[0], cache, numbers)
        yield batch, np.asarray(nats)


def mixed(
    model: Any,
    batch: Any,
    window: dict[str, Array],
    nats: Float[Array, " T"],
    features: Float[Array, "T F"],
    cache: Cache,
    numbers: dict[str, Any],
) -> tuple[Float[Array, " T"], Cache]:
    """−log p of the labels of a window, and the cache after it; nats: those of the model alone."""
    del model, batch
    size, length = len(cache.labels), len(nats)
    seen = Cache(features.astype(jnp.float32), window["labels"], window["documents"])
    keys = jax.tree.map(lambda old, new: jnp.concatenate([old, new]), cache, seen)
    # Token t of the window is key size + t: those of the cache are the `size` keys before it.
    ahead = jnp.arange(size + length)[None, :] - jnp.arange(length)[:, None]
    among = (ahead >= 0) & (ahead < size) & (keys.documents[None, :] == seen.documents[:, None])
    scores = jnp.where(among, numbers["flatness"] * (seen.features @ keys.features.T), -jnp.inf)
    same = keys.labels[None, :] == seen.labels[:, None]
    has_any = among.any(axis=1)
    log_cache = logsumexp(jnp.where(same, scores, -jnp.inf)) - jnp.where(has_any, logsumexp(scores), 0)
    weight = jnp.asarray(numbers["weight"], jnp.float32)
    with_cache = jnp.logaddexp(jnp.log1p(-weight) - nats, jnp.log(weight) + log_cache)
    return jnp.where(has_any, -with_cache, nats), jax.tree.map(lambda leaf: leaf[length:], keys)
