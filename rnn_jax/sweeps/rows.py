"""What a sweep consists of: rows of overrides, each trained with several seeds, each seed in its own run directory."""

from pathlib import Path
from typing import Any, NamedTuple

from rnn_jax.config import value_of, with_overrides


class Row(NamedTuple):
    """One configuration of a sweep.

    name: what is different from the baseline, as in "cell=gru, hidden_size=64"; unique in its sweep. overrides: of the
    experiment's defaults, by field. config: the experiment's configuration with them. slug: the name as a directory.
    """

    name: str
    overrides: dict[str, Any]
    config: Any
    slug: str


class Sweep(NamedTuple):
    """A sweep file that was read and found valid.

    path: of the file. title: first line of its docstring. text: the rest of it.
    module: full name of the experiment's module, which has Config, EXPERIMENT and train. experiment: its EXPERIMENT.
    metric: name in result.json that rows are compared by. maximize: whether more of it is better.
    curve: name in metrics.jsonl that is drawn over the steps ("" = none); curve_axis: what a step is, for the picture;
    curve_log: draw it on a logarithmic scale.
    rows: the first one is the baseline. num_seeds: that the file asks for.
    """

    path: Path
    title: str
    text: str
    module: str
    experiment: str
    config_class: type
    metric: str
    maximize: bool
    curve: str
    curve_axis: str
    curve_log: bool
    rows: tuple[Row, ...]
    num_seeds: int


class SweepRun(NamedTuple):
    """One seed of one row: its configuration and run directory."""

    row: int
    seed: int
    config: Any
    directory: Path


def expand(sweep: Sweep, workdir: Path, num_seeds: int) -> list[SweepRun]:
    """Every run of the sweep, row after row. Seed i of a row is the row's own `seed` plus i."""
    runs = []
    for number, row in enumerate(sweep.rows):
        first = value_of(row.config, "seed")
        for seed in range(first, first + num_seeds):
            config = with_overrides(row.config, {"seed": seed})
            runs.append(SweepRun(number, seed, config, workdir / "runs" / row.slug / f"seed_{seed}"))
    return runs
