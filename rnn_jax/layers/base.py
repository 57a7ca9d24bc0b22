"""What all layers share: what they return, one step of them, and dropout that a step and a sequence agree on."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.cells.base import check_key
from rnn_jax.dropout import Rate, dropout, is_off
from rnn_jax.layers.pooling import last_pool
from rnn_jax.scanning.sequences import (
    as_arrays,
    check_first_step,
    checked_flags,
    is_batch,
    leading_shape,
    step_numbers,
)
from rnn_jax.types import Array, Bool, Carry, Inputs, Int, Key, Outputs, Params, Static


class LayerOutput(NamedTuple):
    """What a layer returns: the carry, the outputs of all steps, and the output of the step that it made last.

    `last` is ys at the last real step for a layer that reads from left to right, at the first one for a reverse
    layer, and both merged for a bidirectional one: the usual summary of a sequence. Zeros for a row of length 0.
    """

    carry: Carry
    ys: Outputs
    last: Outputs


class Sequence(NamedTuple):
    """What comes with the xs of a layer, checked: the arguments of `apply` that go on to the layers inside."""

    mask: Array | None
    resets: Array | None
    first_step: int | Array
    batched: bool

    @property
    def axis(self) -> int:
        """The axis of time."""
        return 1 if self.batched else 0


def check_number(argument: str, entries: Any, num: int) -> None:
    """ValueError where something is no tuple of one entry for each layer or direction."""
    if not isinstance(entries, tuple | list) or len(entries) != num:
        given = f"{len(entries)} of them" if isinstance(entries, tuple | list) else type(entries).__name__
        raise ValueError(f"{argument} has one entry for each of {num} layers or directions; got {given}.")


class Carries(NamedTuple):
    """Where a layer begins, and what its resets go back to; None is its own initial carry."""

    carry: Any
    start: Any

    def split(self, num: int) -> "list[Carries]":
        """Those of the `num` layers inside.

        Raises:
          ValueError: another number of them.
        """
        for name, carries in self._asdict().items():
            if carries is not None:
                check_number(name, carries, num)
        carry, start = ((None,) * num if carries is None else carries for carries in self)
        return [Carries(*pair) for pair in zip(carry, start)]


class LayerBase(Static):
    """A layer of ours: what follows from `init`, `output_size`, `initial_carry`, `run`, `ends`, `reads_backwards`."""

    @property
    def reads_backwards(self) -> bool:
        """Whether any output depends on later steps."""
        raise NotImplementedError

    def run(self, params: Params, xs: Inputs, carries: "Carries", key: Key | None, sequence: Sequence) -> LayerOutput:
        """`apply`, given what it checked."""
        raise NotImplementedError

    def ends(self, ys: Any, sequence: Sequence) -> Any:
        """`LayerOutput.last` of ys, or of what is added to them: at the steps that the layer ends with."""
        raise NotImplementedError

    def apply(
        self,
        params: Params,
        xs: Inputs,
        *,
        mask: Bool[Array, "*B T"] | Int[Array, "*B T"] | None = None,
        resets: Bool[Array, "*B T"] | Int[Array, "*B T"] | None = None,
        carry: Carry | None = None,
        start: Carry | None = None,
        key: Key | None = None,
        first_step: int | Int[Array, ""] = 0,
        batched: bool | None = None,
    ) -> LayerOutput:
        """Runs over time: xs (T, D) or (B, T, D) → carry, ys and last; arguments and errors as those of `scan_cell`.

        `resets` mark where sequences start in reading order, in both directions. The carry is that of a `LayerOutput`
        before, or of `initial_carry`; `start` is made like it, and None in either is a layer's own. With a key the
        layer's dropout is on, drawn by the number of the step.
        """
        xs = as_arrays(xs)
        if key is not None:
            check_key("key", key)
        check_first_step(first_step)
        mask, resets = (None if flags is None else jnp.asarray(flags) for flags in (mask, resets))
        batched = is_batch(xs, mask, resets, batched)
        shape = leading_shape(xs, batched)
        mask, resets = checked_flags("mask", mask, shape), checked_flags("resets", resets, shape)
        return self.run(params, xs, Carries(carry, start), key, Sequence(mask, resets, first_step, batched))

    def step(
        self,
        params: Params,
        carry: Carry,
        x: Inputs,
        *,
        reset: Bool[Array, "*B"] | None = None,
        start: Carry | None = None,
        key: Key | None = None,
        step: int | Int[Array, ""] = 0,
        batched: bool | None = None,
    ) -> tuple[Carry, Outputs]:
        """One step: x (D,) or (B, D) → the carry after it and y; exactly what `apply` makes of that step.

        With `reset`, one boolean a row, the initial carry, or `start`, takes the place of the carry first. `step` is
        the number of the step, which its dropout is drawn by: with the same key the draws are those of `apply`.
        `batched` says whether x has a leading B, where the shape does not.

        Raises:
          ValueError: the layer reads backwards.
        """
        if self.reads_backwards:
            raise ValueError(f"One step at a time goes from left to right only; got {self!r}.")
        x, reset = as_arrays(x), None if reset is None else jnp.asarray(reset)
        batched = is_batch(x, None, reset, batched, of_steps=False)
        axis, rows = (1, jax.tree.leaves(x)[0].shape[:1]) if batched else (0, ())
        if reset is not None and reset.ndim == 0:
            reset = jnp.broadcast_to(reset, rows)
        xs, resets = jax.tree.map(lambda leaf: jnp.expand_dims(leaf, axis), (x, reset))
        carries = {"carry": carry, "start": start}
        out = self.apply(params, xs, resets=resets, key=key, first_step=step, batched=batched, **carries)
        return out.carry, jax.tree.map(lambda leaf: jnp.squeeze(leaf, axis), out.ys)


def drop_steps(xs: Inputs, rate: Rate, key: Key | None, sequence: Sequence, *, variational: bool) -> Inputs:
    """Dropout on xs (T, …) or (B, T, …): single numbers, drawn by the number of their step, or whole sequences' units.

    So the same key drops the same numbers whether a sequence comes at once, in chunks, or step by step.

    Raises:
      ValueError: xs is more than one array: not everything in it may be something to drop.
    """
    if key is None or is_off(rate):
        return xs
    if not isinstance(xs, jax.Array):
        raise ValueError("Dropout on the inputs of a layer is for one array; drop what may be dropped before it.")
    axis = sequence.axis
    if variational:
        return dropout(xs, rate, key, shared_axes=(axis,))
    numbers = step_numbers(sequence.first_step, xs.shape[axis])
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, numbers)
    return jax.vmap(lambda x, key: dropout(x, rate, key), in_axes=(axis, 0), out_axes=axis)(xs, keys)


def end(ys: Outputs, sequence: Sequence, *, first: bool) -> Outputs:
    """ys (…, T, …) at the last real step of each row, or at the first; zeros where there is none."""
    axis, mask = sequence.axis, sequence.mask

    def of_leaf(leaf: Array) -> Array:
        steps, shape = leaf.shape[axis], leaf.shape[:axis] + leaf.shape[axis + 1 :]
        if leaf.size == 0:
            return jnp.zeros(shape, leaf.dtype)
        if mask is None:
            return jnp.take(leaf, 0 if first else steps - 1, axis=axis)
        return last_pool(leaf.reshape(*mask.shape, -1), mask, first=first).reshape(shape)

    return jax.tree.map(of_leaf, ys)


def split_key(key: Key | None, num: int) -> tuple[Key | None, ...]:
    """`num` keys, or as many None."""
    return (None,) * num if key is None else tuple(jax.random.split(key, num))
