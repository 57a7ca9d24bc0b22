"""What both backends share: what is fixed when a scan is compiled, what comes with every step, functions of rows."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax

from rnn_jax.scanning.backend import Backend
from rnn_jax.scanning.carries import select, zeros_like
from rnn_jax.types import Array, Cell, Inputs, Key


class Flags(NamedTuple):
    """mask, resets and the keys of steps, (T, B) or (B,), or None where there are none. Nothing has a gradient here."""

    mask: Array | None
    resets: Array | None
    keys: Key | None

    @property
    def key(self) -> tuple[Key, ...]:
        """The last argument of a cell's functions, if there is one."""
        return () if self.keys is None else (self.keys,)


class Plan(NamedTuple):
    """What is fixed when the scan is compiled."""

    cell: Cell
    backend: Backend
    reverse: bool
    return_states: bool
    joined: bool  # see `steps`


def rows(function: Callable) -> Callable:
    """A cell's function of params and one example as one of a batch."""

    def on_rows(params, *arguments):
        return jax.vmap(function, in_axes=(None, *(0 for _ in arguments)))(params, *arguments)

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

    def on_steps(params, *arguments):
        if not plan.joined:
            return rows(rows(function))(params, *arguments)
        shape = jax.tree.leaves(arguments)[0].shape[:2]
        joined = jax.tree.map(lambda leaf: leaf.reshape(math.prod(shape), *leaf.shape[2:]), arguments)
        outputs = rows(function)(params, *joined)
        return jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), outputs)

    return on_steps


def real(flags: Flags, xs: Inputs) -> Inputs:
    """xs with zeros in place of the padding, whatever it holds."""
    return xs if flags.mask is None else select(flags.mask, xs, zeros_like(xs))
