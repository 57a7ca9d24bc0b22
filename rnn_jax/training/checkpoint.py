"""Checkpoints that survive kills, full disks and flipped bits. The only module that knows Orbax.

Orbax by itself casts a wrong dtype silently, ignores a second save of a step, and does not notice changed bytes. So a
checkpoint here is a folder `latest_000000123` (or `best_…`) with

    arrays/         what Orbax wrote: a flat dict path → array, so that no class of ours or optax's is in the file
    manifest.json   step, config hash, shape and dtype of every array, SHA-256 of every file, host state

written under a temporary name and renamed when complete. A folder with its final name is therefore whole after a kill
at any moment; after a power failure or a bad disk the checksums tell, and the previous checkpoint is used.
"""

import shutil
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from jax.experimental import multihost_utils

from rnn_jax.errors import UserError
from rnn_jax.training.checkpoint_folder import CheckpointFolder, is_disk_full, require_space
from rnn_jax.training.checkpoint_format import (
    CorruptError,
    as_saved,
    describe,
    file_digests,
    first_line,
    flatten,
    named_leaves,
    raw_shape,
    read_manifest,
    require_match,
    verify_files,
    write_manifest,
)

PyTree = Any

_BLOCK = 4096  # of a disk: what a file may take beyond its bytes


# What a thread of Orbax raises reaches us by the call that waits for it; the traceback that it logs besides is noise.
logging.get_absl_logger().addFilter(lambda record: record.filename != "future.py" or "orbax" not in record.pathname)


class Restored(NamedTuple):
    """A checkpoint read back: tree has the template's structure and host (NumPy) arrays."""

    step: int
    tree: PyTree
    extra: dict[str, Any]


class Checkpointer:
    """Saves and restores the training state below one directory.

    config_hash: of the run's configuration; a checkpoint with another one is refused.
    keep_latest: how many of the newest checkpoints stay; the best one stays besides them.
    warn: receives one line where a broken checkpoint is skipped.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        config_hash: str,
        keep_latest: int = 2,
        warn: Callable[[str], None] | None = None,
    ):
        self.directory = Path(directory).expanduser().absolute()  # Orbax refuses relative paths
        self._folder = CheckpointFolder(self.directory)
        self.config_hash = config_hash
        self.keep_latest = max(1, keep_latest)
        self._warn = warn or (lambda message: print(f"warning: {message}", file=sys.stderr, flush=True))
        self._cleaned = False
        self._orbax: ocp.Checkpointer | None = None

    def save(self, step: int, tree: PyTree, extra: dict[str, Any], *, best: bool = False) -> None:
        """Saves arrays and JSON host state (floats stay exact) as the latest checkpoint and, on request, as the best.

        Returns when the checkpoint is complete. All processes call it; process 0 writes. UserError, on all of them,
        when the disk is full: the earlier checkpoints are then untouched and nothing half-written stays behind.
        """
        described, arrays = describe(tree), flatten(tree)
        failure: Exception | None = None
        if jax.process_index() == 0:
            try:
                self._save(step, arrays, described, extra, best)
            except Exception as error:
                failure = error
        if jax.process_count() > 1:
            went_well = bool(multihost_utils.broadcast_one_to_all(np.asarray(failure is None)))
            if failure is None and not went_well:
                raise UserError(f"process 0 could not save the checkpoint of step {step}; its message says why")
        if failure is not None:
            raise failure

    def _save(
        self, step: int, arrays: dict[str, np.ndarray], described: dict[str, Any], extra: dict[str, Any], best: bool
    ) -> None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            if not self._cleaned:  # not at opening: a reader must not delete what a running training is writing
                self._folder.remove_temporaries()
                self._cleaned = True
            require_space(self.directory, sum(array.nbytes + _BLOCK for array in arrays.values()) * (1 + best))
            self._write(step, arrays, described, extra, best)
        except Exception as error:
            self._folder.remove_temporaries()
            if is_disk_full(error):
                raise UserError(self._disk_full_message(step)) from error
            raise
        self._folder.rotate(step, best, self.keep_latest)

    def restore_latest(self, template: PyTree, *, optional: tuple[str, ...] = ()) -> Restored | None:
        """The newest readable checkpoint, None where none was ever saved.

        optional: first names of paths below which the checkpoint may have nothing at all; the template's own arrays are
        taken there.

        Broken ones are skipped with a warning. UserError: all are broken; another configuration; or arrays whose
        paths, shapes or dtypes differ from the template (arrays or jax.ShapeDtypeStruct).
        """
        return self._restore("latest", template, optional=optional)

    def restore_best(
        self, template: PyTree, *, subset: bool = False, fallback_to_latest: bool = False
    ) -> Restored | None:
        """The checkpoint last saved with best=True, None where there is none.

        subset: the template may leave out arrays (for prediction: no optimiser state).
        fallback_to_latest: where the best one is broken or there is none yet, warn and use the latest instead.
        """
        try:
            restored = self._restore("best", template, subset=subset)
            problem = "there is no best checkpoint yet"
        except _AllCorruptError as error:
            if not fallback_to_latest:
                raise
            restored, problem = None, str(error).partition(" Delete ")[0]
        if restored is None and fallback_to_latest:
            restored = self._restore("latest", template, subset=subset)
            if restored is not None:
                self._warn(f"{problem}: using the latest one, of step {restored.step}")
        return restored

    def latest_step(self) -> int | None:
        """Step of the newest checkpoint (not yet verified), None without one."""
        found = self._folder.find("latest")
        return found[0].step if found else None

    def restore_step(self, step: int, template: PyTree) -> Restored | None:
        """The checkpoint of this step; None, with a warning, where it is broken. Other errors as `restore_latest`."""
        for saved in self._folder.find("latest"):
            if saved.step == step:
                try:
                    return self._read(saved.path, template)
                except CorruptError as error:
                    self._warn(f"checkpoint {saved.path} is left out: {error}")
        return None

    def extras(self) -> dict[int, dict[str, Any]]:
        """The host state of each checkpoint, by step; broken ones are left out with a warning."""
        found: dict[int, dict[str, Any]] = {}
        for saved in self._folder.find("latest"):
            try:
                found.setdefault(saved.step, read_manifest(saved.path)["extra"])
            except CorruptError as error:
                if saved.path.exists():  # or else a training run that goes on meanwhile has removed it
                    self._warn(f"checkpoint {saved.path} is left out: {error}")
        return found

    def remove_all_but(self, steps: Collection[int]) -> None:
        """Deletes the checkpoints of other steps."""
        if jax.process_index() == 0:
            self._folder.remove([saved for saved in self._folder.find("latest") if saved.step not in steps])

    def withdraw(self, step: int) -> None:
        """Deletes the latest checkpoint of this step, where there is one: what it holds turned out to be no good."""
        if jax.process_index() == 0:
            self._folder.remove([saved for saved in self._folder.find("latest") if saved.step == step])

    def close(self) -> None:
        """Releases Orbax's threads."""
        if self._orbax is not None:
            self._orbax.close()
            self._orbax = None

    def __enter__(self) -> "Checkpointer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- writing ------------------------------------------------------------------------------------------------------

    def _write(
        self, step: int, arrays: dict[str, np.ndarray], described: dict[str, Any], extra: dict[str, Any], best: bool
    ) -> None:
        folder = self._folder.temporary()
        folder.mkdir()
        stored = {path: array for path, array in arrays.items() if array.size}  # Orbax refuses arrays of size 0
        self._checkpointer().save(folder / "arrays", stored)
        manifest = {
            "step": step,
            "config_hash": self.config_hash,
            "arrays": described,
            "files": file_digests(folder / "arrays"),
            "extra": extra,
        }
        write_manifest(folder, manifest)
        if best:
            # A copy, not a hard link: damage to one must not be damage to both. And before the latest: a run resumed
            # from this step relies on the best it knows of being there.
            copy = self._folder.temporary()
            shutil.copytree(folder, copy)
            copy.rename(self._folder.free_name("best", step))
        folder.rename(self._folder.free_name("latest", step))

    def _disk_full_message(self, step: int) -> str:
        earlier = self.latest_step()
        kept = "no earlier checkpoint exists" if earlier is None else f"the checkpoint of step {earlier} is intact"
        return (
            f"no space left while saving the checkpoint of step {step} in {self.directory}; {kept}. "
            "Free some space and run the same command again to continue."
        )

    def _checkpointer(self) -> ocp.Checkpointer:
        if self._orbax is None:
            # Every process reads for itself and only process 0 writes, so Orbax must not wait for the other processes.
            alone = ocp.options.MultiprocessingOptions(
                primary_host=jax.process_index(),
                active_processes={jax.process_index()},
                barrier_sync_key_prefix=f"process_{jax.process_index()}",
            )
            # Trained float weights do not compress; trying to costs half of the time of a save.
            handler = ocp.PyTreeCheckpointHandler(use_zarr3=True, use_compression=False, multiprocessing_options=alone)
            self._orbax = ocp.Checkpointer(handler, multiprocessing_options=alone)
        return self._orbax

    # -- reading ------------------------------------------------------------------------------------------------------

    def _restore(
        self, kind: str, template: PyTree, *, subset: bool = False, optional: tuple[str, ...] = ()
    ) -> Restored | None:
        problems = []
        for saved in self._folder.candidates(kind):
            try:
                restored = self._read(saved.path, template, subset=subset, optional=optional)
            except CorruptError as error:
                if not saved.path.exists():  # a training run that goes on meanwhile has replaced it
                    return self._restore(kind, template, subset=subset, optional=optional)
                problems.append(f"{saved.path.name}: {error}")
                continue
            for problem in problems:
                self._warn(f"checkpoint {problem}. Falling back to the one of step {restored.step}.")
            return restored
        if problems:
            raise _AllCorruptError(
                f"no {kind} checkpoint in {self.directory} can be read ({'; '.join(problems)}). "
                "Delete the run directory to train from the start."
            )
        return None

    def _read(self, path: Path, template: PyTree, *, subset: bool = False, optional: tuple[str, ...] = ()) -> Restored:
        manifest = read_manifest(path)
        if manifest["config_hash"] != self.config_hash:
            raise UserError(
                f"checkpoint {path} was made with another configuration (hash {manifest['config_hash']}, now "
                f"{self.config_hash}): use another --workdir, or the flags in its config.json"
            )
        saved, own = manifest["arrays"], dict(named_leaves(template))
        # Below a first name all is saved or nothing: a mixture of saved and fresh arrays would be no state at all.
        absent = set(optional) - {name.partition("/")[0] for name in saved}
        lacking = {
            name
            for name, leaf in own.items()
            if name.partition("/")[0] in absent and not isinstance(leaf, jax.ShapeDtypeStruct)
        }
        described = describe(template)
        require_match(path, saved, {n: there for n, there in described.items() if n not in lacking}, subset)
        raw = describe({n: raw_shape(leaf) for n, leaf in own.items() if n not in lacking})
        arrays = self._read_arrays(path / "arrays", manifest["files"], raw)
        leaves = [leaf if name in lacking else as_saved(leaf, arrays[name]) for name, leaf in own.items()]
        tree = jax.tree.unflatten(jax.tree.structure(template), leaves)
        return Restored(manifest["step"], tree, manifest["extra"])

    def _read_arrays(self, folder: Path, files: dict[str, str], wanted: dict[str, Any]) -> dict[str, np.ndarray]:
        try:
            # Before Orbax sees them: from damaged files its reading threads print errors that nobody can catch.
            verify_files(folder, files)
            stored = self._checkpointer().restore(folder)
            arrays = {
                name: np.zeros(here["shape"], here["dtype"]) if 0 in here["shape"] else np.asarray(stored[name])
                for name, here in wanted.items()
            }
        except (OSError, ValueError, KeyError) as error:
            raise CorruptError(f"unreadable ({type(error).__name__}: {first_line(error)})") from error
        if describe(arrays) != wanted:
            raise CorruptError("Orbax returned other shapes or dtypes than it was given")
        return arrays


class _AllCorruptError(UserError):
    """Checkpoints exist, and none can be read."""
