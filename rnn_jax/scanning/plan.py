"""What both backends share: what is fixed when a scan is compiled, what comes with every step, functions of rows."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax

from rnn_jax.cells.contract import with_key
from rnn_jax.scanning.backend import Backend
from rnn_jax.scanning.carries import cast_like, select, zeros_like
from rnn_jax.types import Array, Carry, Cell, Inputs, Key


class Flags(NamedTuple):
    """mask, resets and the keys of steps, (T, B) or (B,), or None where there are none. Nothing has a gradient here."""

    mask: Array | None
    resets: Array | None
    keys: Key | None

    def key(self, method: Callable) -> dict[str, Key]:
        """The keys as a keyword argument of a cell's method, if it takes one."""
        return with_key(method, self.keys)


class Plan(NamedTuple):
    """What is fixed when the scan is compiled."""

    cell: Cell
    backend: Backend
    reverse: bool
    return_states: bool
    joined: bool  # see `steps`


def rows(function: Callable) -> Callable:
    """A cell's function of params and one example as one of a batch."""

    def on_rows(params, *arguments, **keys):
        return jax.vmap(function, in_axes=(None, *(0 for _ in arguments)))(params, *arguments, **keys)

    return on_rows


def join_steps() -> bool:
    """Whether steps and batch become one axis for the matmuls over a chunk: on a single CPU device.

    There XLA's matmuls are faster for it (the LSTM's gradient at B T D H = 32 200 128 128: 48 against 63 ms). A batch
    that lies on several devices could not be split along the joined axis: each would gather and compute everything.
    """
    mesh = jax.sharding.get_abstract_mesh()
    on_one = jax.device_count() == 1 or (not mesh.empty and mesh.are_all_axes_manual)  # inside of a shard_map
    return jax.default_backend() == "cpu" and on_one


def steps(plan: Plan, function: Callable) -> Callable:
    """A cell's function as one of several steps of a batch, (K, B, …): one matmul over both axes."""

    def on_steps(params, *arguments, **keys):
        if not plan.joined:
            return rows(rows(function))(params, *arguments, **keys)
        shape = jax.tree.leaves(arguments)[0].shape[:2]
        join = lambda leaf: leaf.reshape(math.prod(shape), *leaf.shape[2:])  # noqa: E731
        arguments, keys = jax.tree.map(join, (arguments, keys))
        outputs = rows(function)(params, *arguments, **keys)
        return jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), outputs)

    return on_steps


def reset(flags: Flags, initial: Carry, carry: Carry) -> Carry:
    """The carry, or where a sequence starts the initial one.

    It is cast here and not before, so that its derivative is summed over steps in its own dtype.
    """
    return carry if flags.resets is None else select(flags.resets, cast_like(initial, carry), carry)


def real(flags: Flags, xs: Inputs) -> Inputs:
    """xs with zeros in place of the padding, whatever it holds."""
    return xs if flags.mask is None else select(flags.mask, xs, zeros_like(xs))
