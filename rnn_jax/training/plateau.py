"""The learning rate falls when the validation score has stopped rising."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from rnn_jax.training.stopping import Patience


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


class Plateau:
    """When the learning rate of a run falls. Restorable from `noted` and the optimiser's state.

    patience: evaluations without a new best before it does, 0 = never. scale: what it is multiplied by at present.
    """

    def __init__(self, patience: int, factor: float):
        self.factor, self.scale = factor, 1.0
        self._patience = Patience(patience, best=(-math.inf,))

    @property
    def noted(self) -> list[Any]:
        """The best rank, and evaluations since."""
        return [self._patience.best, self._patience.waited]

    def restore(self, noted: list[Any] | None, opt_state: Any) -> None:
        """Goes on where a checkpoint was saved; noted: None of earlier releases, which knew nothing of it."""
        self._patience = Patience(self._patience.patience, *(noted or [[-math.inf], 0]))
        self.scale = learning_rate_scale(opt_state)

    def after_evaluation(self, opt_state: Any, rank: tuple[float, ...]) -> tuple[Any, str]:
        """The optimiser's state to go on with, and what to say where it is another one."""
        self._patience.update(rank)
        if not self._patience.exhausted:
            return opt_state, ""
        self._patience.waited = 0
        opt_state = reduce_learning_rate(opt_state, self.factor)
        self.scale = learning_rate_scale(opt_state)  # float32: a resumed run logs the same number
        said = f"No new best in {self._patience.patience} evaluations: learning rate × {self.scale:.4g}."
        return opt_state, said


__all__ = ["Plateau", "PlateauState", "learning_rate_scale", "reduce_learning_rate", "scale_by_plateau"]
