"""What a train step carries: parameters, optimiser state and averaged weights, as one plain pytree."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from rnn_jax.numerics import norm_parts
from rnn_jax.training.nonmonotone import TriggeredMean, include, mean_or, not_begun

PyTree = Any


class TrainState(NamedTuple):
    """Everything that an update reads and writes.

    step: int32 scalar, number of updates made. ema: running average of the parameters, biased towards zero until
    `evaluation_params` divides by 1 − decay^step; None without averaging. carry: what goes on from batch to batch,
    leaves (B, …). key: the data of the key that updates fold their number into. rates: the optimiser's numbers in which
    runs of one program may differ, float32 scalars. mean: of the parameters since NT-ASGD was triggered; None where it
    never is.
    """

    step: Any
    params: PyTree
    opt_state: PyTree
    ema: PyTree | None
    carry: PyTree = ()
    key: PyTree = ()
    rates: PyTree = ()
    mean: TriggeredMean | None = None


def create_state(
    params: PyTree, optimizer: optax.GradientTransformation, ema_decay: float = 0.0, nonmonotone_interval: int = 0
) -> TrainState:
    """The state before the first update; with an EMA, or a mean that may begin, where its knob is not 0."""
    ema = jax.tree.map(jnp.zeros_like, params) if ema_decay else None
    mean = not_begun(params) if nonmonotone_interval else None
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params), ema, mean=mean)


def apply_gradients(
    state: TrainState,
    grads: PyTree,
    optimizer: optax.GradientTransformation,
    ema_decay: float = 0.0,
    rate_factor: Float[Array, ""] | None = None,
) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
    """One update: w ← w + optimizer(g), ema ← d · ema + (1 − d) · w; a mean that has begun takes w in.

    rate_factor: times the learning rate of this update.

    Also returns {"gradient_norm": ‖g‖₂ over all parameters, before any clipping}.
    """
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    if rate_factor is not None:
        updates = jax.tree.map(lambda change: change * rate_factor.astype(change.dtype), updates)
    params = optax.apply_updates(state.params, updates)
    ema = state.ema
    if ema_decay:
        ema = jax.tree.map(lambda average, new: ema_decay * average + (1.0 - ema_decay) * new, ema, params)
    mean = None if state.mean is None else include(state.mean, params)
    metrics = {"gradient_norm": global_norm(grads)}
    return state._replace(step=state.step + 1, params=params, opt_state=opt_state, ema=ema, mean=mean), metrics


def evaluation_params(state: TrainState, ema_decay: float = 0.0) -> PyTree:
    """The averaged weights, ema / (1 − decay^step) or the triggered mean, where there are such; else the weights.

    Without the division the average of a short run would still be mostly the zeros that it started from.
    """
    if state.mean is not None:
        return mean_or(state.mean, state.params)
    if not ema_decay:
        return state.params
    # −expm1(t·log d) is 1 − dᵗ without the cancellation that float32 suffers for d near 1.
    weight = -jnp.expm1(jnp.asarray(state.step).astype(jnp.float32) * math.log(ema_decay))
    started = weight > 0.0
    scale = 1.0 / jnp.where(started, weight, 1.0)
    return jax.tree.map(
        lambda average, new: jnp.where(started, average * scale.astype(average.dtype), new), state.ema, state.params
    )


def global_norm(tree: PyTree) -> Float[Array, ""]:
    """√(sum of squares over all arrays), accumulated in float32; ∞ or NaN only where an entry or the norm itself is."""
    scale, norm = norm_parts(jax.tree.leaves(tree))
    return (scale * norm).astype(jnp.float32)
