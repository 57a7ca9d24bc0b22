"""Checkpoints: exact round trips, rotation, and every way in which files can be broken."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest

from rnn_jax.errors import UserError
from rnn_jax.training import checkpoint
from rnn_jax.training.checkpoint import Checkpointer
from rnn_jax.training.devices import replicate
from rnn_jax.training.state import create_state


class Point(NamedTuple):
    x: object
    y: object


def tree(step: int = 1):
    rng = np.random.default_rng(step)
    params = {"embed": rng.normal(size=(7, 5)).astype(np.float32), "cells": [rng.normal(size=3).astype(np.float32)]}
    return create_state(jax.tree.map(jnp.asarray, params), optax.adam(1e-3), 0.9)._replace(step=jnp.int32(step))


def assert_same(actual, expected) -> None:
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert isinstance(a, np.ndarray) and a.dtype == e.dtype and a.shape == e.shape
        assert a.tobytes() == np.asarray(e).tobytes()


class Opened(NamedTuple):
    saver: Checkpointer
    path: Path
    warnings: list[str]


@pytest.fixture
def opened(tmp_path):
    warnings: list[str] = []
    path = tmp_path / "checkpoints"
    with Checkpointer(path, config_hash="abc", warn=warnings.append) as saver:
        yield Opened(saver, path, warnings)


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def test_round_trip_is_bit_exact(opened):
    extra = {"best": 0.1 + 0.2, "never": -float("inf"), "epochs": [1, 2], "note": "é", "nested": {"sum": 1e-300}}
    opened.saver.save(3, tree(3), extra, best=True)
    for restored in (opened.saver.restore_latest(tree(0)), opened.saver.restore_best(tree(0))):
        assert restored.step == 3 and restored.extra == extra
        assert restored.extra["best"].hex() == (0.1 + 0.2).hex()
        assert_same(restored.tree, tree(3))
    assert opened.warnings == []


def test_every_dtype_scalars_and_empty_arrays(opened):
    saved = {
        "bf16": np.array([1.5, np.nan, -0.0], ml_dtypes.bfloat16),
        "f16": np.float16([1 / 3]),
        "f64": np.array(np.pi),
        "i8": np.int8([[-1, 2]]),
        "u32": np.uint32([2**32 - 1]),
        "bool": np.array([True, False]),
        "empty": np.zeros((0, 4), np.float32),
        "nan": np.float32([np.nan, np.inf, -0.0, 1e-45]),
        "point": Point(np.int32(1), [np.float32([[2.0]])]),
        "odd/key with .dots[0]": np.ones(2, np.float32),
        "none": None,
    }
    opened.saver.save(0, saved, {})
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype), saved)
    assert_same(opened.saver.restore_latest(shapes).tree, jax.tree.map(np.asarray, saved))


def test_nothing_saved_is_none(opened):
    assert opened.saver.restore_latest(tree()) is None and opened.saver.restore_best(tree()) is None
    assert opened.saver.latest_step() is None
    assert not opened.path.exists()  # looking creates nothing


def test_rotation_keeps_the_newest_and_the_best(opened):
    for step in range(1, 7):
        opened.saver.save(step, tree(step), {"step": step}, best=step in (2, 3))
    assert names(opened.path) == ["best_000000003", "latest_000000005", "latest_000000006"]
    assert opened.saver.latest_step() == 6
    assert_same(opened.saver.restore_latest(tree()).tree, tree(6))
    assert_same(opened.saver.restore_best(tree()).tree, tree(3))


def test_saving_a_step_again_replaces_it(opened):
    """Orbax by itself would return False and keep the old one."""
    opened.saver.save(4, tree(1), {"n": 1}, best=True)
    opened.saver.save(4, tree(2), {"n": 2}, best=True)
    opened.saver.save(4, tree(3), {"n": 3}, best=True)
    restored = opened.saver.restore_latest(tree())
    assert restored.extra == {"n": 3}
    assert_same(restored.tree, tree(3))
    assert_same(opened.saver.restore_best(tree()).tree, tree(3))
    assert names(opened.path) == ["best_000000004.2", "latest_000000004.2"]


def test_saving_an_older_step_abandons_the_newer_ones(opened):
    opened.saver.save(10, tree(10), {})
    opened.saver.save(5, tree(5), {})
    assert opened.saver.restore_latest(tree()).step == 5
    assert names(opened.path) == ["latest_000000005"]


def test_a_best_one_of_steps_that_a_kill_took_back_is_not_the_best(opened, tmp_path):
    opened.saver.save(2, tree(2), {}, best=True)
    shutil.copytree(opened.path / "best_000000002", opened.path / "best_000000009")
    assert opened.saver.restore_best(tree()).step == 2


def test_checkpoints_are_read_and_removed_by_step(opened):
    assert opened.saver.extras() == {} and opened.saver.restore_step(1, tree()) is None
    opened.saver.keep_latest = 9
    for step in (1, 2, 3):
        opened.saver.save(step, tree(step), {"n": step / 7}, best=step == 2)
    assert opened.saver.extras() == {1: {"n": 1 / 7}, 2: {"n": 2 / 7}, 3: {"n": 3 / 7}}
    restored = opened.saver.restore_step(2, tree(0))
    assert restored.step == 2 and restored.extra == {"n": 2 / 7}
    assert_same(restored.tree, tree(2))
    with pytest.raises(UserError, match=r"params/embed is only in the checkpoint"):
        opened.saver.restore_step(2, tree(0)._replace(params={}))
    opened.saver.remove_all_but({1, 3})
    assert names(opened.path) == ["best_000000002", "latest_000000001", "latest_000000003"]
    assert opened.saver.restore_step(2, tree()) is None and opened.warnings == []


def test_relative_directories_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Checkpointer("here", config_hash="x") as saver:
        saver.save(1, tree(), {})
        assert (tmp_path / "here" / "latest_000000001").is_dir()
        assert_same(saver.restore_latest(tree(0)).tree, tree())


def test_subset_restores_parameters_without_the_optimizer(opened):
    opened.saver.save(1, tree(1), {}, best=True)
    template = {"params": tree(0).params, "step": tree(0).step}
    with pytest.raises(UserError, match=r"opt_state/0/count is only in the checkpoint"):
        opened.saver.restore_best(template)
    restored = opened.saver.restore_best(template, subset=True)
    assert_same(restored.tree, {"params": tree(1).params, "step": tree(1).step})


def test_a_checkpoint_that_does_not_fit_names_the_arrays(opened):
    saved = {"a": np.zeros(3, np.float32), "b": np.zeros((2, 2), np.float32), "old": np.zeros(1, np.float32)}
    template = {"a": np.zeros(3, np.float16), "b": np.zeros((2, 3), np.float32), "new": np.zeros(1, np.float32)}
    opened.saver.save(1, saved, {})
    with pytest.raises(UserError) as caught:
        opened.saver.restore_latest(template)
    for part in (
        "new is missing in the checkpoint",
        "old is only in the checkpoint",
        "a is float32[3] in the checkpoint, float16[3] here",  # Orbax by itself would cast
        "b is float32[2,2] in the checkpoint, float32[2,3] here",
    ):
        assert part in str(caught.value)


def test_another_configuration_is_refused(opened):
    opened.saver.save(1, tree(), {})
    with (
        Checkpointer(opened.path, config_hash="other") as other,
        pytest.raises(UserError, match=r"made with another configuration"),
    ):
        other.restore_latest(tree())


def test_sharded_arrays_are_saved_whole_and_restored_to_the_host(opened):
    mesh = jax.sharding.Mesh(np.asarray(jax.devices()), ("data",))
    opened.saver.save(1, replicate(tree(1), mesh), {})
    assert_same(opened.saver.restore_latest(tree(0)).tree, tree(1))


def data_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def test_every_flipped_bit_is_detected(opened):
    opened.saver.save(1, tree(1), {"n": 1})
    opened.saver.save(2, tree(2), {"n": 2})
    folder = opened.path / "latest_000000002"
    rng = np.random.default_rng(0)
    files = [path for path in data_files(folder) if path.stat().st_size]
    assert len(files) >= 4
    for path in files:
        for _ in range(4):
            original = path.read_bytes()
            content = bytearray(original)
            content[rng.integers(len(content))] ^= 1 << rng.integers(8)
            path.write_bytes(content)
            restored = opened.saver.restore_latest(tree())
            path.write_bytes(original)
            if path.name == "manifest.json" and restored.step == 2:
                # only white space and the names around the checksummed text are free to change
                assert_same(restored.tree, tree(2))
                continue
            assert restored.step == 1 and restored.extra == {"n": 1}
            assert_same(restored.tree, tree(1))
            assert "latest_000000002" in opened.warnings[-1]
            assert "Falling back to the one of step 1" in opened.warnings[-1]
    assert opened.saver.restore_latest(tree()).step == 2


def test_an_edited_manifest_is_detected(opened):
    opened.saver.save(1, tree(1), {})
    manifest = opened.path / "latest_000000001" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"step": 1', '"step": 7'))
    with pytest.raises(UserError, match=r"latest_000000001: checksum of manifest.json does not match"):
        opened.saver.restore_latest(tree())


@pytest.mark.parametrize("damage", ["truncate", "delete", "garbage"])
def test_broken_files_fall_back_and_all_broken_is_a_user_error(opened, damage):
    opened.saver.save(1, tree(1), {}, best=True)
    opened.saver.save(2, tree(2), {})

    def break_folder(folder: Path) -> None:
        for path in data_files(folder):
            if damage == "delete":
                path.unlink()
            elif damage == "truncate":
                os.truncate(path, path.stat().st_size // 2)
            else:
                path.write_bytes(os.urandom(100))

    break_folder(opened.path / "latest_000000002")
    restored = opened.saver.restore_latest(tree())
    assert_same(restored.tree, tree(1))
    assert len(opened.warnings) == 1 and "latest_000000002" in opened.warnings[0]
    opened.saver.save(3, tree(3), {})  # goes on; the broken one counts no more than any other
    assert names(opened.path) == ["best_000000001", "latest_000000002", "latest_000000003"]
    opened.saver.save(4, tree(4), {})
    for name in ("latest_000000003", "latest_000000004"):
        break_folder(opened.path / name)
    with pytest.raises(UserError, match=r"no latest checkpoint in .* can be read .*Delete the run directory"):
        opened.saver.restore_latest(tree())
    assert_same(opened.saver.restore_best(tree()).tree, tree(1))


def test_a_broken_best_one_is_an_error_or_falls_back_on_request(opened):
    opened.saver.save(1, tree(1), {})
    assert opened.saver.restore_best(tree()) is None
    assert opened.saver.restore_best(tree(), fallback_to_latest=True).step == 1
    assert "no best checkpoint yet: using the latest one, of step 1" in opened.warnings[-1]
    opened.saver.save(2, tree(2), {}, best=True)
    (opened.path / "best_000000002" / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"no best checkpoint in"):
        opened.saver.restore_best(tree())
    assert_same(opened.saver.restore_best(tree(), fallback_to_latest=True).tree, tree(2))
    assert "can be read" in opened.warnings[-1] and "using the latest one, of step 2" in opened.warnings[-1]


def test_leftovers_of_a_kill_are_removed_by_the_next_save(opened):
    opened.saver.save(1, tree(1), {})
    leftover = opened.path / ".tmp_123"
    shutil.copytree(opened.path / "latest_000000001", leftover)
    with Checkpointer(opened.path, config_hash="abc") as again:
        assert again.restore_latest(tree()).step == 1
        assert leftover.exists()  # reading deletes nothing: the folder may belong to a training that is running
        again.save(2, tree(2), {})
    assert names(opened.path) == ["latest_000000001", "latest_000000002"]


@pytest.mark.parametrize("failing", ["orbax", "rename", "copy", "room"])
def test_a_full_disk_keeps_the_previous_checkpoint(opened, monkeypatch, failing):
    opened.saver.save(1, tree(1), {}, best=True)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    def wrapped(*args, **kwargs):
        raise ValueError("Error: RESOURCE_EXHAUSTED: writing local file: [OS error 28: No space left on device]")

    if failing == "orbax":
        monkeypatch.setattr(opened.saver, "_checkpointer", lambda: type("Broken", (), {"save": wrapped})())
    elif failing == "room":  # Orbax is not asked at all
        monkeypatch.setattr(opened.saver, "_checkpointer", lambda: pytest.fail("Orbax was asked"))
        monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda path: SimpleNamespace(total=10**9, free=99))
    elif failing == "copy":
        monkeypatch.setattr(checkpoint.shutil, "copytree", full)
    else:
        monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(
        UserError, match=r"no space left while saving the checkpoint of step 2 .*step 1 is intact.*Free"
    ):
        opened.saver.save(2, tree(2), {}, best=True)
    monkeypatch.undo()
    assert names(opened.path) == ["best_000000001", "latest_000000001"]
    assert_same(opened.saver.restore_latest(tree()).tree, tree(1))
    opened.saver.save(2, tree(2), {}, best=True)
    assert_same(opened.saver.restore_best(tree()).tree, tree(2))


def test_other_failures_are_not_called_a_full_disk(opened):
    with pytest.raises(TypeError):
        opened.saver.save(1, tree(1), {"host state": object()})
    assert names(opened.path) == []


LIMITED = """
import resource, sys, numpy as np
from rnn_jax.errors import UserError
from rnn_jax.training.checkpoint import Checkpointer
tree = {"w": np.random.default_rng(0).normal(size=400_000).astype(np.float32)}
saver = Checkpointer(sys.argv[1], config_hash="abc")
saver.save(1, tree, {"n": 1})
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
try:
    saver.save(2, tree, {"n": 2})
except UserError as error:
    print("UserError:", error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
saver.save(3, tree, {"n": 3})
print("steps", saver.restore_latest(tree).extra, sorted(p.name for p in saver.directory.iterdir()))
"""


def test_a_real_write_limit_of_the_system(tmp_path):
    """The system itself refuses the write inside Orbax (a file size limit), as a full disk would."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "c")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr  # of threads of Orbax
    assert "UserError: no space left while saving the checkpoint of step 2" in done.stdout
    assert "step 1 is intact" in done.stdout
    assert "steps {'n': 3} ['latest_000000001', 'latest_000000003']" in done.stdout


def test_typed_keys_come_back_as_such(tmp_path):
    tree = {"key": jax.random.key(7), "more": jax.random.split(jax.random.key(1, impl="rbg"), 3), "w": jnp.ones(2)}
    with Checkpointer(tmp_path, config_hash="abc") as saver:
        saver.save(1, tree, {})
        for template in (tree, jax.eval_shape(lambda: tree)):
            restored = saver.restore_latest(template).tree
            assert jax.random.bits(restored["key"]) == jax.random.bits(tree["key"])
            assert restored["more"].dtype == tree["more"].dtype and restored["more"].shape == (3,)
            np.testing.assert_array_equal(jax.random.key_data(restored["more"]), jax.random.key_data(tree["more"]))
        with pytest.raises(UserError, match=r"more is key<rbg>\[3\] in the checkpoint, key<fry>\[3\] here"):
            saver.restore_latest(tree | {"more": jax.random.split(jax.random.key(1), 3)})


def test_what_a_checkpoint_may_lack_is_the_templates_own(tmp_path):
    """Runs of earlier releases have no carry, key or rates in their state."""
    with Checkpointer(tmp_path, config_hash="abc") as saver:
        saver.save(3, {"params": {"w": jnp.ones(2)}}, {})
        template = {"params": {"w": jnp.zeros(2)}, "rates": {"learning_rate": jnp.float32(0.5)}}
        restored = saver.restore_latest(template, optional=("rates",)).tree
        assert restored["params"]["w"].tolist() == [1, 1] and restored["rates"]["learning_rate"] == 0.5
        with pytest.raises(UserError, match="rates/learning_rate is missing in the checkpoint"):
            saver.restore_latest(template)
        with pytest.raises(UserError, match="bias is missing in the checkpoint"):
            saver.restore_latest(template | {"bias": jnp.zeros(2)}, optional=("rates",))
        with pytest.raises(UserError, match="rates/learning_rate is missing in the checkpoint"):  # no array to take
            saver.restore_latest(jax.eval_shape(lambda: template), optional=("rates",))


def test_a_checkpoint_lacks_all_of_an_optional_part_or_nothing(tmp_path):
    with Checkpointer(tmp_path, config_hash="abc") as saver:
        saver.save(3, {"carry": {"c": jnp.ones(2)}}, {})
        with pytest.raises(UserError, match="carry/h is missing in the checkpoint"):
            saver.restore_latest({"carry": {"c": jnp.zeros(2), "h": jnp.zeros(2)}}, optional=("carry",))


TWO = """
import sys, jax, numpy as np
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
from rnn_jax.errors import UserError
from rnn_jax.training.checkpoint import Checkpointer
from rnn_jax.training.devices import data_mesh
mesh = data_mesh()
assert mesh.size == 2 and jax.process_count() == 2
make = lambda host, spec: jax.make_array_from_callback(host.shape, NamedSharding(mesh, spec), lambda i: host[i])
carry = make(np.arange(12.0, dtype=np.float32).reshape(4, 3), PartitionSpec("data"))
assert not carry.is_fully_addressable and not carry.is_fully_replicated
tree = {"carry": carry, "w": make(np.ones(3, np.float32), PartitionSpec()), "key": jax.random.key(5)}
with Checkpointer(sys.argv[3], config_hash="abc") as saver:
    saver.save(2, tree, {"step": 2})
    restored = saver.restore_latest(jax.eval_shape(lambda: tree))
    np.testing.assert_array_equal(restored.tree["carry"], np.arange(12.0).reshape(4, 3))
    def full(*_):
        raise OSError(28, "No space left on device")
    saver._write = full
    try:
        saver.save(3, tree, {})
    except UserError as error:
        print("refused:", str(error)[:40], flush=True)
"""


def test_arrays_shared_out_among_processes_are_saved_whole(tmp_path):
    """By two processes; what fails in the one that writes ends the other as well."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", TWO, address]
    processes = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path)],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert "refused: no space left" in said[0][0] and "refused: process 0 could not save" in said[1][0]
    template = {"carry": jnp.zeros((4, 3)), "w": jnp.zeros(3), "key": jax.random.key(0)}
    with Checkpointer(tmp_path, config_hash="abc") as saver:
        restored = saver.restore_latest(template)
    np.testing.assert_array_equal(restored.tree["carry"], np.arange(12.0).reshape(4, 3))
    assert restored.step == 2 and jax.random.bits(restored.tree["key"]) == jax.random.bits(jax.random.key(5))
