"""--search=optuna: trials of configurations from a space, each chosen by what the ones before it have shown.

A trial is a run like any other, in runs/trial_0007. While it trains, its metrics.jsonl is followed: a trial that is
worse than the median of the earlier ones was at the same step is stopped. The study, search.journal in the workdir, has
every choice and every result, so that a search that was killed goes on with the trials that it was making.

What is compared is a number of the validation data. Choosing by the test data would make the winner's test score the
best of many throws, and no estimate of anything.
"""

import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from rnn_jax.config import config_from_dict, config_hash, config_to_dict, differences
from rnn_jax.errors import TrainingInterrupted, UserError
from rnn_jax.sweeps import local
from rnn_jax.sweeps.jobs import start
from rnn_jax.sweeps.remote import missing_package
from rnn_jax.sweeps.rows import Sweep
from rnn_jax.training.stopping import StopSignal

try:
    import optuna
except ImportError as error:
    raise missing_package("optuna", "--search=optuna", error) from None

from optuna.storages.journal import JournalFileBackend, JournalStorage

from rnn_jax.sweeps.search_goal import Goal, Space, configuration_of, draw, validation_metric
from rnn_jax.sweeps.search_report import write_search_report
from rnn_jax.sweeps.search_trials import StartJob, Trials

JOURNAL = "search.journal"
NUM_DRY_TRIALS = 20  # drawn before anything starts, to see that the space fits the experiment


def run_search(
    sweep: Sweep,
    space: Space,
    workdir: Path,
    *,
    base: Any = None,
    num_trials: int,
    num_parallel: int = 1,
    seconds: float = 0.0,
    seed: int = 0,
    environment: tuple[tuple[str, str], ...] = (),
    start_job: StartJob = start,
    say: Callable[[str], None] = print,
    tick: Callable[[], None] = lambda: None,
) -> optuna.Study:
    """Tries configurations until there are `num_trials`, those of earlier calls included; returns the study.

    space: of a sweep file, from optuna's trial to overrides of `base` (default: the experiment's own configuration).
    num_parallel: processes at a time. seconds: after which no further trial begins (0 = no limit). seed: of the
    choices; with one process at a time an interrupted search makes the same ones as an undisturbed one. say: is told of
    each trial that ends. tick: called several times a second. The workdir must be the caller's alone
    (`workdir.locked`); search.md and search.png are written there.

    Raises:
      TrainingInterrupted: SIGINT or SIGTERM came; the processes were asked to save and stop.
      UserError: the space doesn't fit the experiment, there is no validation metric, the workdir has another search, or
        one from another `base`.
    """
    metric = validation_metric(sweep.metric)
    if metric != sweep.metric:
        say(f"The search goes by {metric}; {sweep.metric} is for the end.")
    goal = Goal(sweep, metric, space, sweep.config_class() if base is None else base)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try_space(goal, seed)
    study = open_study(goal, workdir)
    trials = Trials(goal, study, workdir, num_trials=num_trials, seed=seed, liar=num_parallel > 1, say=say)
    cores, free = local.share_cores(num_parallel, local.available_cores()), list(range(num_parallel))
    last_start = time.monotonic() + (seconds or math.inf)
    with StopSignal() as stop:
        try:
            try:
                while not stop.requested:
                    if free and (one := trials.take(environment, may_ask=time.monotonic() < last_start)) is not None:
                        slot = free.pop(0)
                        trials.begin(one, slot, start_job(one.job, cores[slot]))
                        continue  # to the next one, unless a signal came
                    if not trials.running and not trials.left:
                        break
                    free += trials.collect()
                    tick()
                    time.sleep(local.SECONDS_BETWEEN_LOOKS)
            finally:
                trials.let_save(tick)
        finally:
            trials.kill()
            write_search_report(study, goal, workdir)
        if stop.signal_number is not None:
            raise TrainingInterrupted(local.STOPPED, stop.signal_number)
    return study


def try_space(goal: Goal, seed: int) -> None:
    """Draws some configurations; UserError if the experiment would not take one of them."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    for _ in range(NUM_DRY_TRIALS):
        with suppress(optuna.TrialPruned):
            overrides = draw(goal, study.ask())
            try:
                configuration_of(goal, overrides)
            except UserError as error:
                advice = "Where a combination makes no sense, space(trial) may raise optuna.TrialPruned."
                raise UserError(f"{error} ({advice})") from None


def open_study(goal: Goal, workdir: Path) -> optuna.Study:
    """The study of the workdir, a new one if there is none; UserError if it is of something else."""
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / JOURNAL
    _repair(path)
    directions = optuna.study.StudyDirection
    direction = directions.MAXIMIZE if goal.sweep.maximize else directions.MINIMIZE
    study = optuna.create_study(
        study_name="search",
        storage=JournalStorage(JournalFileBackend(str(path))),
        direction=direction,
        pruner=optuna.pruners.MedianPruner(),
        load_if_exists=True,
    )
    wanted = f"{direction.name.lower()} {goal.metric} of {goal.sweep.module}"
    if (stored := study.user_attrs.get("goal", wanted)) != wanted:
        raise UserError(f"{path} is a search to {stored}, not to {wanted}: use another --workdir")
    _check_base(study, goal, path)
    study.set_user_attr("goal", wanted)
    return study


def _check_base(study: optuna.Study, goal: Goal, path: Path) -> None:
    """UserError if the trials so far started from another configuration: the sampler would compare unlike things."""
    if (stored := study.user_attrs.get("base")) is not None:
        try:
            before: Any = config_from_dict(goal.sweep.config_class, stored)
        except UserError as error:
            raise UserError(f"{path} was begun with another version of {goal.sweep.module}: {error}") from None
        if changed := differences(before, goal.base):
            listed = "; ".join(f"{name} was {old}, now {new}" for name, old, new in changed)
            raise UserError(
                f"{path} is a search from another baseline: {listed}. Put the first row of the sweep file and --set "
                "back, or use another --workdir."
            )
        return
    study.set_user_attr("base", config_to_dict(goal.base))
    study.set_user_attr("base_hash", config_hash(goal.base))


def _repair(path: Path) -> None:
    """Undoes what a kill while writing, or while holding the lock, has left behind: the workdir is ours alone."""
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if path.exists() and not (text := path.read_bytes()).endswith(b"\n"):
        os.truncate(path, text.rfind(b"\n") + 1)
