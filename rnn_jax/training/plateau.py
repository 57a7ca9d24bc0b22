"""The learning rate falls when the validation score has stopped rising."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float


class PlateauState(NamedTuple):
    """What updates are multiplied by; float32 scalar."""

    scale: Float[Array, ""]


def scale_by_plateau() -> optax.GradientTransformation:
    """u ← scale · u with a scale that stays 1 until `reduce_learning_rate` says otherwise."""

    def init(params: Any) -> PlateauState:
        del params
        return PlateauState(jnp.ones((), jnp.float32))

    def update(updates: Any, state: PlateauState, params: Any = None) -> tuple[Any, PlateauState]:
        del params
        return jax.tree.map(lambda u: u * state.scale.astype(u.dtype), updates), state

    return optax.GradientTransformation(init, update)


def reduce_learning_rate(opt_state: Any, factor: float) -> Any:
    """The optimiser's state with the scale of `scale_by_plateau` multiplied by the factor."""

    def reduced(node: Any) -> Any:
        return PlateauState(node.scale * factor) if isinstance(node, PlateauState) else node

    return jax.tree.map(reduced, opt_state, is_leaf=lambda node: isinstance(node, PlateauState))


def learning_rate_scale(opt_state: Any) -> float:
    """The scale; 1 for an optimiser without one."""
    nodes = jax.tree.leaves(opt_state, is_leaf=lambda node: isinstance(node, PlateauState))
    return next((float(node.scale) for node in nodes if isinstance(node, PlateauState)), 1.0)


__all__ = ["PlateauState", "learning_rate_scale", "reduce_learning_rate", "scale_by_plateau"]
