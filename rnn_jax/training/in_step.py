"""Several runs of one task in step: one update of all of them at a time, as one program.

It is `jax.vmap` of a single run's update over stacked states and batches: the same numbers, but for the order in which
floating-point sums are made. It pays on accelerators, which a small network keeps idle; on a CPU only very small ones
gain.
"""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

import jax
import numpy as np

from rnn_jax.data.prefetch import prefetch
from rnn_jax.training import fit
from rnn_jax.training.build import Program
from rnn_jax.training.complete import report
from rnn_jax.training.devices import place_members
from rnn_jax.training.many import Outcome, Say, logged, open_log
from rnn_jax.training.prepare import Prepared, first_state, prepare
from rnn_jax.training.run import Run, open_run
from rnn_jax.training.session import Due, Session
from rnn_jax.training.state import TrainState
from rnn_jax.training.task import Task

PyTree = Any


class OutOfStepError(Exception):
    """Runs cannot train in step: why, and what would let them."""


def train_in_step(task: Task, runs: Mapping[Path, Any], say: Say) -> dict[Path, Outcome]:
    """Trains all configurations side by side; one that fails does not stop the others, a signal stops all.

    Raises:
      OutOfStepError: the runs differ in length, or their batches in shape. Each has what it had saved.
    """
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        members = [_Member(directory, stack.enter_context(open_log(directory))) for directory in runs]
        for member, config in zip(members, runs.values(), strict=True):
            member.does(member.begin, task, config, stack)
        _train([member for member in members if member.code == 0], say)
        for member in members:
            if member.code == 0:
                member.does(report, member.prepared, member.run, "vmap")
    return {member.directory: Outcome(member.code, time.monotonic() - started) for member in members}


class _Member:
    """One of the runs that train in step. code: how it ended; 0 while it goes on."""

    run: Run
    prepared: Prepared
    session: Session
    state: TrainState
    changed: TrainState | None

    def __init__(self, directory: Path, log: TextIO):
        self.directory, self.log, self.code = directory, log, 0

    def does(self, action: Callable, *arguments: Any) -> None:
        """Calls action(*arguments), whose output goes to the run's log; a code where it fails."""
        self.code = logged(self.log, functools.partial(action, *arguments))

    def begin(self, task: Task, config: Any, stack: contextlib.ExitStack) -> None:
        self.run = stack.enter_context(open_run(self.directory, task.name, config))
        self.prepared = prepare(task, config, self.run)
        self.session = stack.enter_context(self.prepared.session(self.run))
        state, notes = first_state(self.prepared, self.session.latest_step())
        self.state = self.session.restore(state)
        self.session.begin(notes)

    def after(self, state: TrainState, due: Due) -> None:
        """What the session does after an update; `changed` is then the state to go on with where it is another one."""
        evaluate = functools.partial(fit.evaluate, self.prepared)
        after = self.session.after(state, due, evaluate)
        self.changed = None if after is state else after


def _train(members: list[_Member], say: Say) -> None:
    """Trains all to the end. Those that are behind, after a kill between two saves or as seeds were added, catch up."""
    lengths = {member.prepared.plan.total_steps for member in members}
    if len(lengths) > 1:
        raise OutOfStepError("the runs differ in length", "give --num_steps")
    total = max(lengths, default=0)
    while going := [member for member in members if member.code == 0 and member.session.step < total]:
        first, until, *_ = sorted({total} | {member.session.step for member in going})
        _update_all([member for member in going if member.session.step == first], until, say)


def _update_all(members: list[_Member], until: int, say: Say) -> None:
    """Trains members that have made equally many updates, until they have made so many."""
    program = dataclasses.replace(members[0].prepared.program, mesh=None)
    states = place_members(_stacked([member.state for member in members], "the states"))
    for number, member in enumerate(members):
        member.session.join(number)
    with prefetch(functools.partial(_batches, members), range(members[0].session.step, until)) as batches:
        for batch in batches:
            states, sums = _step_of_all(program, states, batch)
            going_on = [(number, member) for number, member in enumerate(members) if member.code == 0]
            for _, member in going_on:
                member.session.count(sums, 0)
            due = Due(*map(any, zip(*(member.session.due() for _, member in going_on))))
            if any(due):
                step = going_on[0][1].session.step
                say(f"step {step} of {program.total_steps}, {len(going_on)} of {len(members)} runs")
                for number, member in going_on:
                    member.does(member.after, _state_of(states, number), due)
                    if member.code == 0 and member.changed is not None:
                        states = place_members(_with_state(states, number, member.changed))
                        member.changed = None  # a copy of a state is a state's memory
            if all(member.code for member in members):
                return
    for number, member in enumerate(members):
        member.state = jax.device_get(_state_of(states, number))


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def _step_of_all(program: Program, states: PyTree, batches: PyTree) -> tuple[PyTree, PyTree]:
    return jax.vmap(functools.partial(fit.update, program))(states, batches)


def _batches(members: list[_Member], step: int) -> PyTree:
    batches = [member.prepared.source.batch(step) for member in members]
    return place_members(_stacked(batches, f"the batches of step {step}"))


def _stacked(trees: list[PyTree], what: str) -> PyTree:
    if len({tuple(map(np.shape, jax.tree.leaves(tree))) for tree in trees}) > 1:
        why = f"{what} differ in shape from run to run, as where each seed cuts off its own validation part"
        raise OutOfStepError(why, "name validation data")
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def _state_of(states: PyTree, number: int) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[number], states)


@functools.partial(jax.jit, donate_argnums=0)
def _with_state(states: PyTree, number: int | jax.Array, state: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf, own: leaf.at[number].set(own), states, state)
