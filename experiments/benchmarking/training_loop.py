"""How much of the sentiment loop's time is spent inside of the compiled program, and how much beside it."""

import contextlib
import io
import tempfile
import time
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp

from experiments.sentiment import Config
from experiments.tasks.sentiment import TASK
from rnn_jax.training import fit
from rnn_jax.training.build import Program
from rnn_jax.training.prepare import prepare
from rnn_jax.training.run import open_run

TRAIN_STEP = fit.train_step


class ProgramTime(NamedTuple):
    """Seconds a step of the loop as it runs, and of the program alone."""

    loop: float
    program: float

    @property
    def share(self) -> float:
        """The part of the loop's time that is inside of the program."""
        return self.program / self.loop


class _Enough(Exception):
    """Ends a loop that has run long enough."""


class _Watched:
    """Stands where the train step stands in the loop, and remembers what it was given, and when.

    The clock starts when the first step is done and stops when the last one is: between them the loop is undisturbed.
    """

    def __init__(self, num_steps: int):
        self.num_steps = num_steps
        self.program: Any = None
        self.first_state: Any = None
        self.batches: list[Any] = []
        self.times: list[float] = []

    def train_step(self, program: Program, state: Any, batch: Any) -> Any:
        """One step of the loop's."""
        if not self.batches:
            self.program, self.first_state = program, jax.tree.map(jnp.copy, state)  # its buffers are donated
        result = TRAIN_STEP(program, state, batch)
        self.batches.append(batch)
        if len(self.batches) in (1, self.num_steps):
            jax.block_until_ready(result)
            self.times.append(time.perf_counter())
        if len(self.batches) == self.num_steps:
            raise _Enough
        return result

    def program_time(self) -> ProgramTime:
        """The same steps once more, back to back, on batches that are on the device already."""
        state, seconds = self.first_state, 0.0
        for index, batch in enumerate(self.batches):
            start = time.perf_counter()
            state, _ = jax.block_until_ready(TRAIN_STEP(self.program, state, batch))
            seconds += (time.perf_counter() - start) * (index > 0)
        counted = self.num_steps - 1
        return ProgramTime((self.times[1] - self.times[0]) / counted, seconds / counted)


def time_in_program(config: Config, *, num_steps: int, repeats: int) -> list[ProgramTime]:
    """Runs the first `num_steps` steps of the experiment's own loop, and then its compiled step alone; `repeats` times.

    Between them is all that the loop does beside the program: batches, copies to the device, logging, checkpoints by
    time; not evaluation. An unmeasured run goes before, and compiles.

    Raises:
      ValueError: the training is shorter than that, or num_steps below 2.
    """
    if num_steps < 2:
        raise ValueError(f"num_steps={num_steps}: the first step is not counted.")
    prepared = prepare(TASK, config)  # once for all runs: the loop would read its data again at every start
    results = []
    for repeat in range(repeats + 1):
        watched = _Watched(num_steps)
        with (
            mock.patch.object(fit, "train_step", watched.train_step),
            tempfile.TemporaryDirectory() as workdir,
            contextlib.redirect_stdout(io.StringIO()),  # the bar, and what is said about a run
            open_run(workdir, TASK.name, config) as run,
            contextlib.suppress(_Enough),
        ):
            fit.train(prepared, run)
            raise ValueError(f"The training has fewer than num_steps={num_steps} steps.")
        if repeat:
            results.append(watched.program_time())
    return results
