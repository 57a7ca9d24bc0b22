"""Where a result comes from: source version, package versions, device, command."""

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax

import rnn_jax

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "tensorflow-datasets", "tokenizers")
_DISTRIBUTION = "rnn-jax-research"
_SOURCE = Path(__file__).resolve().parents[2]


def source_commit(source: Path = _SOURCE) -> str | None:
    """Git hash of the source tree, with "-dirty" if tracked files differ from it; None outside a git checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(source), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        # An installed copy may lie inside somebody else's checkout (an environment in a project folder): not ours.
        if Path(git("rev-parse", "--show-toplevel")).resolve() != source.resolve():
            return None
        dirty = "-dirty" if git("status", "--porcelain", "--untracked-files=no") else ""
        return git("rev-parse", "HEAD") + dirty
    except (OSError, subprocess.SubprocessError):
        return None


def package_versions() -> dict[str, str | None]:
    """Versions of Python, this library and the packages that results depend on."""
    versions: dict[str, str | None] = {"python": platform.python_version(), "rnn_jax": _version(_DISTRIBUTION)}
    return versions | {package: _version(package) for package in _PACKAGES}


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        # run from a source tree that nobody installed
        return getattr(rnn_jax, "__version__", None) if distribution == _DISTRIBUTION else None


def cpu_model() -> str:
    """What the processor calls itself."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def provenance() -> dict[str, Any]:
    """Everything above as JSON values, flat but for the versions."""
    device = jax.devices()[0]
    return {
        "commit": source_commit(),
        "versions": package_versions(),
        "device": device.device_kind,
        "platform": device.platform,
        "cpu": f"{cpu_model()}, {os.cpu_count()} cores",
        "device_count": jax.device_count(),
        "process_count": jax.process_count(),
        "command": shlex.join([Path(sys.executable).name, *sys.orig_argv[1:]]),
    }
