"""The bookkeeping around a training loop: restore, show, log, evaluate, save, stop. The loop itself is in `fit.py`."""

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from rnn_jax.data.codec import Codec
from rnn_jax.errors import UserError
from rnn_jax.files import shown
from rnn_jax.metrics.directions import rank
from rnn_jax.training.averaging import KeptParams
from rnn_jax.training.checkpoint import Checkpointer
from rnn_jax.training.devices import any_process, own_rows
from rnn_jax.training.divergence import DivergenceRule, Finding, diverged
from rnn_jax.training.nonmonotone import NonmonotoneTrigger, begun
from rnn_jax.training.plan import Plan
from rnn_jax.training.plateau import Plateau
from rnn_jax.training.progress import Progress
from rnn_jax.training.run import Run
from rnn_jax.training.state import TrainState
from rnn_jax.training.stopping import Patience, SaveTimer, StopSignal
from rnn_jax.training.task import Scored, Task
from rnn_jax.training.window import Sums, Window, from_json, means, of_each, prefixed, to_floats

NEW_IN_STATE = ("carry", "key", "rates")  # what checkpoints of earlier releases lack


class Due(NamedTuple):
    """What is to be done after an update."""

    evaluating: bool
    logging: bool
    saving: bool
    stopping: bool


class Session:
    """One process' share of a run: from its last checkpoint, or from the start, to the end or to a signal.

    with Session(task, config, run, plan, codec, data_digest) as session:
        state = session.restore(state)
        session.begin(notes)
        for step in range(session.step, plan.total_steps):
            if session.exhausted:
                break
            state, sums = train_step(program, state, source.batch(step))
            session.count(sums, number of things in the batch)
            if any(due := session.due()):
                state = session.after(state, due, evaluate)

    config: has the groups `run` and `optimizer`.
    """

    def __init__(self, task: Task, config: Any, run: Run, plan: Plan, codec: Codec, data_digest: str):
        self.task, self.config, self.run, self.plan, self.codec = task, config, run, plan, codec
        self._digests = {"codec": codec.digest, "data": data_digest}
        self._eval_every = config.run.eval_every_steps or plan.steps_per_epoch
        self._patience = Patience(config.run.early_stopping_patience, best=(-math.inf,))
        self._plateau = Plateau(config.optimizer.plateau_patience, config.optimizer.plateau_factor)
        self._trigger = NonmonotoneTrigger(config.optimizer.nonmonotone_interval)
        self._divergence = DivergenceRule(config.run.divergence_factor)
        self._window: list[Any] = []
        self._member: int | None = None
        self._rows: int | None = None  # of the carry, as the batches have them
        self.step = 0

    def __enter__(self) -> "Session":
        with contextlib.ExitStack() as stack:
            self._checkpoints = stack.enter_context(
                Checkpointer(self.run.checkpoints, config_hash=self.run.config_hash)
            )
            averaging = self.config.run
            self._kept = KeptParams(self.run, averaging.average_checkpoints, averaging.average_checkpoints_from)
            stack.callback(self._kept.close)
            start = self._checkpoints.latest_step() or 0
            self._progress = stack.enter_context(Progress(self.plan.total_steps, self.task.unit, start_step=start))
            self._stop = stack.enter_context(StopSignal())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stack.__exit__(*exception)

    def latest_step(self) -> int:
        """The step of the latest checkpoint, 0 where there is none."""
        return self._checkpoints.latest_step() or 0

    def restore(self, state: TrainState) -> TrainState:
        """The state of the latest checkpoint, where there is one.

        Raises:
          UserError: the training data is not what it was.
        """
        self._rows = next((len(leaf) for leaf in jax.tree.leaves(state.carry)), None)
        if (restored := self._checkpoints.restore_latest(state, optional=NEW_IN_STATE)) is not None:
            self.step, state, host = restored
            self._require_unchanged_data(host)
            self._window = from_json(host["window"])
            self._patience = Patience(self._patience.patience, host["best"], host["waited"])
            # Runs of earlier releases noted no first loss: the first one known takes its place.
            self._divergence = DivergenceRule(self.config.run.divergence_factor, host.get("first_loss"))
            self._plateau.restore(host.get("plateau"), state.opt_state)
            self._trigger = NonmonotoneTrigger(self._trigger.interval, host.get("nonmonotone", ()))
            self.say(f"Continuing at step {self.step} of {self.plan.total_steps}.")
        return state

    def begin(self, notes: Sequence[str]) -> None:
        """Says what is about to happen, once nothing can be wrong any more; log lines of later steps go."""
        for line in notes:
            self.say(line)
        if self.step == 0 and jax.process_index() == 0:
            self.codec.save(self.run.path)
        self.run.truncate_metrics(after_step=self.step)
        run = self.config.run
        self._timer = SaveTimer(run.checkpoint_every_seconds, run.checkpoint_every_steps)

    @property
    def exhausted(self) -> bool:
        """True when --early_stopping_patience says that there is no more to gain."""
        return self._patience.exhausted

    def say(self, text: str) -> None:
        """A line that stays above the progress bar."""
        self._progress.message(text)

    def join(self, member: int) -> None:
        """From here on the sums are those of several runs that train in step, of which this is number `member`."""
        self._window, self._member = to_floats(self._window, self._member), member

    def count(self, sums: Sums, num_units: int) -> None:
        """After each update; does not wait for the device."""
        self.step += 1
        self._window.append(sums)
        self._progress.update(self.step, num_units, loss=sums["loss"])

    def due(self) -> Due:
        """What is to be done now.

        Other processes are asked only at steps where all of them ask, and no more often than a line is logged: to ask
        is to wait for them, and for the device. So --log_every_steps says how soon a signal stops several processes.
        """
        evaluating = self._is_evaluated(self.step)
        logging = evaluating or self.step % self.config.run.log_every_steps == 0
        by_step = self._timer.due_by_step(self.step)
        stopping, by_time = False, False
        if logging or by_step or jax.process_count() == 1:
            by_clock = jax.process_index() == 0 and self._timer.due_by_time()  # one clock, or each has a turn
            stopping, by_time = any_process(self._stop.requested, by_clock)
        return Due(evaluating, logging, evaluating or stopping or by_step or by_time, stopping)

    def after(self, state: TrainState, due: Due, evaluate: Callable[[TrainState], Scored]) -> TrainState:
        """Shows, logs, evaluates and saves what is due. Returns the state to go on with.

        It is the state given, but for a learning rate that falls on a plateau and a mean of the weights that begins.

        Raises:
          TrainingDiverged: by `DivergenceRule`, of this evaluation, or of an update since numbers were last fetched;
            nothing of it is logged, saved or kept.
          TrainingInterrupted: a signal came; the state is saved.
        """
        window = self._window = to_floats(self._window, self._member)
        losses, norms = of_each(window, "loss"), of_each(window, "gradient_norm")
        self._stop_if_diverged(self._divergence.of_updates(losses, norms, self.step) if window else None)
        scored, is_best = (evaluate(state) if due.evaluating else None), False
        if scored is not None and "loss" in scored.metrics:
            self._stop_if_diverged(self._divergence.of_evaluation(scored.metrics["loss"], self.step))
        order = () if scored is None else rank(self.task.metrics, scored.metrics, self.config.run.select_by)
        if due.logging:
            is_best = self._log(window, scored, order)
        if scored is not None:
            self._kept.add(self.step, state, order, self.config.optimizer.ema_decay)
            state = self._react(state, order)
        if due.saving:
            host = {"best": self._patience.best, "waited": self._patience.waited, "window": self._window}
            host |= {"plateau": self._plateau.noted, "nonmonotone": self._trigger.ranks, **self._digests}
            host |= {"first_loss": self._divergence.first_loss}
            saved = state._replace(carry=own_rows(state.carry, self._rows))  # other devices may go on with it
            self._checkpoints.save(self.step, saved, host, best=is_best)
            self._timer.saved()
        if due.stopping:
            raise self._stop.interruption(self.step)
        return state

    def _is_evaluated(self, step: int) -> bool:
        return step % self._eval_every == 0 or step == self.plan.total_steps

    def _require_unchanged_data(self, host: dict[str, Any]) -> None:
        # Runs of earlier releases noted neither digest: what their codec's files hold tells half of it.
        began_with = host.get("codec") or type(self.codec).load(self.run.path).digest
        before = {"codec": began_with, "data": host.get("data", self._digests["data"])}
        what = {"codec": "its vocabulary or classes differ", "data": "its rows, their order or their labels differ"}
        if changed := [what[name] for name in before if before[name] != self._digests[name]]:
            raise UserError(
                f"The training data is not what it was when the run in {self.run.path} began: {' and '.join(changed)}."
                " Put the data (or the file of vectors, or the other run) back, or start over in another --workdir."
            )

    def _stop_if_diverged(self, found: Finding | None) -> None:
        """Raises TrainingDiverged, once the checkpoints are good ones.

        A state that was saved without an evaluation is judged by the next update, whose loss is that state's: where it
        is found bad, its checkpoint goes.
        """
        if found is None:
            return
        if not self._is_evaluated(found.state_step):
            self._checkpoints.withdraw(found.state_step)
        raise diverged(found, self.run.checkpoints, self._checkpoints.latest_step())

    def _react(self, state: TrainState, order: tuple[float, ...]) -> TrainState:
        """The state to go on with after an evaluation, as --plateau_patience and --nonmonotone_interval have it."""
        opt_state, said = self._plateau.after_evaluation(state.opt_state, order)
        if said:
            state = state._replace(opt_state=opt_state)
            self.say(said)
        if self._trigger.update(order) and state.mean is not None and int(state.mean.count) < 0:
            state = state._replace(mean=begun(state.mean))
            before = f"the best of all before it but the last {self._trigger.interval}"
            self.say(f"This evaluation is worse than {before}: averaging the weights from here on.")
        return state

    def _log(self, window: Window, scored: Scored | None, order: tuple[float, ...]) -> bool:
        """Writes a line of metrics, and with an evaluation's scores says them; True if they are the best so far."""
        scores = prefixed("train", means(window)) if window else {}
        scores |= {"learning_rate": float(self.plan.learning_rate(self.step - 1)) * self._plateau.scale}
        epoch, is_best = self.step / self.plan.steps_per_epoch, False
        if scored is not None:
            scores |= prefixed("validation", scored.metrics)
            is_best = self._patience.update(order)
            best = " · best so far" if is_best else ""
            said = {name: value for name, value in scores.items() if self._is_worth_a_line(name)}
            self.say(f"epoch {epoch:.2f} · step {self.step} · {shown(said)}{best}")
            if self.task.samples is not None:
                self.run.write(f"samples/step_{self.step:08d}.txt", self.task.samples(scored.details))
        self.run.log(self.step, epoch, scores)
        self._window = []
        return is_best

    def _is_worth_a_line(self, name: str) -> bool:
        part, _, metric = name.partition("/")
        return part != "validation" or metric in self.task.metrics
