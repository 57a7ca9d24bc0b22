"""Many training loops in one process, their updates shared out: seeds, learning rates, rates of dropout.

Every loop is one run with its own directory, data order, evaluations and checkpoints, just as it would be alone. They
start once, read the data once and compile once for all.

map    the loops take turns: each update is computed by the very program that a single run has, to the same bits.
vmap   loops that stand at the same step with batches of the same shapes get their updates from one program, `ensemble`
       of a single run's update: the same numbers, but for the order in which floating-point sums are made. All others
       (behind the others after a `kill -9`, or with data of their own) take turns; so after a kill the bits may differ.

Which is faster depends on the machine: `time_methods`.
"""

import contextlib
import functools
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.analysis.ensembles import ensemble
from rnn_jax.training.app import exit_code
from rnn_jax.training.devices import data_mesh, shard_batch
from rnn_jax.training.updates import Update, Updates

PyTree = Any


class Outcome(NamedTuple):
    """How a loop ended: an exit code as scripts have it (1: an error of ours, its traceback is in the log), seconds."""

    exit_code: int
    seconds: float


class Share:
    """The seconds of a process that are one run's: all while it starts, then as much as any other that still runs."""

    def __init__(self) -> None:
        self._seconds, self._rate, self._since = 0.0, 0.0, time.monotonic()

    def __call__(self) -> float:
        """Seconds so far."""
        return self._seconds + self._rate * (time.monotonic() - self._since)

    def set_rate(self, rate: float) -> None:
        """From now on, a second counts as so many."""
        self._seconds, self._rate, self._since = self(), rate, time.monotonic()


def run_together(
    loops: Sequence[Callable[[Share], Updates]],
    logs: Sequence[Path],
    *,
    method: str,
    size: int,
    say: Callable[[str], None] = print,
    tick: Callable[[int, int], None] = lambda step, num_living: None,
) -> list[Outcome]:
    """Runs the loops to their ends; a loop that fails does not stop the others.

    Args:
      loops: make a run each, given the clock of its share; `logs`: the files that get what each of them prints.
      method: "vmap" or "map", as above.
      size: models in the program of vmap, at least as many as there are loops. Constant over restarts, when some loops
        have ended, it lets the others have the bits that they would have had: places left over compute for nothing.
      say: gets a line that is worth knowing; tick(step, loops that have not ended) is called in every round.
    """
    members = [_Member(make, log) for make, log in zip(loops, logs, strict=True)]
    fillers = Fillers()
    counts = {True: 0, False: 0}
    try:
        for member in members:
            member.share.set_rate(1.0)
            member.advance(None)
            member.share.set_rate(0.0)
        while living := [member for member in members if member.asked is not None]:
            for member in members:
                member.share.set_rate(1.0 / len(living) if member in living else 0.0)
            tick(min(member.asked.step for member in living if member.asked is not None), len(living))
            for group in _groups(living):
                asked = [member.asked for member in group if member.asked is not None]
                together = method == "vmap" and (len(group) > 1 or len(living) == 1 < size)
                counts[together] += len(group)
                computed = compute_together(asked, size, fillers) if together else map(compute_alone, asked)
                for member, result in zip(group, computed, strict=True):
                    member.advance(result)
    finally:
        for member in members:
            member.close()
    if method == "vmap" and counts[False]:
        say(f"{counts[False]:,} of {sum(counts.values()):,} updates were computed one by one: other shapes or steps.")
    return [member.outcome for member in members]


class _Member:
    """A loop, what it asks for, and how it ended."""

    def __init__(self, make: Callable[[Share], Updates], log: Path):
        log.parent.mkdir(parents=True, exist_ok=True)
        self.share = Share()
        self.loop, self._log = make(self.share), log.open("a", encoding="utf-8", buffering=1)
        self.asked: Update | None = None
        self.outcome = Outcome(1, 0.0)

    def advance(self, computed: Any) -> None:
        """Hands over what was computed and gets the next question, or the end."""
        with contextlib.redirect_stdout(self._log), contextlib.redirect_stderr(self._log):
            code = self._code(computed)
        if self.asked is None:
            self.share.set_rate(0.0)
            self.outcome = Outcome(code, self.share())

    def close(self) -> None:
        """Ends the loop, if it has not ended, and its log."""
        with contextlib.redirect_stdout(self._log), contextlib.redirect_stderr(self._log):
            self.loop.close()
        self._log.close()

    def _code(self, computed: Any) -> int:
        self.asked = None

        def send() -> None:
            with contextlib.suppress(StopIteration):
                self.asked = self.loop.send(computed)

        try:
            return exit_code(send)
        except Exception:
            traceback.print_exc()
            return 1


def _groups(living: Sequence[_Member]) -> list[list[_Member]]:
    """Those that are furthest behind, by program and shapes: the others wait for them."""
    groups: dict[Any, list[_Member]] = {}
    behind = min(member.asked.step for member in living if member.asked is not None)
    for member in living:
        if member.asked is not None and member.asked.step == behind:
            groups.setdefault(_signature(member.asked), []).append(member)
    return list(groups.values())


def _signature(asked: Update) -> Any:
    shapes = tuple((name, np.shape(array)) for name, array in sorted(asked.arrays.items()))
    return id(asked.steps.compiled_update), shapes


def compute_alone(asked: Update) -> Any:
    """(state, metrics) of an update, as a single run computes it."""
    return asked.steps.train(asked.state, shard_batch(asked.arrays, data_mesh()))


class Fillers:
    """States for the places of a program that no loop stands at; what becomes of them is of no interest."""

    def __init__(self) -> None:
        self.states: list[PyTree] = []

    def take(self, count: int, like: PyTree) -> list[PyTree]:
        """So many states, which are used up."""
        while len(self.states) < count:
            self.states.append(jax.tree.map(jnp.copy, like))
        taken, self.states = self.states[:count], self.states[count:]
        return taken


def compute_together(asked: Sequence[Update], size: int, fillers: Fillers) -> list[Any]:
    """(state, metrics) of each update, from one program of `size` models."""
    first, spare = asked[0], size - len(asked)
    states = (*(update.state for update in asked), *fillers.take(spare, first.state))
    given = [update.arrays for update in asked] + [first.arrays] * spare
    arrays = {name: np.stack([own[name] for own in given]) for name in first.arrays}
    numbers = tuple(update.steps.numbers for update in [*asked, *[first] * spare])
    states, metrics = _program(first.steps.update, size)(states, arrays, numbers)
    fillers.states += states[len(asked) :]
    return list(zip(states, metrics, strict=True))[: len(asked)]


@functools.lru_cache(maxsize=8)
def _program(update: Callable, size: int) -> Callable:
    """Compiled: the states, arrays and numbers of `size` models → their states and metrics, each on its own.

    The models are shared out among the devices where these divide their number.
    """
    devices = data_mesh()
    mesh = devices if devices.size > 1 and size % devices.size == 0 else None
    of_all = ensemble(update, "vmap", mesh=mesh)

    def updates(states: tuple, arrays: PyTree, numbers: tuple) -> tuple[tuple, tuple]:
        new_states, metrics = of_all(_stacked(states), arrays, _stacked(numbers))
        return _unstacked(new_states, size), _unstacked(metrics, size)

    return jax.jit(updates, donate_argnums=0)


def _stacked(trees: Sequence[PyTree]) -> PyTree:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _unstacked(tree: PyTree, size: int) -> tuple[PyTree, ...]:
    return tuple(jax.tree.map(lambda leaf, i=i: leaf[i], tree) for i in range(size))
