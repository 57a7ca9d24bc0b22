"""Optimisers and learning rate schedules from a configuration.

One update of the weights w with the gradient g of the data loss, in this order:

    g ← clip(g, ±clip_value)                          each entry by itself
    g ← g · min(1, clip_global_norm / ‖g‖)            ‖g‖ over all parameters, however large
    g ← g + l2 · w + l1 · sign(w)                     only arrays of rank ≥ 2: weights, not biases or gains
    u ← rule(g)                                       sgd … adamw, below
    u ← u + weight_decay · w                          adamw only, rank ≥ 2: decoupled from the rule's scaling
    w ← w − learning_rate(t) · u

The penalties come after clipping, where torch's `weight_decay` is as well: clipping tames exploding data gradients and
must not weaken the pull of the penalty on such steps. (Adding the penalties to the loss instead would clip both.)

    sgd       u = g
    momentum  v ← momentum · v + g,                        u = v
    adagrad   s ← s + g²  (s₀ = 0),                        u = g / √(s + ε²)
    rmsprop   s ← β₂ s + (1 − β₂) g²  (s₀ = 0),            u = g / (√s + ε)
    adam(w)   m ← β₁ m + (1 − β₁) g, s as in rmsprop,      u = m̂ / (√ŝ + ε),  m̂ = m / (1 − β₁ᵗ), ŝ = s / (1 − β₂ᵗ)

With `layer_rates`, the learning rate is that of the array's layer, and layers that do not learn yet are left out.

These are torch's conventions (adagrad up to where the tiny ε stands).
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from rnn_jax.errors import UserError
from rnn_jax.numerics import norm_parts
from rnn_jax.training.layer_rates import LayerRates, by_layer
from rnn_jax.training.optimizer_config import OPTIMIZERS, OptimizerConfig
from rnn_jax.training.plateau import scale_by_plateau


def make_schedule(config: OptimizerConfig, total_steps: int, rates: Mapping[str, Any] | None = None) -> optax.Schedule:
    """Learning rate of update t = 0, 1, …, with W = warmup_steps, r = decay_rate, f = final_learning_rate_fraction:

        t < W        learning_rate · (t + 1) / W
        constant     learning_rate
        cosine       learning_rate · (f + (1 − f) · ½(1 + cos(π p))),  p = (t − W) / (total_steps − W) up to 1
        exponential  learning_rate · max(f, r^((t − W) / decay_steps))
        step         learning_rate · max(f, r^⌊(t − W) / decay_steps⌋)

    rates: numbers of the train state that take the place of the configuration's ("learning_rate").

    Raises UserError when a cosine has no steps left after the warm-up.
    """
    peak = (rates or {}).get("learning_rate", config.learning_rate)
    warmup, floor = config.warmup_steps, config.final_learning_rate_fraction
    if config.schedule == "cosine" and total_steps <= warmup:
        raise UserError(
            f"--warmup_steps={warmup} leaves nothing of the {total_steps} training steps for --schedule=cosine: "
            "lower --warmup_steps or train longer"
        )

    def schedule(count: Any) -> Float[Array, "*ensemble"]:
        steps = jnp.asarray(count).astype(jnp.float32)
        after = jnp.maximum(steps - warmup, 0.0)
        if config.schedule == "cosine":
            progress = jnp.minimum(after / (total_steps - warmup), 1.0)
            fraction = floor + (1.0 - floor) * 0.5 * (1.0 + jnp.cos(jnp.pi * progress))
        elif config.schedule in ("exponential", "step"):
            exponent = after / config.decay_steps
            exponent = jnp.floor(exponent) if config.schedule == "step" else exponent
            fraction = jnp.maximum(jnp.float32(config.decay_rate) ** exponent, floor)
        else:
            fraction = jnp.ones_like(after)
        return peak * jnp.where(steps < warmup, (steps + 1.0) / max(warmup, 1), fraction)

    return schedule


def make_optimizer(
    config: OptimizerConfig,
    total_steps: int,
    rates: Mapping[str, Any] | None = None,
    layers: LayerRates | None = None,
) -> optax.GradientTransformation:
    """The update rule of the module's docstring; its state is a plain pytree of arrays.

    rates: as in `make_schedule`, also "weight_decay"; whether there is any decay is the configuration's to say.
    """
    if config.weight_decay and config.optimizer != "adamw":
        raise UserError(
            f"--weight_decay={config.weight_decay} is decoupled decay and needs --optimizer=adamw "
            f"(given: {config.optimizer}); use --l2 for a penalty with any optimizer"
        )
    clipping, rule = _clipping(config), _penalised_rule(config, rates or {})
    parts = [*clipping, *rule]
    if layers is not None:
        parts = [by_layer(optax.chain(optax.identity(), *clipping), optax.chain(*rule), layers)]
    parts.append(optax.scale_by_learning_rate(make_schedule(config, total_steps, rates)))
    if config.plateau_patience:
        parts.append(scale_by_plateau())
    return _with_standard_promotion(optax.chain(*parts))


def _clipping(config: OptimizerConfig) -> list[optax.GradientTransformation]:
    parts = []
    if config.clip_value:
        parts.append(optax.clip(config.clip_value))
    if config.clip_global_norm:
        parts.append(clip_by_global_norm(config.clip_global_norm))
    return parts


def _penalised_rule(config: OptimizerConfig, rates: Mapping[str, Any]) -> list[optax.GradientTransformation]:
    parts = []
    if config.l1 or config.l2:
        parts.append(add_penalty_gradients(config.l1, config.l2))
    parts.append(_rule(config))
    if config.weight_decay:
        decay = rates.get("weight_decay", config.weight_decay)
        parts.append(optax.add_decayed_weights(decay, mask=_is_weight))
    return parts


def _rule(config: OptimizerConfig) -> optax.GradientTransformation:
    match config.optimizer:
        case "sgd":
            return optax.identity()
        case "momentum":
            return optax.trace(config.momentum)
        case "adagrad":
            return optax.scale_by_rss(initial_accumulator_value=0.0, eps=config.epsilon**2)
        case "rmsprop":
            return optax.scale_by_rms(config.beta2, config.epsilon, eps_in_sqrt=False)
        case "adam" | "adamw":
            return optax.scale_by_adam(config.beta1, config.beta2, config.epsilon)
    raise UserError(f"--optimizer={config.optimizer}: allowed: {', '.join(OPTIMIZERS)}")


def clip_by_global_norm(max_norm: float) -> optax.GradientTransformation:
    """g ← g · min(1, max_norm / ‖g‖), ‖g‖ over all arrays; a direction, however long g is.

    Optax's squares the entries, and from 1e20 on makes zeros of them. An entry that is ∞ or NaN becomes NaN here too.
    """

    def update(updates: Any, params: Any) -> Any:
        del params
        scale, norm = norm_parts(jax.tree.leaves(updates))

        def clip(gradient: Array) -> Array:
            clipped = gradient.astype(scale.dtype) / scale * (max_norm / norm)
            return jnp.where(scale * norm <= max_norm, gradient, clipped.astype(gradient.dtype))

        return jax.tree.map(clip, updates)

    return optax.stateless(update)


def add_penalty_gradients(l1: float, l2: float) -> optax.GradientTransformation:
    """Adds l2·w + l1·sign(w) on arrays of rank ≥ 2: the gradient of l2·½‖w‖² + l1·|w|₁."""

    def penalise(gradient: Array, weight: Array) -> Array:
        return gradient + l2 * weight + l1 * jnp.sign(weight) if weight.ndim >= 2 else gradient

    def update(updates: Any, params: Any) -> Any:
        return jax.tree.map(penalise, updates, params)

    return optax.stateless(update)


def _is_weight(params: Any) -> Any:
    return jax.tree.map(lambda array: array.ndim >= 2, params)


def _with_standard_promotion(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """Optax computes β**count with an integer count, which JAX's strict dtype promotion (used in our tests) refuses."""

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        with jax.numpy_dtype_promotion("standard"):
            return inner.update(updates, state, params)

    return optax.GradientTransformation(inner.init, update)
