"""Several runs of one task in one process: start, data and compilation are paid once.

in turn   each run to its end, then the next: every update by the program of a single run, to the same bits.
in step   one update of all runs at a time, as one program: `jax.vmap` of a single run's update over stacked states and
          batches. The same numbers, but for the order in which floating-point sums are made. It pays on accelerators,
          which a small network keeps idle; on a CPU only very small ones gain.
"""

import contextlib
import dataclasses
import functools
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.errors import UserError
from rnn_jax.exit_codes import exit_code
from rnn_jax.files import LOG
from rnn_jax.training import fit
from rnn_jax.training.build import Program
from rnn_jax.training.complete import report
from rnn_jax.training.devices import place_members
from rnn_jax.training.prepare import Prepared, first_state, prepare
from rnn_jax.training.run import Run, open_run
from rnn_jax.training.session import Due, Session
from rnn_jax.training.state import TrainState
from rnn_jax.training.task import Task

PyTree = Any
Say = Callable[[str], None]
TrainIn = Callable[[Path, Any], Any]


class Outcome(NamedTuple):
    """How a run ended: an exit code as scripts have it (1: an error of ours, its traceback is in the log), seconds."""

    exit_code: int
    seconds: float


def train_in_turn(train: TrainIn, runs: Mapping[Path, Any], say: Say) -> dict[Path, Outcome]:
    """Calls train(directory, configuration) for each; one that fails does not stop the others, a signal does."""
    outcomes: dict[Path, Outcome] = {}
    for directory, config in runs.items():
        say(f"{directory.name}, {len(outcomes) + 1} of {len(runs)}")
        started = time.monotonic()
        with open_log(directory) as log:
            code = logged(log, functools.partial(train, directory, config))
        outcomes[directory] = Outcome(code, time.monotonic() - started)
        if code > 128:
            break
    return outcomes


def train_in_step(task: Task, runs: Mapping[Path, Any], say: Say) -> dict[Path, Outcome]:
    """Trains all configurations side by side; one that fails does not stop the others, a signal stops all.

    Raises:
      UserError: the runs' batches differ in shape.
    """
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        members = [_Member(task, directory, config, stack) for directory, config in runs.items()]
        living = [member for member in members if member.does(member.open)]
        first = min((member.session.latest_step() for member in living), default=0)  # a kill came between two saves
        living = [member for member in living if member.does(member.begin, first)]
        for number, member in enumerate(living):
            member.session.member = number
        if len({member.prepared.plan.total_steps for member in living}) > 1:
            raise UserError("--seeds_mode=vmap: the runs differ in length. Use --seeds_mode=map, or give --num_steps.")
        if living:
            _update_all(living, first, say)
        for member in living:
            if member.code == 0:
                member.does(report, member.prepared, member.run, "vmap")
    return {member.directory: Outcome(member.code, time.monotonic() - started) for member in members}


def _update_all(members: list["_Member"], first: int, say: Say) -> None:
    program = dataclasses.replace(members[0].prepared.program, mesh=None)
    states = place_members(jax.tree.map(lambda *leaves: jnp.stack(leaves), *(member.state for member in members)))
    for step in range(first, program.total_steps):
        batches = _stacked([member.prepared.source.batch(step) for member in members], step)
        states, sums = _step_of_all(program, states, place_members(batches))
        going_on = [(number, member) for number, member in enumerate(members) if member.code == 0]
        for _, member in going_on:
            member.session.count(sums, 0)
        due = Due(*map(any, zip(*(member.session.due() for _, member in going_on))))
        if any(due):
            say(f"step {step + 1} of {program.total_steps}, {len(going_on)} of {len(members)} runs")
            for number, member in going_on:
                member.does(member.after, jax.tree.map(lambda leaf, i=number: leaf[i], states), due)
        if due.stopping or all(member.code for member in members):
            return


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def _step_of_all(program: Program, states: PyTree, batches: PyTree) -> tuple[PyTree, PyTree]:
    return jax.vmap(functools.partial(fit.update, program))(states, batches)


def _stacked(batches: list[Mapping[str, np.ndarray]], step: int) -> dict[str, np.ndarray]:
    if len({tuple((name, array.shape) for name, array in sorted(batch.items())) for batch in batches}) > 1:
        raise UserError(
            f"--seeds_mode=vmap: at step {step} the runs' batches have different shapes, as where each seed cuts its "
            "own validation part from the training part. Use --seeds_mode=map, or name validation data."
        )
    return {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}


class _Member:
    """One of the runs that train in step. code: how it ended; 0 while it goes on."""

    run: Run
    prepared: Prepared
    session: Session
    state: Any

    def __init__(self, task: Task, directory: Path, config: Any, stack: contextlib.ExitStack):
        self.task, self.directory, self.config, self.stack, self.code = task, directory, config, stack, 0
        self._log = stack.enter_context(open_log(directory))

    def does(self, action: Callable, *arguments: Any) -> bool:
        """Calls action(*arguments), whose output goes to the run's log; False, and a code, where it fails."""
        self.code = logged(self._log, functools.partial(action, *arguments))
        return self.code == 0

    def open(self) -> None:
        self.run = self.stack.enter_context(open_run(self.directory, self.task.name, self.config))
        self.prepared = prepare(self.task, self.config)
        self.session = self.stack.enter_context(self.prepared.session(self.run))

    def begin(self, first: int) -> None:
        state, notes = first_state(self.prepared)
        self.state = self.session.restore(state, at_most=first)
        self.session.begin(notes)

    def after(self, state: TrainState, due: Due) -> None:
        self.session.after(state, due, functools.partial(fit.evaluate, self.prepared))


def open_log(directory: Path) -> TextIO:
    """What a run prints that nobody watches."""
    directory.mkdir(parents=True, exist_ok=True)
    return (directory / LOG).open("a", encoding="utf-8", buffering=1)


def logged(log: TextIO, body: Callable[[], Any]) -> int:
    """Runs body, with what it prints in the log; returns the exit code that a script would have."""

    def run() -> None:
        body()

    with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        try:
            return exit_code(run)
        except Exception:
            traceback.print_exc()
            return 1
