"""Which way of computing the updates of several runs is the fastest here: a short measurement on a real batch."""

import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

from rnn_jax.training.together import Fillers, compute_alone, compute_together
from rnn_jax.training.updates import Update


def time_methods(asked: Update, size: int, repeats: int = 5) -> dict[str, float]:
    """Milliseconds for an update of each of `size` runs, in turn ("map") and by one program ("vmap"); medians."""
    updates = [asked._replace(state=jax.tree.map(jnp.copy, asked.state)) for _ in range(size)]
    fillers = Fillers()
    methods: dict[str, Callable] = {
        "map": lambda: list(map(compute_alone, updates)),
        "vmap": lambda: compute_together(updates, size, fillers),
    }
    times: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(1 + repeats):  # in turn: what slows the machine down for a while slows down both
        for name, compute in methods.items():
            start = time.perf_counter()
            results = jax.block_until_ready(compute())
            times[name].append(1e3 * (time.perf_counter() - start))
            updates = [u._replace(state=state) for u, (state, _) in zip(updates, results, strict=True)]
    return {name: round(statistics.median(measured[1:]), 3) for name, measured in times.items()}  # the first compiles
