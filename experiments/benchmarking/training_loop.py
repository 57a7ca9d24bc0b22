"""How much of the sentiment loop's time is spent inside of the compiled program, and how much beside it."""

import contextlib
import io
import tempfile
import time
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp

from experiments import sentiment
from rnn_jax.training.run import open_run
from rnn_jax.training.steps import Steps
from rnn_jax.training.updates import run_alone


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

    def __init__(self, steps: Steps, num_steps: int):
        self.steps, self.num_steps = steps, num_steps
        self.first_state: Any = None
        self.batches: list[tuple[Any, ...]] = []
        self.times: list[float] = []

    def train(self, state: Any, *batch: Any) -> Any:
        """One step of the loop's."""
        if not self.batches:
            self.first_state = jax.tree.map(jnp.copy, state)  # its buffers are donated
        result = self.steps.train(state, *batch)
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
            state, _ = jax.block_until_ready(self.steps.train(state, *batch))
            seconds += (time.perf_counter() - start) * (index > 0)
        counted = self.num_steps - 1
        return ProgramTime((self.times[1] - self.times[0]) / counted, seconds / counted)


def time_in_program(config: sentiment.Config, *, num_steps: int, repeats: int) -> list[ProgramTime]:
    """Runs the first `num_steps` steps of the experiment's own loop, and then its compiled step alone; `repeats` times.

    Between them is all that the loop does beside the program: batches, copies to the device, logging, checkpoints by
    time; not evaluation. An unmeasured run goes before, and compiles.

    Raises:
      ValueError: the training is shorter than that, or num_steps below 2.
    """
    if num_steps < 2:
        raise ValueError(f"num_steps={num_steps}: the first step is not counted.")
    # Both once for all runs: the loop would read its data again, and compile again, at every start.
    prepared, made = sentiment.prepare(config), list[Steps]()
    original, watched = sentiment.steps_of, list[_Watched]()

    def steps_of(*arguments: Any) -> Steps:
        if not made:
            made.append(original(*arguments))
        watched.append(_Watched(made[0], num_steps))
        return made[0]._replace(train=watched[-1].train)

    patch = mock.patch.multiple(sentiment, steps_of=steps_of, prepare=lambda _: prepared)
    results = []
    for repeat in range(repeats + 1):
        with (
            patch,
            tempfile.TemporaryDirectory() as workdir,
            contextlib.redirect_stdout(io.StringIO()),  # the bar, and what is said about a run
            open_run(workdir, sentiment.EXPERIMENT, config) as run,
            contextlib.suppress(_Enough),
        ):
            run_alone(sentiment.train(config, run))
            raise ValueError(f"The training has fewer than num_steps={num_steps} steps.")
        if repeat:
            results.append(watched[-1].program_time())
    return results
