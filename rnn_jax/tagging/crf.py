"""Linear-chain conditional random field (Lafferty et al. 2001): probabilities of whole sequences of labels.

A path y_1…y_T of labels, one for each real step, has

    score(y) = start[y_1] + Σ_t emissions[t, y_t] + Σ_{t>1} transitions[y_{t−1}, y_t] + end[y_T],
    p(y) = exp(score(y) − log Z),    Z = Σ over all paths of exp score(y).

As in taggers (Lample et al. 2016) the emissions come from a network. Instead of their two extra labels for the ends of
a sentence there are the vectors start and end, which say the same.

What holds for every function here: leading axes are batches. `mask` (True = a real step) may have padding at the end,
gaps, and rows without real steps, which have one path, the empty one, of score 0. What padded steps hold, NaN included,
reaches neither values nor gradients; start belongs to the first real step, end to the last. Scores are computed and
returned in float32, or float64 if emissions or params are, whatever the emissions' dtype. Labels are integers in
0…L − 1; at padded and unobserved steps they may be any. Others are a ValueError where labels and mask are known; where
they are traced (inside of jit, vmap), the row's score and likelihood are NaN, and so are its gradients.
A score of −∞, of emissions and params alike, makes its paths impossible: probability 0, and its gradient is 0. A row
without any possible path has log Z = −∞, marginals of 0, log-likelihood −∞ for every path, and gradient 0; the other
rows know nothing of it. Scores of a path must not add up to +∞.
Flags are booleans, or integers that are 0 or not: TypeError for other numbers, and for labels that are no integers.
ValueError where shapes disagree.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.cells.base import check_size
from rnn_jax.masking import as_flags, as_integers, check_range
from rnn_jax.numerics import known_array, logsumexp, wide_dtype
from rnn_jax.types import Array, Bool, Float, Int

_ILLEGAL = -1e6  # Beats what emissions of hundreds add up to over thousands of steps; its own rounding stays below 0.1.


class CRFParams(NamedTuple):
    """Scores, of any sign: transitions[i, j] of label i followed by j, start and end of the first and last label."""

    transitions: Float[Array, "L L"]
    start: Float[Array, " L"]
    end: Float[Array, " L"]


class Legal(NamedTuple):
    """transitions[i, j]: label j may follow i; start and end: it may be the first, the last of a sequence."""

    transitions: Bool[Array, "L L"] | Int[Array, "L L"]
    start: Bool[Array, " L"] | Int[Array, " L"]
    end: Bool[Array, " L"] | Int[Array, " L"]


def init_crf(num_labels: int) -> CRFParams:
    """Zeros: at first the emissions alone decide, each step for itself.

    Raises:
      ValueError: num_labels is no integer of at least 1.
    """
    check_size("num_labels", num_labels)
    return CRFParams(jnp.zeros((num_labels, num_labels)), jnp.zeros(num_labels), jnp.zeros(num_labels))


def constrain(params: CRFParams, legal: Legal) -> CRFParams:
    """The params with −10⁶ in place of every illegal score; gradients there are zero.

    An illegal path has probability 0 and never wins as long as a legal one scores less than 10⁶ below it without that
    penalty. Where no path is legal, the result is finite and says so by its size; `nbest` lists illegal paths (score
    about −10⁶) after the legal ones. Constrain for training and decoding alike.
    """
    params = _checked(params, np.size(params.start))
    shapes = {name: scores.shape for name, scores in params._asdict().items()}
    flags = (as_flags(f"legal.{name}", flags, shapes[name]) for name, flags in legal._asdict().items())
    return CRFParams(*(jnp.where(allowed, scores, _ILLEGAL) for allowed, scores in zip(flags, params, strict=True)))


def sequence_score(
    params: CRFParams,
    emissions: Float[Array, "*B T L"],
    labels: Int[Array, "*B T"],
    mask: Bool[Array, "*B T"] | Int[Array, "*B T"],
) -> Float[Array, "*B"]:
    """score(labels), not normalised: (*B, T, L), (*B, T) → (*B,)."""
    params, emissions, flags = _prepared(params, emissions, mask)
    labels, factor = _prepared_labels(emissions, labels, {"mask": mask})
    row = jnp.vectorize(functools.partial(_score_of_row, params), signature="(t,l),(t),(t)->()")
    return row(emissions, labels, flags) * factor


def log_partition(
    params: CRFParams,
    emissions: Float[Array, "*B T L"],
    mask: Bool[Array, "*B T"] | Int[Array, "*B T"],
    allowed: Bool[Array, "*B T L"] | Int[Array, "*B T L"] | None = None,
) -> Float[Array, "*B"]:
    """log Z by the forward algorithm: (*B, T, L) → (*B,).

    α_1 = start + emissions[1],  α_t[j] = emissions[t, j] + log Σ_i exp(α_{t−1}[i] + transitions[i, j]),
    log Z = log Σ_i exp(α_T[i] + end[i]).

    With `allowed`, the sum is over the paths whose labels are allowed at each real step; −∞ if there are none.
    """
    params, emissions, mask = _prepared(params, emissions, mask)
    if allowed is not None:
        emissions = jnp.where(as_flags("allowed", allowed, emissions.shape), emissions, -jnp.inf)
    return _log_partition(params, emissions, mask)


def log_likelihood(
    params: CRFParams,
    emissions: Float[Array, "*B T L"],
    labels: Int[Array, "*B T"],
    mask: Bool[Array, "*B T"] | Int[Array, "*B T"],
    observed: Bool[Array, "*B T"] | Int[Array, "*B T"] | None = None,
) -> Float[Array, "*B"]:
    """log p(labels) = score(labels) − log Z, at most 0 up to rounding: (*B, T, L), (*B, T) → (*B,).

    With `observed`, the log probability of the observed labels alone: log Z over the paths that have them, whatever
    they have at the real steps that are not observed, − log Z (Tsuboi et al. 2008). Impossible ones: −∞, no gradient.
    """
    if observed is None:
        score = sequence_score(params, emissions, labels, mask)
    else:
        params, emissions, flags = _prepared(params, emissions, mask)
        labels, factor = _prepared_labels(emissions, labels, {"mask": mask, "observed": observed})
        free = ~as_flags("observed", observed)
        consistent = jax.nn.one_hot(labels, emissions.shape[-1], dtype=bool) | free[..., None]
        score = log_partition(params, emissions, flags, consistent) * factor
    # If these are impossible, all may be: −∞ + ∞.
    return jnp.where(score == -jnp.inf, -jnp.inf, score - log_partition(params, emissions, mask))


def marginals(
    params: CRFParams, emissions: Float[Array, "*B T L"], mask: Bool[Array, "*B T"] | Int[Array, "*B T"]
) -> Float[Array, "*B T L"]:
    """p(y_t = l) = ∂ log Z / ∂ emissions[t, l], zeros at padded steps: (*B, T, L) → (*B, T, L).

    So the backward algorithm is the forward one's gradient (Eisner 2016); it can be differentiated again.
    """
    params, emissions, mask = _prepared(params, emissions, mask)
    return jax.grad(lambda emissions: _log_partition(params, emissions, mask).sum())(emissions)


def viterbi(
    params: CRFParams, emissions: Float[Array, "*B T L"], mask: Bool[Array, "*B T"] | Int[Array, "*B T"]
) -> tuple[Int[Array, "*B T"], Float[Array, "*B"]]:
    """argmax_y score(y), int32 with 0 at padded steps, and its score: (*B, T, L) → (*B, T), (*B,)."""
    labels, scores = nbest(params, emissions, mask, 1)
    return labels[..., 0, :], scores[..., 0]


def nbest(
    params: CRFParams, emissions: Float[Array, "*B T L"], mask: Bool[Array, "*B T"] | Int[Array, "*B T"], n: int
) -> tuple[Int[Array, "*B n T"], Float[Array, "*B n"]]:
    """The n best different paths, best first, and their scores: (*B, T, L) → (*B, n, T) int32, (*B, n).

    Each label keeps the n best paths that end in it, δ_t[j] = emissions[t, j] + the n largest, over i and k, of
    δ_{t−1}[i, k] + transitions[i, j]; n = 1 is Viterbi's algorithm. A row with fewer than n paths ends with scores −∞
    and labels 0, and so do paths through an emission of −∞. Labels are 0 at padded steps.

    Raises:
      ValueError: n is no integer of at least 1.
    """
    check_size("n", n)
    params, emissions, mask = _prepared(params, emissions, mask)
    return _nbest(params, emissions, mask, n=int(n))


# Jitted, so that a call outside of jit, or its gradient, compiles once and not at every call.
@jax.jit
def _log_partition(params, emissions, mask):
    row = functools.partial(_log_partition_of_row, params)
    return jnp.vectorize(row, signature="(t,l),(t)->()")(emissions, mask)


@functools.partial(jax.jit, static_argnames="n")
def _nbest(params, emissions, mask, *, n):
    row = functools.partial(_nbest_of_row, params, n=n)
    return jnp.vectorize(row, signature="(t,l),(t)->(n,t),(n)")(emissions, mask)


def _score_of_row(params, emissions, labels, mask):
    # Index 0 stands for "no step yet", 1…T for the steps, so that gaps and T = 0 need no cases of their own.
    steps = jnp.arange(1, labels.size + 1, dtype=jnp.int32)
    latest = jax.lax.cummax(jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.where(mask, steps, 0)]))
    labels = jnp.concatenate([jnp.zeros(1, jnp.int32), labels])
    here, before = labels[1:], labels[latest[:-1]]
    scores = jnp.where(latest[:-1] == 0, params.start[here], params.transitions[before, here])
    scores += jnp.take_along_axis(emissions, here[:, None], axis=1)[:, 0]
    return jnp.where(mask, scores, 0).sum() + jnp.where(latest[-1] > 0, params.end[labels[latest[-1]]], 0)


def _log_partition_of_row(params, emissions, mask):
    def step(alpha, inputs):
        emission, real, first = inputs
        arrived = logsumexp(alpha[:, None] + params.transitions, axis=0)
        return jnp.where(real, emission + jnp.where(first, params.start, arrived), alpha), None

    alpha, _ = jax.lax.scan(step, jnp.zeros_like(params.start), (emissions, mask, _first(mask)))
    return jnp.where(mask.any(), logsumexp(alpha + params.end), 0)


def _nbest_of_row(params, emissions, mask, n):
    num_labels = params.start.size
    slots = jnp.arange(num_labels * n, dtype=jnp.int32).reshape(num_labels, n)  # the k-th path into i is i n + k
    first_slot = jnp.arange(n, dtype=jnp.int32) == 0
    start = jnp.where(jnp.broadcast_to(first_slot, slots.shape), params.start[:, None], -jnp.inf)
    transitions = jnp.repeat(params.transitions, n, axis=0).T  # (to, from n)

    def step(delta, inputs):
        emission, real, first = inputs
        arrived, pointers = _largest(delta.reshape(1, -1) + transitions, n)
        proposed = emission[:, None] + jnp.where(first, start, arrived)
        return jnp.where(real, proposed, delta), jnp.where(real, pointers, slots)

    def back(slot, inputs):
        pointers, real = inputs
        return pointers.reshape(-1)[slot], jnp.where(real, slot // n, 0)

    delta, pointers = jax.lax.scan(step, start, (emissions, mask, _first(mask)))
    scores, slot = _largest((delta + params.end[:, None]).reshape(-1), n)
    scores = jnp.where(mask.any(), scores, jnp.where(first_slot, 0, -jnp.inf))
    _, labels = jax.lax.scan(back, slot, (pointers, mask), reverse=True)
    return jnp.where((scores > -jnp.inf)[:, None], labels.T, 0), scores


def _largest(values, n):
    """The n largest along the last axis and where they are, the earlier first of equals."""
    if n > 1:
        return jax.lax.top_k(values, n)
    index = jnp.argmax(values, axis=-1, keepdims=True).astype(jnp.int32)  # top_k would sort
    return jnp.take_along_axis(values, index, axis=-1), index


def _first(mask):
    return mask & (jnp.cumsum(mask, dtype=jnp.int32) == 1)


def _prepared(params: CRFParams, emissions: Array, mask: Array) -> tuple[CRFParams, Array, Array]:
    """Params and emissions in the dtype to compute in, and the mask as booleans, once their shapes are checked.

    Padding is not zeroed: emissions are only added to things, which `where` then drops, and a sum's derivative, unlike
    a cell's, is always finite. Scores of −∞ are cut off from their gradient, which sums would pass on.
    """
    emissions = jnp.asarray(emissions)
    num_labels = emissions.shape[-1] if emissions.ndim else 0
    if emissions.ndim < 2 or num_labels not in {size for scores in params for size in np.shape(scores)}:
        size = np.size(params.start)
        raise ValueError(f"emissions is (…, T, L) for params of L={size}; got shape {emissions.shape}.")
    params = _checked(params, num_labels)
    mask = as_flags("mask", mask, emissions.shape[:-1])
    dtype = wide_dtype(emissions, *params)
    *scores, emissions = (jnp.where(leaf == -jnp.inf, -jnp.inf, leaf.astype(dtype)) for leaf in (*params, emissions))
    return CRFParams(*scores), emissions, mask


def _checked(params: CRFParams, num_labels: int) -> CRFParams:
    """The params as arrays, once each has the shape that L labels need."""
    shapes = ((num_labels,) * 2, (num_labels,), (num_labels,))
    params = CRFParams(*map(jnp.asarray, params))
    for (name, scores), shape in zip(params._asdict().items(), shapes):
        if scores.shape != shape:
            raise ValueError(f"{name} is {shape} for L={num_labels}; got {scores.shape}.")
    return params


def _prepared_labels(emissions: Array, labels: Any, flags: dict[str, Any]) -> tuple[Array, Array]:
    """The labels as int32, and a factor of each row's score: 1, or NaN where a label that all flags count is none."""
    *shape, num_labels = emissions.shape
    known = [each for each in map(known_array, (labels, *flags.values())) if each is not None]
    labels = as_integers("labels", labels, tuple(shape))
    counts = functools.reduce(jnp.logical_and, (as_flags(name, each, tuple(shape)) for name, each in flags.items()))
    if len(known) == 1 + len(flags):
        check_range("labels", known[0][np.all([each != 0 for each in known[1:]], axis=0)], 0, num_labels - 1)
    valid = (labels >= 0) & (labels < num_labels) | ~counts
    labels = jnp.clip(labels, 0, num_labels - 1).astype(jnp.int32)  # so that NaN reaches the scores that are looked up
    return labels, jnp.where(valid.all(axis=-1), 1, jnp.nan).astype(emissions.dtype)
