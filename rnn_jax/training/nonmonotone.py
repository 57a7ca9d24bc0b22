"""NT-ASGD: once validation scores stop rising, the mean of the weights is used in place of the weights.

Merity et al. 2018, "Regularizing and optimizing LSTM language models", algorithm 1 (its first preprint has another
condition, which the authors call a slip). Of evaluations v_0, v_1, … and a non-monotone interval n, the mean begins at

    the first v_t, t > n, that is worse than the best of v_0, …, v_{t−n−1}:  all before it but the last n

and is then, with w_i the weights after update i and T the last update before that evaluation,

    w̄ = Σ_{i=T+1}^{k} w_i / (k − T)

The updates themselves go on from w as if nothing had happened. Deviations: the paper's sum takes w_T too; v is what
checkpoints are compared by, ties included; any optimiser and schedule will do, not only SGD at a constant rate.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

PyTree = Any


class TriggeredMean(NamedTuple):
    """count: int32 scalar, updates in the mean; −1 until it begins. params: the mean; zeros until there is one."""

    count: Any
    params: PyTree


def not_begun(params: PyTree) -> TriggeredMean:
    """A mean for such parameters that takes none in yet."""
    return TriggeredMean(jnp.full((), -1, jnp.int32), jax.tree.map(jnp.zeros_like, params))


def begun(mean: TriggeredMean) -> TriggeredMean:
    """The mean that takes in parameters from the next update on, of one that has not begun."""
    return mean._replace(count=mean.count + 1)  # placed as it was, so that no program is compiled anew


def include(mean: TriggeredMean, params: PyTree) -> TriggeredMean:
    """After an update: w̄ ← w̄ + (w − w̄) / count with count ← count + 1; the mean as given until it begins."""
    has_begun = mean.count >= 0
    count = jnp.where(has_begun, mean.count + 1, mean.count)

    def included(average: Any, new: Any) -> Any:
        return jnp.where(has_begun, average + (new - average) / count.astype(average.dtype), average)

    return TriggeredMean(count, jax.tree.map(included, mean.params, params))


def mean_or(mean: TriggeredMean, params: PyTree) -> PyTree:
    """The mean; the parameters where it has none taken in."""
    return jax.tree.map(lambda average, new: jnp.where(mean.count > 0, average, new), mean.params, params)


class NonmonotoneTrigger:
    """When the mean of a run begins. Restorable from `ranks`.

    interval: n of the module's docstring; 0 = never. ranks: of the last n evaluations, oldest first, and before them
    the best of all earlier ones; higher is better, as `metrics.directions.rank` has them.
    """

    def __init__(self, interval: int, ranks: Iterable[Sequence[float]] = ()):
        self.interval, self.ranks = interval, [tuple(rank) for rank in ranks]  # JSON makes lists of tuples

    def update(self, rank: tuple[float, ...]) -> bool:
        """Notes an evaluation; True if it is worse than the best of all before it but the last n."""
        if not self.interval:
            return False
        is_worse = len(self.ranks) > self.interval and rank < self.ranks[0]
        self.ranks.append(rank)
        if len(self.ranks) > self.interval + 1:
            self.ranks[:2] = [max(self.ranks[:2])]
        return is_worse
