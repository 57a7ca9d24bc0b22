"""Forecasts written step by step, each step fed to the next: the network's own points, or paths that are drawn."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.models.forecast_stepwise import AttentionDecoder, Keys, RecursiveDecoder, inputs_of_step
from rnn_jax.models.forecast_windows import Windows
from rnn_jax.types import Array, Float, Key

StepwiseDecoder = RecursiveDecoder | AttentionDecoder
Write = Callable[[Float[Array, "N C K"], Array], tuple[Float[Array, "N C"], Any]]
"""(outputs of a step, its number) → the normalised value that is fed back, and what is kept of the step."""


def roll_out(
    decoder: StepwiseDecoder, windows: Windows, write: Write, *, num_paths: int = 1, key: Key | None = None
) -> Any:
    """What `write` keeps of all steps, with a leading axis of time (H,); N = R · num_paths, a row's side by side."""
    keys, horizon = Keys.of(key), windows.future_features.shape[1]
    started = decoder.start(windows, keys)

    def repeat(leaf: Array) -> Array:
        return jnp.repeat(leaf, num_paths, axis=0)

    carry, value, seen = jax.tree.map(repeat, (started.carry, started.value, started.observed))
    constants = repeat(windows.constants)

    def body(state: tuple, now: tuple[Array, Array]) -> tuple[tuple, Any]:
        (carry, value, seen), (number, features) = state, now
        x = inputs_of_step(value, seen, repeat(features), constants, decoder.sizes.has_missing)
        carry, outputs = decoder.step(carry, x, started.memory, keys, number)
        value, kept = write(outputs, number)
        return (carry, value, jnp.ones_like(seen)), kept

    steps = jnp.arange(horizon, dtype=jnp.int32)
    return jax.lax.scan(body, (carry, value, seen), (steps, jnp.moveaxis(windows.future_features, 1, 0)))[1]


def own_points(decoder: StepwiseDecoder, windows: Windows, *, key: Key | None = None) -> Float[Array, "R H C K"]:
    """The outputs of all steps, each given those before it; K = 1, the normalised value itself."""
    outputs = roll_out(decoder, windows, lambda outputs, _: (outputs[..., 0], outputs), key=key)
    return jnp.moveaxis(outputs, 0, 1)


def drawn_paths(
    decoder: StepwiseDecoder, windows: Windows, distribution_of: Callable, num_paths: int, keys: Key
) -> Float[Array, "R N H C"]:
    """Paths, each step drawn from its distribution given the draws before it (Salinas et al. 2020, §3.1).

    distribution_of: (outputs (R, N, C, K), units) → distributions (R, N, C). keys: one a row (R,). What is returned is
    in the units of the values; what is fed back is normalised.
    """
    units = windows.units

    def write(outputs: Array, number: Array) -> tuple[Array, Array]:
        distribution = distribution_of(outputs.reshape(len(keys), num_paths, *outputs.shape[1:]), units)
        step_keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, number)
        drawn = jax.vmap(lambda each, key: each.sample(key))(distribution, step_keys)
        normalised = units.normalize(drawn, jnp.ones_like(drawn, dtype=bool))
        return normalised.reshape(-1, drawn.shape[-1]), drawn

    return jnp.moveaxis(roll_out(decoder, windows, write, num_paths=num_paths), 0, 2)


def drawn_values(distribution: Any, num: int, keys: Key) -> Float[Array, "R N H C"]:
    """Draws from distributions (R, H, C), each value by itself; keys: one a row (R,)."""

    def of_row(each: Any, key: Key) -> Array:
        return jax.vmap(each.sample)(jax.random.split(key, num))

    return jax.vmap(of_row)(distribution, keys)
