"""Data parallelism: parameters replicated, batches split over all devices of all processes."""

import functools
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rnn_jax.errors import UserError

PyTree = Any


def data_mesh() -> Mesh:
    """A one-dimensional mesh over all devices, axis "data"."""
    return Mesh(np.asarray(jax.devices()), ("data",))


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of an array that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def replicate(tree: PyTree, mesh: Mesh) -> PyTree:
    """Puts a copy of every array on every device; each process passes the same values."""
    return _place(tree, replicated(mesh))


def shard_batch(batch: PyTree, mesh: Mesh) -> PyTree:
    """Splits the leading axis of every array over the devices; each process passes the same whole batch.

    Where it is no multiple of their number, rows of zeros fill it up: they have weight 0.
    """

    def filled(leaf: Any) -> Any:
        missing = -len(leaf) % mesh.size
        return np.concatenate([leaf, np.zeros((missing, *leaf.shape[1:]), leaf.dtype)]) if missing else leaf

    return _place(jax.tree.map(filled, batch), NamedSharding(mesh, PartitionSpec("data")))


def everywhere(tree: PyTree, mesh: Mesh) -> PyTree:
    """Inside a compiled function: every device gets every array whole."""
    return tree if mesh.size == 1 else jax.lax.with_sharding_constraint(tree, replicated(mesh))


def place_state(state: Any, mesh: Mesh) -> Any:
    """Puts a train state where `keep_layout` will leave it: `carry` split with the batch, everything else replicated.

    On one device the carry is replicated too: jit would hand it back so, and the second step would compile anew.
    """
    if mesh.size == 1:
        return replicate(state, mesh)
    return replicate(state._replace(carry=()), mesh)._replace(carry=shard_batch(state.carry, mesh))


def own_rows(carry: Any, number: int | None) -> Any:
    """The carry without the rows that `place_state` filled it up with, of which it has so many (None: all)."""
    if number is None or all(len(leaf) == number for leaf in jax.tree.leaves(carry)):
        return carry
    return _first_rows(carry, number)


@functools.partial(jax.jit, static_argnums=1)
def _first_rows(tree: PyTree, number: int) -> PyTree:
    return everywhere(jax.tree.map(lambda leaf: leaf[:number], tree), data_mesh())


def keep_layout(state: Any, mesh: Mesh | None) -> Any:
    """Inside a compiled update: the layout of `place_state`; None leaves it to the compiler."""
    if mesh is None or mesh.size == 1:
        return state
    split = NamedSharding(mesh, PartitionSpec("data"))
    carry = jax.lax.with_sharding_constraint(state.carry, split)
    return everywhere(state._replace(carry=()), mesh)._replace(carry=carry)


def place_members(tree: PyTree) -> PyTree:
    """Splits a leading axis of models over the devices, where these divide it."""
    mesh = data_mesh()
    size = len(jax.tree.leaves(tree)[0])
    return _place(tree, NamedSharding(mesh, PartitionSpec("data" if size % mesh.size == 0 else None)))


def _place(tree: PyTree, sharding: NamedSharding) -> PyTree:
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)

    def place(leaf: Any) -> jax.Array:
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(place(jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf))
        # Unlike device_put, this needs no communication: every process fills in the parts on its own devices.
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    return jax.tree.map(place, tree)


def any_process(*flags: bool) -> tuple[bool, ...]:
    """Of each flag, whether it is set on some process; all of them must ask at the same step."""
    if jax.process_count() == 1:
        return flags
    return tuple(map(bool, np.any(multihost_utils.process_allgather(np.asarray(flags)), axis=0)))


def wait_for_all(name: str) -> None:
    """Returns when every process has come here; at once where there is only one."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def initialize_distributed(environment: Mapping[str, str] = os.environ) -> bool:
    """Joins the other processes of the run if the environment says that there are any; True if so.

    Call before anything else of JAX. Read are:
    SLURM_STEP_NUM_TASKS: set by srun; with more than 1, JAX finds address and rank from SLURM's other variables.
    JAX_COORDINATOR_ADDRESS (host:port of process 0), JAX_NUM_PROCESSES, JAX_PROCESS_ID: for everything else.
    """
    address = environment.get("JAX_COORDINATOR_ADDRESS")
    if address:
        try:
            count, rank = (int(environment["JAX_NUM_PROCESSES"]), int(environment["JAX_PROCESS_ID"]))
        except (KeyError, ValueError):
            raise UserError(
                f"JAX_COORDINATOR_ADDRESS={address} needs JAX_NUM_PROCESSES and JAX_PROCESS_ID (integers) beside it"
            ) from None
        jax.distributed.initialize(address, count, rank)
        return True
    tasks = environment.get("SLURM_STEP_NUM_TASKS", "1")
    if tasks.isdecimal() and int(tasks) > 1:
        jax.distributed.initialize()
        return True
    return False
