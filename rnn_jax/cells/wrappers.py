"""Cells around cells: a learnable start, zoneout, dropout of the state anew at every step.

A wrapper of a cell whose step splits splits too, so that its gradient can be deferred; around any other cell it is
a plain one.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.cells.base import SplitCell
from rnn_jax.cells.contract import check_cell, draws, splits, start, with_key
from rnn_jax.dropout import check_rate, dropout
from rnn_jax.types import Array, Carry, Cell, Inputs, InputSize, Key, Outputs, Params


@dataclasses.dataclass(frozen=True)
class Wrapper(SplitCell):
    """Another cell, with its params, carry and y. Subclasses change what they are about, by `enter` and `leave`."""

    cell: Cell

    def __post_init__(self):
        check_cell(f"{type(self).__name__}(cell)", self.cell)

    @property
    def splits(self) -> bool:  # type: ignore[override]
        """Whether the cell inside does."""
        return splits(self.cell)

    @property
    def draws(self) -> bool:
        """Whether the cell inside does."""
        return draws(self.cell)

    @property
    def defer_by_default(self) -> bool:  # type: ignore[override]
        """Whether the cell inside is worth it."""
        return getattr(self.cell, "defer_by_default", True)

    @property
    def recurrent_weights(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the cell inside."""
        return getattr(self.cell, "recurrent_weights", ("w_h",))

    def enter(self, carry: Carry, key: Key | None) -> Carry:
        """The carry as `preactivate` reads it."""
        del key
        return carry

    def leave(self, carry: Carry, after: Carry, y: Outputs, key: Key | None) -> tuple[Carry, Outputs]:
        """The next carry and y, given the carry before the step and what the cell inside returned."""
        del carry, key
        return after, y

    def inner(self, params: Params) -> Params:
        """The params of the cell inside."""
        return params

    def init(self, key: Key, input_size: InputSize) -> Params:
        """The params of the cell inside."""
        return self.cell.init(key, input_size)

    def initial_carry(self, params: Params) -> Carry:
        """That of the cell inside."""
        return start(self.cell, self.inner(params))

    def project(self, params: Params, x: Inputs) -> Any:
        """As the cell inside."""
        return self.cell.project(self.inner(params), x)  # type: ignore[attr-defined]

    def preactivate(self, params: Params, carry: Carry, z: Any, key: Key | None = None) -> Any:
        """As the cell inside, of the carry that `enter` lets in."""
        entering, _, inside = _three_keys(key)
        method = self.cell.preactivate  # type: ignore[attr-defined]
        return method(self.inner(params), self.enter(carry, entering), z, **with_key(method, inside))

    def activate(
        self, params: Params, carry: Carry, preactivations: Any, key: Key | None = None
    ) -> tuple[Carry, Outputs]:
        """As the cell inside, and `leave`."""
        _, leaving, inside = _three_keys(key)
        method = self.cell.activate  # type: ignore[attr-defined]
        after, y = method(self.inner(params), carry, preactivations, **with_key(method, inside))
        return self.leave(carry, after, y, leaving)

    def step(self, params: Params, carry: Carry, x: Inputs, key: Key | None = None) -> tuple[Carry, Outputs]:
        """One step; without a key, what is random is at its expectation."""
        if self.splits:
            return super().step(params, carry, x, key)
        _, leaving, inside = _three_keys(key)
        after, y = self.cell.step(self.inner(params), carry, x, **with_key(self.cell.step, inside))
        return self.leave(carry, after, y, leaving)

    def gates(self, params: Params, carry: Carry, x: Any) -> Any:
        """Those of the cell inside; AttributeError if it has none."""
        return self.cell.gates(self.inner(params), carry, x)  # type: ignore[attr-defined]


def _three_keys(key: Key | None) -> tuple[Key | None, ...]:
    return (None, None, None) if key is None else tuple(jax.random.split(key, 3))


class LearnedStartParams(NamedTuple):
    """The cell's params, and the carry that sequences start from."""

    cell: Params
    start: Carry


@dataclasses.dataclass(frozen=True)
class LearnedStart(Wrapper):
    """Any cell with its initial carry among the params: sequences start there, and resets go back to it.

    It begins at the initial carry of the cell.
    """

    @property
    def recurrent_weights(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the cell inside, below its place in the params."""
        return tuple(f"cell.{name}" for name in super().recurrent_weights)

    def inner(self, params: LearnedStartParams) -> Params:
        """The params of the cell inside."""
        return params.cell

    def init(self, key: Key, input_size: InputSize) -> LearnedStartParams:
        """The params of the cell inside, and the numbers of its initial carry in float32; counters are not learned."""
        params = self.cell.init(key, input_size)
        learned = lambda leaf: jnp.array(leaf, jnp.float32) if _is_float(leaf) else None  # noqa: E731
        return LearnedStartParams(params, jax.tree.map(learned, start(self.cell, params)))

    def initial_carry(self, params: LearnedStartParams) -> Carry:
        """The learned one; what is not learned is as the cell has it."""
        own = super().initial_carry(params)
        keep = lambda mine, learned: mine if learned is None else learned  # noqa: E731
        return jax.tree.map(keep, own, params.start, is_leaf=lambda leaf: leaf is None)


@dataclasses.dataclass(frozen=True)
class Zoneout(Wrapper):
    """Any cell, some units of whose carry keep their old value at a step (Krueger et al. 2017).

    s_t = d_t ⊙ s_{t−1} + (1 − d_t) ⊙ s̃_t,  d_t ~ Bernoulli(rate) for every unit anew;  s̃_t is the cell's own carry
    Without a key, d_t is its expectation, `rate`.

    `rate` is one for all arrays of the carry, or a tuple with one each, in their order: (z_h, z_c) of an LSTM. `output`
    is the field of the carry that a step returns as y; None where y is none of them, and stays what the cell made.

    Raises:
      ValueError: a rate outside of [0, 1].
    """

    draws = True

    _: dataclasses.KW_ONLY
    rate: float | tuple[float, ...] = 0.1
    output: str | None = "h"

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.rate, list):
            raise ValueError(f"rate is one number, or a tuple with one for each array of the carry; got {self.rate}.")
        for rate in self.rate if isinstance(self.rate, tuple) else (self.rate,):
            check_rate("rate", rate)

    def leave(self, carry: Carry, after: Carry, y: Outputs, key: Key | None) -> tuple[Carry, Outputs]:
        """The mix of both carries, and y as it is in there.

        Raises:
          ValueError: a number of rates that is not that of the carry's arrays, or a carry without the field `output`.
        """
        old, (new, structure) = jax.tree.leaves(carry), jax.tree.flatten(after)
        rates = self.rate if isinstance(self.rate, tuple) else (self.rate,) * len(new)
        if len(rates) != len(new):
            raise ValueError(f"Zoneout has {len(rates)} rates, {self.rate}, but the carry has {len(new)} arrays.")
        keys = (None,) * len(new) if key is None else jax.random.split(key, len(new))
        mixed = jax.tree.unflatten(structure, [_zone_out(*parts) for parts in zip(old, new, rates, keys)])
        if self.output is None:
            return mixed, y
        if not hasattr(mixed, self.output):
            raise ValueError(
                f"Zoneout returns the carry's field {self.output!r} as y, but the carry of {type(self.cell).__name__} "
                f"has none: give output=, the field that is y, or None if none is."
            )
        return mixed, getattr(mixed, self.output).astype(y.dtype)


def _is_float(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


def _zone_out(old: Array, new: Array, rate: float, key: Key | None) -> Array:
    if not _is_float(new):
        return new
    old = old.astype(new.dtype)
    if key is None:
        return (rate * old + (1 - rate) * new).astype(new.dtype)
    return jnp.where(jax.random.bernoulli(key, rate, new.shape), old, new)


@dataclasses.dataclass(frozen=True)
class HiddenDropout(Wrapper):
    """A cell whose recurrent matmul reads h_{t−1} ⊙ m_t / (1 − rate), m_t ~ Bernoulli(1 − rate) for every step anew.

    What the cell itself remembers is not dropped: only what `preactivate` reads. Without a key nothing is dropped,
    which is the expectation. (The layers' `recurrent_dropout` drops weights instead, the same ones at every step.)

    `state` is the field of the carry that the matmul reads.

    Raises:
      ValueError: the cell's step does not split, so that what the matmul reads cannot be told from what is remembered;
        or a rate outside of [0, 1].
    """

    draws = True

    _: dataclasses.KW_ONLY
    rate: float = 0.1
    state: str = "h"

    def __post_init__(self):
        super().__post_init__()
        if not splits(self.cell):
            raise ValueError(f"HiddenDropout is for cells that are SplitCells; {type(self.cell).__name__} is none.")
        check_rate("rate", self.rate)

    def enter(self, carry: Carry, key: Key | None) -> Carry:
        """The carry with some units of its state dropped.

        Raises:
          ValueError: it has no such field.
        """
        if not hasattr(carry, self.state):
            raise ValueError(
                f"HiddenDropout drops the carry's field {self.state!r}, but the carry of {type(self.cell).__name__} "
                "has none: give state=, the field that the recurrent matmul reads."
            )
        return carry._replace(**{self.state: dropout(getattr(carry, self.state), self.rate, key)})
