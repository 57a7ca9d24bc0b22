"""The trials of a search: which one is next, how those at work are doing, and what becomes of each."""

import dataclasses
import math
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from rnn_jax.errors import TrainingDiverged, UserError
from rnn_jax.files import LOG, read_json, read_metrics, to_json_number
from rnn_jax.sweeps import local
from rnn_jax.sweeps.commands import command_of
from rnn_jax.sweeps.jobs import Job, ended
from rnn_jax.sweeps.records import SIGNALLED, last_lines
from rnn_jax.sweeps.search_goal import Goal, configuration_of, draw
from rnn_jax.sweeps.search_report import trial_line, write_search_report

MAX_STARTS = 3  # of a trial whose process somebody else kills

StartJob = Callable[[Job, Sequence[int]], Any]  # a Popen, as from jobs.start


@dataclasses.dataclass
class Running:
    """A trial and its process.

    reported: steps that the study knows a value of. looked: size of metrics.jsonl when that was so. kill_at: when a
    pruned one that doesn't stop is killed.
    """

    trial: optuna.trial.Trial
    job: Job
    reported: set[int]
    looked: int = -1
    slot: int = -1
    process: Any = None
    begun: float = 0.0
    kill_at: float = math.inf

    @property
    def directory(self) -> Path:
        """The run directory."""
        return Path(self.job.directories[0])


class Trials:
    """Those at work (`running`), those that an earlier process left unfinished (`left`), and where more come from."""

    def __init__(
        self,
        goal: Goal,
        study: optuna.Study,
        workdir: Path,
        *,
        num_trials: int,
        seed: int,
        liar: bool,
        say: Callable[[str], None],
    ):
        self.running: list[Running] = []
        self.left = [trial.number for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))]
        self._goal, self._study, self._workdir = goal, study, workdir
        self._num_trials, self._seed, self._liar, self._say = num_trials, seed, liar, say
        self._starts: Counter[int] = Counter()

    def take(self, environment: tuple[tuple[str, str], ...], *, may_ask: bool) -> Running | None:
        """The next trial to start; None if there is none, or none just now."""
        for number in list(self.left):
            if not local.is_held(directory_of(self._workdir, number)):  # else its old process is still saving
                self.left.remove(number)
                if (one := self._prepare(self._reopened(number), environment)) is not None:
                    return one
        while may_ask and not self.left and (number := len(self._study.get_trials(deepcopy=False))) < self._num_trials:
            self._study.sampler = self._sampler(number)
            if (one := self._prepare(self._study.ask(), environment)) is not None:
                return one
        return None

    def begin(self, one: Running, slot: int, process: Any) -> None:
        """Notes that the trial is at work."""
        one.slot, one.process, one.begun = slot, process, time.monotonic()
        self._starts[one.trial.number] += 1
        self.running.append(one)

    def collect(self) -> list[int]:
        """Follows the trials at work, prunes some; returns the slots of those that have ended."""
        slots = []
        for one in list(self.running):
            over = one.process.poll() is not None  # first, so that nothing is written after the last look
            if math.isinf(one.kill_at) and self._follow(one, may_prune=not over):
                self._tell(one.trial, TrialState.PRUNED)  # at once: the decision outlives us
                one.process.terminate()
                one.kill_at = time.monotonic() + local.SECONDS_TO_SAVE
            if over:
                self.running.remove(one)
                ended(one.job, one.process.returncode, time.monotonic() - one.begun)
                if math.isinf(one.kill_at):
                    self._conclude(one, one.process.returncode)
                slots.append(one.slot)
            elif time.monotonic() > one.kill_at:
                one.process.kill()
        return slots

    def let_save(self, tick: Callable[[], None]) -> None:
        """Asks the processes to stop, and gives them time to. Their trials are taken up again another time."""
        self._starts.clear()
        for one in self.running:
            one.process.terminate()
        deadline = time.monotonic() + local.SECONDS_TO_SAVE
        while self.running and time.monotonic() < deadline:
            self.collect()
            tick()
            time.sleep(local.SECONDS_BETWEEN_LOOKS)

    def kill(self) -> None:
        """Ends what is left."""
        for one in self.running:
            with suppress(ProcessLookupError):
                os.killpg(one.process.pid, signal.SIGKILL)  # it leads a session, and a group, of its own
            one.process.wait()

    def _reopened(self, number: int) -> optuna.trial.Trial:
        self._study.sampler = self._sampler(number)
        storage = self._study._storage
        study_id = storage.get_study_id_from_name(self._study.study_name)
        return optuna.trial.Trial(self._study, storage.get_trial_id_from_study_id_trial_number(study_id, number))

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        """A new one for each trial, so that its choices don't depend on which process makes them."""
        seed = (self._seed * 1_000_003 + number) % 2**32
        return optuna.samplers.TPESampler(seed=seed, constant_liar=self._liar)

    def _prepare(self, trial: optuna.trial.Trial, environment: tuple[tuple[str, str], ...]) -> Running | None:
        """The trial with its job; None if it needs none: it makes no sense, or has a result already."""
        try:
            if "overrides" not in trial.user_attrs:
                trial.set_user_attr("overrides", draw(self._goal, trial))
            config = configuration_of(self._goal, trial.user_attrs["overrides"])
        except optuna.TrialPruned:
            self._tell(trial, TrialState.PRUNED, "left out by the space")
            return None
        except UserError as error:
            self._tell(trial, TrialState.FAIL, str(error))
            return None
        directory = directory_of(self._workdir, trial.number)
        command = command_of(self._goal.sweep.module, config, directory)
        job = Job(f"trial {trial.number}", command, (str(directory),), str(directory / LOG), environment)
        known = self._study.get_trials(deepcopy=False)[trial.number].intermediate_values
        one = Running(trial, job, set(known))
        if (directory / "result.json").exists():
            self._follow(one, may_prune=False)
            self._conclude(one, 0)
            return None
        return one

    def _follow(self, one: Running, *, may_prune: bool) -> bool:
        """Tells the study what is new in metrics.jsonl; True if the trial is to be pruned."""
        path = one.directory / "metrics.jsonl"
        size = path.stat().st_size if path.exists() else 0
        if size == one.looked:
            return False
        one.looked = size
        for line in read_metrics(path):
            value, step = line.get(self._goal.metric), line["step"]
            if isinstance(value, int | float) and step not in one.reported:  # a resumed run may repeat some
                one.reported.add(step)
                one.trial.report(value, step)
                if may_prune and one.trial.should_prune():
                    return True
        return False

    def _conclude(self, one: Running, exit_code: int) -> None:
        """What a trial has come to whose process has ended by itself."""
        number, metric = one.trial.number, self._goal.metric
        log = last_lines(one.directory / LOG)
        if (one.directory / "result.json").exists():
            result = read_json(one.directory / "result.json")
            if metric not in result:
                self.left.append(number)
                names = ", ".join(name for name in result if name.startswith("validation/")) or "none of validation/…"
                raise UserError(f"result.json of {one.directory} has no {metric} (it has {names}): change METRIC")
            value = to_json_number(result[metric])
            if value is None:
                self._tell(one.trial, TrialState.FAIL, f"{metric} is not a finite number")
            else:
                self._tell(one.trial, TrialState.COMPLETE, value=value)
        elif exit_code < 0 or exit_code >= SIGNALLED:
            if self._starts[number] < MAX_STARTS:
                self.left.append(number)
            else:
                self._tell(one.trial, TrialState.FAIL, f"killed {MAX_STARTS} times (exit code {exit_code})\n{log}")
        elif exit_code == TrainingDiverged.exit_code:
            one.trial.set_user_attr("diverged", True)
            self._tell(one.trial, TrialState.PRUNED, log)  # not failed: the sampler learns to stay away
        else:
            self._tell(one.trial, TrialState.FAIL, log or f"exit code {exit_code}")

    def _tell(
        self, trial: optuna.trial.Trial, state: TrialState, message: str = "", value: float | None = None
    ) -> None:
        if message:
            trial.set_user_attr("message", message)
        self._study.tell(trial, value, state)
        self._say(trial_line(self._study, trial.number, self._goal))
        write_search_report(self._study, self._goal, self._workdir, final=False)


def directory_of(workdir: Path, number: int) -> Path:
    """The run directory of a trial."""
    return workdir / "runs" / f"trial_{number:04d}"
