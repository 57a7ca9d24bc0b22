"""The manifest of a checkpoint: what was saved, with checksums; how a tree is named, described and compared."""

import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from rnn_jax.errors import UserError

PyTree = Any
_KEY_KINDS = ("threefry2x32", "rbg", "unsafe_rbg")  # JAX's own


class CorruptError(Exception):
    """The files are not what was saved."""


def flatten(tree: PyTree) -> dict[str, np.ndarray]:
    """Host array of each path, of typed keys their data. Of arrays that are shared out among processes every process
    gets the whole, for which all must call; replicated ones are read from this process's copy.
    """
    return {path: _on_host(leaf) for path, leaf in named_leaves(tree)}


def _on_host(leaf: Any) -> np.ndarray:
    if is_key(leaf):
        leaf = jax.random.key_data(leaf)
    if isinstance(leaf, jax.Array) and not (leaf.is_fully_addressable or leaf.is_fully_replicated):
        return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))
    return np.asarray(leaf)


def is_key(leaf: Any) -> bool:
    """True for typed PRNG keys, and for what describes them."""
    return hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def raw_shape(leaf: Any) -> Any:
    """The shape and dtype in which a leaf is kept: of keys, those of their data."""
    return jax.eval_shape(jax.random.key_data, leaf) if is_key(leaf) else leaf


def as_saved(leaf: Any, array: np.ndarray) -> Any:
    """The array in the type of the template's leaf."""
    if not is_key(leaf):
        return array
    kinds = {str(jax.eval_shape(functools.partial(jax.random.key, impl=name), 0).dtype): name for name in _KEY_KINDS}
    return jax.random.wrap_key_data(jnp.asarray(array), impl=kinds[str(leaf.dtype)])


def describe(template: PyTree) -> dict[str, dict[str, Any]]:
    """{"shape", "dtype"} by path of each array or jax.ShapeDtypeStruct."""

    def dtype(leaf: Any) -> str:
        return str(leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype)

    return {path: {"shape": list(np.shape(leaf)), "dtype": dtype(leaf)} for path, leaf in named_leaves(template)}


def named_leaves(tree: PyTree) -> Iterator[tuple[str, Any]]:
    """The path of each leaf, and the leaf."""
    seen = set()
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if name in seen:
            raise ValueError(f"two arrays of the tree have the path {name!r}")
        seen.add(name)
        yield name, leaf


def file_digests(folder: Path) -> dict[str, str]:
    """Relative name → SHA-256 of every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def verify_files(folder: Path, expected: dict[str, str]) -> None:
    """Corrupt where a file is missing, was added, or has a changed byte."""
    found = file_digests(folder)
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            raise CorruptError(f"file {name} is missing")
        if found[name] != expected.get(name):
            raise CorruptError(f"file {name} is damaged")


def write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """Writes manifest.json with a checksum of itself. Floats stay exact; values must be what JSON knows."""
    body = json.dumps(manifest)
    checksum = hashlib.sha256(body.encode()).hexdigest()
    (path / "manifest.json").write_text(f'{{"checksum": "{checksum}", "manifest":\n{body}\n}}\n')


def read_manifest(path: Path) -> dict[str, Any]:
    """What write_manifest wrote; Corrupt where a byte of it has changed."""
    try:
        document = json.loads((path / "manifest.json").read_bytes())
        body, checksum = document["manifest"], document["checksum"]
        intact = hashlib.sha256(json.dumps(body).encode()).hexdigest() == checksum
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptError(f"unreadable manifest ({first_line(error)})") from error
    if not intact:
        raise CorruptError("checksum of manifest.json does not match")
    return body


def require_match(path: Path, saved: dict[str, Any], expected: dict[str, Any], subset: bool) -> None:
    """UserError naming arrays that only one side has, or that differ in shape or dtype."""

    def show(described: dict[str, Any]) -> str:
        return f"{described['dtype']}[{','.join(map(str, described['shape']))}]"

    problems = [f"{name} is missing in the checkpoint" for name in expected if name not in saved]
    if not subset:
        problems += [f"{name} is only in the checkpoint" for name in saved if name not in expected]
    for name, here in expected.items():
        if name in saved and show(saved[name]) != show(here):
            problems.append(f"{name} is {show(saved[name])} in the checkpoint, {show(here)} here")
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise UserError(f"checkpoint {path} does not fit this model: {'; '.join(problems[:5])}{more}")


def first_line(error: BaseException) -> str:
    """The start of an error's text, for a message of one line."""
    return (str(error).splitlines() or [""])[0][:200]
