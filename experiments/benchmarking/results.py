"""The JSON file of a suite: machine, versions and rows, saved after every row, continued by the next run."""

import importlib.metadata
import json
import os
from pathlib import Path
from typing import Any

from experiments.benchmarking.timing import Timing
from rnn_jax.errors import UserError
from rnn_jax.files import read_json, write_atomically
from rnn_jax.training.provenance import cpu_model, provenance

PEER_PACKAGES = ("torch", "keras", "dm-haiku", "equinox")
# What changes the speed of everybody, and is set outside of Python.
ENVIRONMENT = (
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
    "GLIBC_TUNABLES",
    "XLA_FLAGS",
    "OMP_NUM_THREADS",
    "JAX_NUM_CPU_DEVICES",
)
# Rows measured under different ones of these do not belong into one table.
SAME = ("commit", "cpu_model", "cores", "device", "device_count", "environment", "matmul_precision", "versions")


def describe_machine(**settings: Any) -> dict[str, Any]:
    """Source, device, processor, load average and the settings given."""
    about = provenance()
    for package in PEER_PACKAGES:
        try:
            about["versions"][package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            about["versions"][package] = None
    return {
        **about,
        "cpu_model": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": os.getloadavg()[0],
        "environment": {name: os.environ.get(name) for name in ENVIRONMENT},
        **settings,
    }


class Results:
    """Rows of one suite in `<directory>/<suite>.json`; rows that are there already are kept.

    Raises:
      UserError: the file holds another suite's rows, or those of another machine, environment or source.
    """

    def __init__(self, directory: str, suite: str, machine: dict[str, Any]):
        self.path = Path(directory).expanduser() / f"{suite}.json"
        versions = machine.pop("versions")
        self.document: dict[str, Any] = {
            "suite": suite,
            "machine": machine,
            "versions": versions,
            "not_run": [],
            "rows": [],
        }
        if self.path.exists():
            self._continue(read_json(self.path))

    def _continue(self, stored: dict[str, Any]) -> None:
        before, now = (
            {**document["machine"], "versions": document["versions"]} for document in (stored, self.document)
        )
        changed = [name for name in SAME if before.get(name) != now.get(name)]
        if stored["suite"] != self.document["suite"] or changed:
            raise UserError(
                f"{self.path} was measured under other conditions ({', '.join(changed) or 'suite'}): "
                "delete it, or give another --output."
            )
        self.document = stored

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All rows, those of earlier runs included."""
        return self.document["rows"]

    def lacks(self, **key: str) -> bool:
        """True if this shape, cell, pass and peer has no row, and not because the peer cannot do it."""
        if any(_matches(row, key) for row in self.rows):
            return False
        del key["pass"]
        return not any(note["kind"] == "cannot" and _matches(note, key) for note in self.document["not_run"])

    def add(self, *rows: dict[str, Any]) -> None:
        """Adds rows and saves the file; what was noted about their peers no longer holds."""
        for row in rows:
            self.rows.append({"suite": self.document["suite"], **row})
            self._drop_note({name: row.get(name) for name in ("shape", "cell", "peer")})
        self.save()

    def note_not_run(self, reason: str, kind: str, **key: str) -> None:
        """Says why a peer has no rows for a shape and cell: it "cannot", or is "wrong", which is tried again."""
        self._drop_note(key)
        self.document["not_run"].append({**key, "kind": kind, "reason": reason})
        self.save()

    def _drop_note(self, key: dict[str, Any]) -> None:
        self.document["not_run"] = [note for note in self.document["not_run"] if not _matches(note, key)]

    @property
    def wrong(self) -> list[dict[str, Any]]:
        """Notes about peers that compute something else."""
        return [note for note in self.document["not_run"] if note["kind"] == "wrong"]

    def save(self) -> None:
        """Writes the file, whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.document["machine"]["load_after"] = os.getloadavg()[0]
        write_atomically(self.path, json.dumps(self.document, indent=1) + "\n")


def _matches(row: dict[str, Any], key: dict[str, str]) -> bool:
    return all(row.get(name) == value for name, value in key.items())


def timing_columns(timing: Timing, base: Timing) -> dict[str, Any]:
    """What a row says about time: quartiles in seconds, blocks, and the ratio to `base`, ours."""
    return {
        "seconds": timing.quartiles(),
        "blocks": len(timing.seconds),
        "calls_per_block": timing.calls_per_block,
        "ratio_to_ours": timing.ratio_to(base),
    }
