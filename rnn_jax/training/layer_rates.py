"""Layers that learn at rates of their own, and from the head down one after another.

Howard & Ruder 2018, "Universal language model fine-tuning" (ULMFiT): discriminative fine-tuning and gradual unfreezing.
With d the depth of an array's layer, 0 that of the head, and E the updates between two layers, update t = 0, 1, …

    leaves the array alone while t < d · E
    learning_rate(t, d) = learning_rate(t) · layer_rate_decay^d

A layer that does not learn yet is as if it were not there: its gradient counts in no norm, nothing decays, and the
moments of the rule and their count begin with its first update. Deviations: each recurrent layer and the embeddings are
layers; the paper's groups joined some. The schedule is one for all, and goes on while a layer waits.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from rnn_jax.errors import UserError
from rnn_jax.training.adopt import array_name
from rnn_jax.training.optimizer_config import OptimizerConfig

PyTree = Any
Layers = Sequence[Sequence[str]]
"""From the head down, first names of the arrays of each layer; a stack of recurrent layers counts as several."""


class LayerRates(NamedTuple):
    """depths: of each array, in the order of the tree's leaves. Of each depth, factors: of the learning rate; starts:
    the first update that changes it.
    """

    depths: tuple[int, ...]
    factors: tuple[float, ...]
    starts: tuple[int, ...]


class ByLayerState(NamedTuple):
    """step: int32 scalar, updates made; rules: the state of each depth's rule."""

    step: Int[Array, ""]
    rules: tuple[PyTree, ...]


def layer_rates(config: OptimizerConfig, params: PyTree, layers: Layers, steps_per_epoch: int) -> LayerRates | None:
    """The rates that the knobs describe; None where all layers learn alike.

    params: arrays or their shapes. layers: as the network has them in LAYERS.

    Raises:
      UserError: the network has no such order.
      ValueError: an array is in none of the layers.
    """
    if config.layer_rate_decay == 1.0 and not config.unfreeze_every:
        return None
    if not layers:
        raise UserError(
            "--layer_rate_decay and --unfreeze_every need a network that says in LAYERS which of its arrays lie above"
            " which others: give it LAYERS, or leave them out."
        )
    depths = depths_of(names_of(params), layers)
    every = max(round(config.unfreeze_every * steps_per_epoch), 1) if config.unfreeze_every else 0
    found = range(max(depths) + 1)
    return LayerRates(depths, tuple(config.layer_rate_decay**d for d in found), tuple(every * d for d in found))


def depths_of(names: Sequence[str], layers: Layers) -> tuple[int, ...]:
    """The depth of each array by its name, from 0 without gaps; of a stack's layers, the last one is the highest.

    Raises:
      ValueError: an array is in none of the layers.
    """
    places = [_place(name, layers) for name in names]
    order = sorted(set(places))
    return tuple(order.index(place) for place in places)


def names_of(params: PyTree) -> list[str]:
    """The names of the arrays, in the order of the leaves."""
    return [array_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]


def said_of_layers(rates: LayerRates, params: PyTree, total_steps: int) -> str:
    """For people: each depth with its arrays, factor and first update."""
    names = names_of(params)
    said = []
    for depth, (factor, start) in enumerate(zip(rates.factors, rates.starts, strict=True)):
        members = dict.fromkeys(_layer_name(name) for name, d in zip(names, rates.depths, strict=True) if d == depth)
        when = f" from step {start:,} on" if start < total_steps else " never"
        said.append(f"{', '.join(members)} × {factor:.3g}{when if start else ''}")
    return f"Learning rates: {'; '.join(said)}."


def by_layer(
    clipping: optax.GradientTransformation, rule: optax.GradientTransformation, layers: LayerRates
) -> optax.GradientTransformation:
    """clipping over all arrays that learn, then the rule for each layer by itself, times its factor.

    clipping: without a state.
    """

    def init(params: PyTree) -> ByLayerState:
        return ByLayerState(jnp.zeros((), jnp.int32), tuple(map(rule.init, _split(params, layers))))

    def update(gradients: PyTree, state: ByLayerState, params: PyTree) -> tuple[PyTree, ByLayerState]:
        learns = [state.step >= start for start in layers.starts]
        gradients = _joined([_where(*pair) for pair in zip(learns, _split(gradients, layers))], gradients, layers)
        clipped, _ = clipping.update(gradients, clipping.init(params), params)
        updates, rules = [], []
        groups = zip(_split(clipped, layers), state.rules, _split(params, layers), strict=True)
        for depth, (gradient, before, weights) in enumerate(groups):
            changes, after = rule.update(gradient, before, weights)
            factor = layers.factors[depth]
            updates.append(_where(learns[depth], [factor * change for change in changes]))
            rules.append(jax.tree.map(lambda new, old, on=learns[depth]: jnp.where(on, new, old), after, before))
        return _joined(updates, gradients, layers), ByLayerState(state.step + 1, tuple(rules))

    return optax.GradientTransformation(init, update)


def _where(on: Array, arrays: Sequence[Array]) -> list[Array]:
    """The arrays, or zeros."""
    return [jnp.where(on, array, jnp.zeros_like(array)) for array in arrays]


def _split(tree: PyTree, layers: LayerRates) -> list[list[Array]]:
    """The leaves of each depth."""
    leaves = list(zip(layers.depths, jax.tree.leaves(tree), strict=True))
    return [[leaf for depth, leaf in leaves if depth == wanted] for wanted in range(len(layers.factors))]


def _joined(groups: Sequence[Sequence[Array]], like: PyTree, layers: LayerRates) -> PyTree:
    """The tree whose `_split` the groups are."""
    rest = [iter(group) for group in groups]
    return jax.tree.unflatten(jax.tree.structure(like), [next(rest[depth]) for depth in layers.depths])


def _place(name: str, layers: Layers) -> tuple[int, int]:
    """(number of the layer, −number within its stack): in the order of depth."""
    for number, members in enumerate(layers):
        if name.split(".")[0] in members:
            return number, -_number_in_stack(name)
    raise ValueError(f"the network does not say to which of its layers {name} belongs")


def _number_in_stack(name: str) -> int:
    found = re.match(r"\w+\.weights\.(\d+)\.", name)
    return int(found[1]) if found else 0


def _layer_name(name: str) -> str:
    """As in "encoder layer 2", or "embedding"."""
    first = name.split(".")[0]
    return f"{first} layer {_number_in_stack(name) + 1}" if ".weights." in name else first
