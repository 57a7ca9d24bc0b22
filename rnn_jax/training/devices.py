"""Data parallelism: parameters replicated, batches split over all devices of all processes."""

import os
from collections.abc import Mapping
from typing import Any

import jax
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

    Raises ValueError where the leading axis is not a multiple of the number of devices.
    """
    for leaf in jax.tree.leaves(batch):
        if np.ndim(leaf) == 0 or leaf.shape[0] % mesh.size:
            raise ValueError(f"an array of shape {np.shape(leaf)} cannot be split over {mesh.size} devices")
    return _place(batch, NamedSharding(mesh, PartitionSpec("data")))


def _place(tree: PyTree, sharding: NamedSharding) -> PyTree:
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)

    def place(leaf: Any) -> jax.Array:
        # Unlike device_put, this needs no communication: every process fills in the parts on its own devices.
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    return jax.tree.map(place, tree)


def any_process(flag: bool) -> bool:
    """True if the flag is set on some process; all of them must ask at the same step."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


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
