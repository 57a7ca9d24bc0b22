"""Meshes over several devices and processes: in processes of their own, since a process has one set of devices."""

import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.jitting import environment_of_devices

from rnn_jax.errors import UserError
from rnn_jax.training import devices
from rnn_jax.training.devices import data_mesh, initialize_distributed, replicate, shard_batch


def test_on_this_machine():
    mesh = data_mesh()
    assert mesh.axis_names == ("data",) and mesh.size == jax.device_count()
    batch = {"x": np.arange(4 * mesh.size, dtype=np.float32).reshape(2 * mesh.size, 2)}
    np.testing.assert_array_equal(shard_batch(batch, mesh)["x"], batch["x"])
    tree = replicate({"w": jnp.ones(3), "n": np.int32(2)}, mesh)
    assert all(leaf.is_fully_replicated for leaf in jax.tree.leaves(tree)) and int(tree["n"]) == 2


EIGHT = """
import jax, jax.numpy as jnp, numpy as np, optax, sys
from rnn_jax.training.checkpoint import Checkpointer
from rnn_jax.training.devices import data_mesh, replicate, shard_batch
from rnn_jax.training.state import apply_gradients, create_state

optimizer = optax.adam(0.1)

def train(mesh):
    state = replicate(create_state({"w": jnp.ones(5)}, optimizer, 0.5), mesh)
    @jax.jit
    def update(state, x):
        grads = jax.grad(lambda p: jnp.mean((x @ p["w"]) ** 2))(state.params)
        return apply_gradients(state, grads, optimizer, 0.5)
    for step in range(5):
        x = np.random.default_rng(step).normal(size=(16, 5)).astype(np.float32)
        batch = shard_batch(x, mesh)
        state, metrics = update(state, batch)
    return state, batch, metrics

mesh = data_mesh()
assert mesh.size == 8
state, batch, metrics = train(mesh)
assert {shard.data.shape for shard in batch.addressable_shards} == {(2, 5)}, batch.sharding
assert state.params["w"].is_fully_replicated and len(state.params["w"].devices()) == 8
single, _, one = train(jax.sharding.Mesh(np.asarray(jax.devices()[:1]), ("data",)))
np.testing.assert_allclose(state.params["w"], single.params["w"], rtol=1e-5)
np.testing.assert_allclose(metrics["gradient_norm"], one["gradient_norm"], rtol=1e-5)
filled = shard_batch({"x": np.ones((12, 2)), "weights": np.ones(12, bool)}, mesh)  # up to 16, with rows of weight 0
assert filled["x"].shape == (16, 2) and filled["weights"].tolist() == [True] * 12 + [False] * 4
saver = Checkpointer(sys.argv[1], config_hash="abc")
saver.save(5, state, {})
np.save(sys.argv[1] + "/w.npy", state.params["w"])
"""


def test_eight_devices_give_the_numbers_of_one_and_their_checkpoint_opens_here(tmp_path):
    import optax

    from rnn_jax.training.checkpoint import Checkpointer
    from rnn_jax.training.state import create_state

    environment = environment_of_devices(8)
    command = [sys.executable, "-c", EIGHT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    with Checkpointer(tmp_path, config_hash="abc") as saver:
        restored = saver.restore_latest(create_state({"w": jnp.zeros(5)}, optax.adam(0.1), 0.5))
    assert restored.step == 5 and restored.tree.step == 5
    np.testing.assert_array_equal(restored.tree.params["w"], np.load(tmp_path / "w.npy"))


TWO = """
import jax, numpy as np, sys
from rnn_jax.training.devices import data_mesh, initialize_distributed, replicate, shard_batch
from rnn_jax.training.checkpoint import Checkpointer
from rnn_jax.training.run import open_run
from rnn_jax.training.run_config import RunConfig
assert initialize_distributed()
assert jax.process_count() == 2
mesh = data_mesh()
assert mesh.size == 4
x = shard_batch({"x": np.arange(8, dtype=np.float32)}, mesh)["x"]
w = replicate(np.float32([2.0]), mesh)
key = replicate(jax.random.key(3, impl="rbg"), mesh)
assert key.sharding.is_fully_replicated and len(key.sharding.device_set) == 4
assert str(jax.random.key_impl(key)) == "rbg"
bits = jax.jit(lambda key: jax.random.bits(key))(key)
assert int(bits) == int(jax.random.bits(jax.random.key(3, impl="rbg")))
total = jax.jit(lambda x, w: (x * w).sum())(x, w)
with open_run(sys.argv[1], "toy", RunConfig()) as run:
    saver = Checkpointer(run.checkpoints, config_hash=run.config_hash)
    run.log(1, 1, {"total": total})
    saver.save(1, {"w": w}, {}, best=True)
    jax.experimental.multihost_utils.sync_global_devices("saved")
    restored = saver.restore_best({"w": w})
    run.finish({"total": total})
print("process", jax.process_index(), float(total), restored.tree["w"])
"""


@pytest.mark.slow
def test_two_processes_share_a_batch_and_one_writes(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = environment_of_devices(2) | {
        "JAX_COORDINATOR_ADDRESS": address,
        "JAX_NUM_PROCESSES": "2",
    }
    command = [sys.executable, "-c", "import jax.experimental.multihost_utils\n" + TWO, str(tmp_path / "run")]
    processes = [
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment | {"JAX_PROCESS_ID": str(rank)},
        )
        for rank in range(2)
    ]
    for rank, process in enumerate(processes):
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert out.splitlines()[-1] == f"process {rank} 56.0 [2.]"  # after what the transport prints
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 1
    assert (tmp_path / "run" / "result.json").exists()


def test_what_the_environment_asks_for(monkeypatch):
    calls = []
    monkeypatch.setattr(devices.jax.distributed, "initialize", lambda *args: calls.append(args))
    assert initialize_distributed({}) is False
    assert initialize_distributed({"SLURM_NTASKS": "4"}) is False  # a batch script, not started by srun
    assert initialize_distributed({"SLURM_STEP_NUM_TASKS": "1"}) is False
    assert calls == []
    assert initialize_distributed({"SLURM_STEP_NUM_TASKS": "2"}) is True
    given = {"JAX_COORDINATOR_ADDRESS": "host:1", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1"}
    assert initialize_distributed(given) is True
    assert calls == [(), ("host:1", 2, 1)]
    with pytest.raises(UserError, match=r"JAX_COORDINATOR_ADDRESS=host:1 needs JAX_NUM_PROCESSES and JAX_PROCESS_ID"):
        initialize_distributed(given | {"JAX_PROCESS_ID": "first"})
