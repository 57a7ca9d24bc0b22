"""Adaptive softmax (Grave et al. 2017): few parameters and little work for the many words that are rare.

Ids are sorted by frequency, 0 the most frequent, and cut at c_1 < … < c_n < V. The first c_1 are classes of the head;
cluster i, of the c_{i+1} − c_i ids from c_i on (c_{n+1} = V), is one class of the head, and has a softmax of its own on
a projection of x:

    p(w) = h[w],  w < c_1             h = softmax(x W_head + b), of c_1 + n classes
    p(w) = h[c_1 + i − 1] · softmax(x P_i T_i)[w − c_i],  w in cluster i

A tail is computed for the tokens only that are in it. Everything is a function of the arrays: the cuts are their
shapes, and columns of the head may be made of an embedding (`params._replace(head=…)`). Products are in the dtype of x,
and from their sums on all is float32 (float64 stays).
ValueError where shapes do not fit each other.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.losses.cross_entropy import cross_entropy
from rnn_jax.numerics import check_integer, log_softmax, wide, wide_dtype
from rnn_jax.types import Array, Float, Int, Key

# Tokens of a tail that are computed at once: on CPU 32 and 64 are as fast, 256 take up to twice as long, since their
# logits leave the cache and the last chunk is less full. Accelerators, where each chunk has a price, want some more.
_CHUNK = 64


class AdaptiveParams(NamedTuple):
    """W_head and b; P_i and T_i of each cluster, that of the most frequent tokens first. V_i = c_{i+1} − c_i."""

    head: Float[Array, "D H"]
    head_bias: Float[Array, " H"]
    projections: tuple[Float[Array, "D _"], ...]
    tails: tuple[Float[Array, "_ _"], ...]


def init_adaptive(
    key: Key, input_size: int, vocabulary_size: int, cutoffs: Sequence[int], factor: int = 4
) -> AdaptiveParams:
    """Weights of variance 1 / inputs, zero bias; cluster i is projected to D / factor^i numbers, at least one.

    Raises:
      ValueError: sizes or a factor that are no integers of at least 1; cutoffs that do not rise within 1 … V − 1.
    """
    for name, value in (("input_size", input_size), ("vocabulary_size", vocabulary_size), ("factor", factor)):
        check_integer(name, value, 1)
    for cutoff in cutoffs:
        check_integer("a cutoff", cutoff, 1, vocabulary_size - 1, f" for a vocabulary of {vocabulary_size}")
    if list(cutoffs) != sorted(set(cutoffs)):
        raise ValueError(f"cutoffs rise from each to the next; got {tuple(cutoffs)}.")
    ends = [*cutoffs, vocabulary_size]
    num_head = ends[0] + len(cutoffs)
    keys = iter(jax.random.split(key, 1 + 2 * len(cutoffs)))
    weights = jax.nn.initializers.lecun_normal()
    head = weights(next(keys), (input_size, num_head), jnp.float32)
    sizes = [max(1, input_size // factor**number) for number in range(1, len(ends))]
    projections = tuple(weights(next(keys), (input_size, size), jnp.float32) for size in sizes)
    spans = zip(sizes, itertools.pairwise(ends), strict=True)
    tails = tuple(weights(next(keys), (size, high - low), jnp.float32) for size, (low, high) in spans)
    return AdaptiveParams(head, jnp.zeros(num_head, jnp.float32), projections, tails)


def adaptive_log_probs(params: AdaptiveParams, xs: Float[Array, "*B D"]) -> Float[Array, "*B V"]:
    """log p of every token, (…, D) → (…, V): all tails for every x, to generate and to score alternatives."""
    params = _checked(params, xs)
    heads = log_softmax(_head_logits(params, xs))
    num_short = heads.shape[-1] - len(params.tails)
    parts = [heads[..., :num_short]]
    for number, (projection, tail) in enumerate(zip(params.projections, params.tails, strict=True)):
        of_cluster = heads[..., num_short + number, None]
        within = log_softmax(_tail_logits(projection, tail, xs))
        parts.append(jnp.broadcast_to(of_cluster, within.shape) + within)
    return jnp.concatenate(parts, axis=-1)


def adaptive_cross_entropy(
    params: AdaptiveParams, xs: Float[Array, "*B D"], labels: Int[Array, "*B"], weights: Float[Array, "*B"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(Σ w · −log p(label), Σ w), exactly; what is promised of rows of weight 0 is what `cross_entropy` promises.

    The work for a tail is proportional to the number of tokens in it. It is a loop of as many chunks as they need,
    which JAX cannot differentiate: gradients are computed on the way, where any are asked for, and only once (no
    gradients of gradients, no `jax.jvp`).
    """
    return _cross_entropy(_checked(params, xs), xs, labels, weights)


@jax.jit  # so that a call outside of jit compiles once and not every time
def _cross_entropy(params, xs, labels, weights):
    xs, labels = xs.reshape(-1, xs.shape[-1]), labels.reshape(-1).astype(jnp.int32)
    weights = weights.reshape(-1).astype(wide_dtype(xs))
    real = weights > 0
    xs, labels = jnp.where(real[:, None], xs, 0), jnp.where(real, labels, 0)
    num_short = params.head.shape[1] - len(params.tails)
    sizes = [tail.shape[1] for tail in params.tails]
    starts = list(itertools.accumulate(sizes, initial=num_short))[:-1]
    clusters = sum((labels >= start).astype(jnp.int32) for start in starts) if starts else jnp.zeros_like(labels)
    in_head = jnp.where(clusters > 0, num_short + clusters - 1, labels)
    total, weight = cross_entropy(_head_logits(params, xs), in_head, weights)
    if not sizes:
        return total, weight
    # Tokens of a cluster next to each other, so that chunks are slices.
    order = jnp.argsort(clusters)
    counts = jnp.bincount(clusters, length=len(sizes) + 1)
    ends = jnp.cumsum(counts)
    xs, labels, weights = (_padded(array[order]) for array in (xs, labels, weights))
    for number, start in enumerate(starts):
        among = ends[number], ends[number + 1]
        total += _tail_total(params.projections[number], params.tails[number], (xs, labels - start, weights), among)
    return total, weight


@jax.custom_vjp
def _tail_total(projection, tail, rows, among):
    """Σ w · −log softmax(x P T)[label] of the rows (xs, labels, weights) from among[0] up to among[1]."""
    add = lambda position, chunk, total: total + _chunk_total(projection, tail, *chunk)  # noqa: E731
    return _over_chunks(add, jnp.zeros((), rows[2].dtype), rows, among)


def _tail_forward(projection, tail, rows, among):
    """The total, and its gradients by projection, tail, xs and weights."""
    value_and_gradients = jax.value_and_grad(_chunk_total, argnums=(0, 1, 2, 4))

    def add(position, chunk, sums):
        total, (of_projection, of_tail, of_xs, of_weights) = value_and_gradients(projection, tail, *chunk)
        return (
            sums[0] + total,
            sums[1] + wide(of_projection),
            sums[2] + wide(of_tail),
            jax.lax.dynamic_update_slice_in_dim(sums[3], of_xs, position, axis=0),
            jax.lax.dynamic_update_slice_in_dim(sums[4], of_weights, position, axis=0),
        )

    xs, _, weights = rows
    sums = jax.tree.map(jnp.zeros_like, (weights[0], wide(projection), wide(tail), xs, weights))
    total, of_projection, of_tail, of_xs, of_weights = _over_chunks(add, sums, rows, among)
    return total, (of_projection.astype(projection.dtype), of_tail.astype(tail.dtype), of_xs, of_weights)


def _tail_backward(gradients, cotangent):
    of_projection, of_tail, of_xs, of_weights = (cotangent.astype(leaf.dtype) * leaf for leaf in gradients)
    return of_projection, of_tail, (of_xs, None, of_weights), None


_tail_total.defvjp(_tail_forward, _tail_backward)


def _chunk_total(projection, tail, xs, labels, weights):
    return cross_entropy(_tail_logits(projection, tail, xs), labels, weights)[0]


def _over_chunks(add: Callable, sums: Any, rows: tuple[Array, Array, Array], among: tuple[Array, Array]) -> Any:
    """The sums after `add(position, chunk, sums)` of each chunk of the rows among[0] … among[1] − 1.

    Rows are followed by _CHUNK more; those of a chunk that are beyond the last have weight 0.
    """
    first, last = among

    def body(state):
        position, sums = state
        xs, labels, weights = (jax.lax.dynamic_slice_in_dim(array, position, _CHUNK) for array in rows)
        within = position + jnp.arange(_CHUNK, dtype=position.dtype) < last
        return position + _CHUNK, add(position, (xs, labels, jnp.where(within, weights, 0)), sums)

    return jax.lax.while_loop(lambda state: state[0] < last, body, (first, sums))[1]


def _padded(array: Array) -> Array:
    return jnp.pad(array, [(0, _CHUNK)] + [(0, 0)] * (array.ndim - 1))


def _head_logits(params: AdaptiveParams, xs: Array) -> Array:
    logits = _product(xs, params.head)
    return logits + jnp.broadcast_to(params.head_bias.astype(logits.dtype), logits.shape)


def _tail_logits(projection: Array, tail: Array, xs: Array) -> Array:
    return _product(_product(xs, projection).astype(xs.dtype), tail)


def _product(xs: Array, weights: Array) -> Array:
    """x W of numbers in the dtype of x, summed and returned in the wide one."""
    return jnp.matmul(xs, weights.astype(xs.dtype), preferred_element_type=wide_dtype(xs))


def _checked(params: AdaptiveParams, xs: Array) -> AdaptiveParams:
    """The params, once their shapes fit each other and the xs."""
    (size, num_head), num_tails = params.head.shape, len(params.tails)
    if xs.shape[-1] != size:
        raise ValueError(f"xs is (…, D) for a head of D={size}; got shape {xs.shape}.")
    if params.head_bias.shape != (num_head,):
        raise ValueError(f"head_bias is ({num_head},), one for each class of the head; got {params.head_bias.shape}.")
    inner = [(*projection.shape, tail.shape[0]) for projection, tail in zip(params.projections, params.tails)]
    if len(params.projections) != num_tails or any(a != size or b != c for a, b, c in inner):
        shapes = [leaf.shape for leaf in (*params.projections, *params.tails)]
        raise ValueError(f"Each projection is (D={size}, d) for a tail of (d, V_i); got shapes {shapes}.")
    if num_head <= num_tails:
        raise ValueError(
            f"A head has a class for each of {num_tails} tails and for one token at least; got {num_head}."
        )
    return params
