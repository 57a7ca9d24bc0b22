"""The folder that checkpoints lie in: which there are, what the next one is called, which ones go.

A folder with a final name is a whole checkpoint; what has a temporary one is being written, or was when it was killed.
"""

import contextlib
import errno
import re
import shutil
import time
from pathlib import Path
from typing import NamedTuple

_NAME = re.compile(r"(latest|best)_(\d+)(?:\.(\d+))?")
_TEMPORARY = ".tmp_"
_DISK_FULL = re.compile("no space left|disk quota|file too large|RESOURCE_EXHAUSTED", re.IGNORECASE)


class Saved(NamedTuple):
    """A finished checkpoint folder. `attempt` counts saves of the same step: a newer one never overwrites in place."""

    step: int
    attempt: int
    path: Path


class CheckpointFolder:
    """Checkpoints of two kinds, "latest" and "best", below a directory."""

    def __init__(self, directory: Path):
        self.directory = directory

    def temporary(self) -> Path:
        """A name that nothing has."""
        return self.directory / f"{_TEMPORARY}{time.time_ns()}"

    def free_name(self, kind: str, step: int) -> Path:
        """A final one."""
        attempts = [saved.attempt for saved in self.find(kind) if saved.step == step]
        name = f"{kind}_{step:09d}"
        return self.directory / (f"{name}.{max(attempts) + 1}" if attempts else name)

    def rotate(self, step: int, best: bool, keep_latest: int) -> None:
        """Deletes what the checkpoint just saved makes superfluous, including steps of a future that was abandoned."""
        latest = self.find("latest")
        kept = {saved.step: saved for saved in reversed(latest) if saved.step <= step}  # newest attempt of each step
        keep = sorted(kept.values(), reverse=True)[:keep_latest]
        superfluous = [saved for saved in latest if saved not in keep]
        if best:
            own = next(saved for saved in self.find("best") if saved.step == step)
            superfluous += [saved for saved in self.find("best") if saved != own]
        self.remove(superfluous)

    def remove(self, superfluous: list[Saved]) -> None:
        """Deletes them, as far as the disk lets us."""
        for saved in superfluous:
            doomed = self.temporary()
            with contextlib.suppress(OSError):
                saved.path.rename(doomed)  # first the name: a folder half deleted must not look like a checkpoint
                shutil.rmtree(doomed, ignore_errors=True)

    def remove_temporaries(self) -> None:
        """Deletes what was never finished."""
        for path in self.directory.glob(f"{_TEMPORARY}*"):
            shutil.rmtree(path, ignore_errors=True)

    def find(self, kind: str) -> list[Saved]:
        """Finished checkpoints, newest first."""
        if not self.directory.is_dir():
            return []
        matches = [(path, _NAME.fullmatch(path.name)) for path in self.directory.iterdir()]
        found = [Saved(int(m[2]), int(m[3] or 0), path) for path, m in matches if m is not None and m[1] == kind]
        return sorted(found, reverse=True)

    def candidates(self, kind: str) -> list[Saved]:
        """Those to read, the first that can be."""
        found = self.find(kind)
        latest = self.find("latest")
        if kind == "best" and latest:
            # A best checkpoint newer than the latest belongs to steps that a kill took back.
            known = [saved for saved in found if saved.step <= latest[0].step]
            return known or found
        return found


def require_space(directory: Path, size: int) -> None:
    """Fails before Orbax does: of several writes that fail, its threads leave tracebacks that nobody can catch."""
    usage = shutil.disk_usage(directory)
    if usage.total and usage.free < size:  # some network file systems know no sizes
        raise OSError(errno.ENOSPC, "No space left on device", str(directory))


def is_disk_full(error: BaseException | None) -> bool:
    """Orbax wraps the system's error in its own types, so the chain and the text are searched."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        if _DISK_FULL.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False
