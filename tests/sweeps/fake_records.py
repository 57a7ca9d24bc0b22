"""Sweeps whose runs nobody made: a row is a name and, for each seed, its metric or its status."""

import dataclasses
from pathlib import Path
from typing import Any

from rnn_jax.sweeps.records import Record
from rnn_jax.sweeps.rows import Row, Sweep, SweepRun

PROVENANCE = {
    "commit": "c0ffee",
    "versions": {"python": "3.11.2", "rnn_jax": "0.1.0", "jax": "0.8.1", "orbax-checkpoint": None},
    "device": "cpu",
    "platform": "cpu",
    "device_count": 1,
}
MESSAGE = "Traceback:\n\x1b[31mValueError\x1b[0m: <b>no</b> | ```"


@dataclasses.dataclass(frozen=True)
class Config:
    seed: int = 0
    rate: float = 0.5
    sizes: tuple[int, ...] = (4, 2)


def fake_sweep(outcomes: dict[str, list[Any]], workdir: Path, *, first_seeds: dict[str, int] | None = None, **fields):
    """(sweep, records). An outcome: a number; None for a result that is null; "missing" for one without the metric;
    or a status. first_seeds: of the rows that don't begin with 0.
    """
    rows = tuple(
        Row(name, {"rate": number / 8} if number else {}, Config(rate=number / 8 if number else 0.5), f"row_{number}")
        for number, name in enumerate(outcomes)
    )
    sweep = Sweep(
        **{
            "path": Path("sweeps/fake_cells.py"),
            "title": "What a gate is worth",
            "text": "First thing.\n\nSecond thing.",
            "module": "experiments.fake",
            "experiment": "fake",
            "config_class": Config,
            "metric": "test/accuracy",
            "maximize": True,
            "curve": "validation/accuracy",
            "curve_axis": "updates",
            "curve_log": False,
            "rows": rows,
            "num_seeds": 3,
            **fields,
        }
    )
    records = []
    for number, (name, values) in enumerate(outcomes.items()):
        for seed, outcome in enumerate(values, start=(first_seeds or {}).get(name, 0)):
            run = SweepRun(number, seed, rows[number].config, workdir / "runs" / rows[number].slug / f"seed_{seed}")
            records.append(_record(run, outcome, sweep.metric))
    return sweep, records


def _record(run: SweepRun, outcome: Any, metric: str) -> Record:
    steps = range(10, 41, 10)
    lines = [{"step": step, "seconds": step / 4, "validation/accuracy": step / 50 + run.seed / 100} for step in steps]
    lines.insert(1, {"step": 15, "seconds": 3.75, "train/loss": 1.0})
    if isinstance(outcome, str) and outcome != "missing":
        message = MESSAGE if outcome in ("failed", "diverged") else ""
        return Record(run, outcome, {}, [] if outcome == "waiting" else lines[:3], message)
    numbers = {} if outcome == "missing" else {metric: outcome}
    result = {"num_parameters": 1000 + 234 * run.row, "hidden_size": "8", "seconds": 60.0 + 60 * run.seed}
    return Record(run, "finished", numbers | result | PROVENANCE, lines)
