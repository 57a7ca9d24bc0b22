"""What was timed side by side, read back from JSON: cases, who counts as which rival, geometric means."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.benchmarking.peers import JAX_PEERS
from rnn_jax.errors import UserError
from rnn_jax.files import read_json

OURS = "ours"

Row = dict[str, Any]


class Case(NamedTuple):
    """One problem and pass: the rows of all implementations by name, timed in the same blocks."""

    suite: str
    shape: str
    cell: str
    pass_: str
    rows: dict[str, Row]

    def ratio(self, peer: str | None) -> float | None:
        """The peer's time by ours; None for a peer that did not take part."""
        return self.rows[peer]["ratio_to_ours"] if peer in self.rows else None

    @property
    def peers(self) -> list[str]:
        """Everybody else."""
        return [peer for peer in self.rows if peer != OURS]


def load(directory: Path) -> list[dict[str, Any]]:
    """The documents of a directory in order of their names, one a suite.

    Raises:
      UserError: there are none, or one is damaged.
    """
    files = [read_json(path) for path in sorted(directory.glob("*.json"))]
    if not files:
        raise UserError(f"{directory} has no <suite>.json: run the benchmark first.")
    return files


def rows_of(files: Iterable[dict[str, Any]]) -> list[Row]:
    """All rows, each with the name of its suite."""
    return [{"suite": file["suite"], **row} for file in files for row in file["rows"]]


def timing_cases(files: Iterable[dict[str, Any]]) -> list[Case]:
    """The rows that compare layers, grouped. Those of ensembles and of whole models have tables of their own."""
    grouped: dict[tuple[str, str, str, str], dict[str, Row]] = {}
    for row in rows_of(files):
        if not row.keys() & {"num_seeds", "tokens_per_second", "share"}:
            grouped.setdefault((row["suite"], row["shape"], row["cell"], row["pass"]), {})[row["peer"]] = row
    return [Case(*key, rows) for key, rows in grouped.items()]


def best_jax_peer(case: Case) -> str | None:
    """The fastest JAX implementation that is not ours."""
    peers = [peer for peer in case.rows if peer in JAX_PEERS]
    return min(peers, key=lambda peer: case.rows[peer]["ratio_to_ours"], default=None)


# Flax with the cell that its users write: LSTMCell and not OptimizedLSTMCell. torch in float32, and on ragged rows with
# packed sequences.
RIVALS: dict[str, Callable[[Case], str | None]] = {
    "best JAX peer": best_jax_peer,
    "flax_nnx": lambda case: "flax_nnx" if "flax_nnx" in case.rows else None,
    "torch": lambda case: next((peer for peer in ("torch", "torch_packed") if peer in case.rows), None),
    "jax_cudnn": lambda case: "jax_cudnn" if "jax_cudnn" in case.rows else None,
}


def geometric_mean(values: Sequence[float]) -> float:
    """exp of the mean logarithm.

    Raises:
      ValueError: no values, or one that is not positive.
    """
    if not values or min(values) <= 0:
        raise ValueError(f"A geometric mean needs positive values; got {list(values)}.")
    return math.exp(sum(map(math.log, values)) / len(values))
